package git_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// database is the hub's own blob store, in Postgres, and what is written to it.
type database struct {
	artifact.Keeper
	tb   testing.TB
	conn *pgx.Conn
}

func newDatabase(tb testing.TB) *database {
	tb.Helper()
	url := lab.TestDatabase(tb)
	s, err := store.Open(tb.Context(), store.Config{
		URL: url, Sealer: noSeal{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	conn, err := pgx.Connect(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &database{s.Blobs(), tb, conn}
}

// noSeal keeps no secrets.
type noSeal struct{}

func (noSeal) Seal(plain, _ []byte) []byte           { return plain }
func (noSeal) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }
func (noSeal) MAC(data []byte) fleet.Digest          { return fleet.DigestOf(data) }

// moment is a transaction, and an end of Postgres' log.
type moment struct{ transaction, log int64 }

func (d *database) now() (m moment) {
	d.tb.Helper()
	d.scan(`SELECT pg_current_xact_id()::text::bigint, (pg_current_wal_insert_lsn() - '0/0')::bigint`, nil, &m.transaction, &m.log)
	return m
}

// writtenSince is how many bytes the rows have that were written since, blobs' contents and rows that were only changed
// among them, and by how many the log grew.
func (d *database) writtenSince(m moment) (rows, log float64) {
	d.tb.Helper()
	logged := d.now().log
	const written = `SELECT sum(size)::bigint FROM (
		SELECT pg_column_size(t.*) AS size FROM blob t WHERE xmin::text::bigint > $1
		UNION ALL SELECT pg_column_size(t.*) FROM blob_chunk t WHERE xmin::text::bigint > $1
		UNION ALL SELECT pg_column_size(t.*) FROM blob_part t WHERE xmin::text::bigint > $1
		UNION ALL SELECT 0) AS written`
	var size int64
	d.scan(written, []any{m.transaction}, &size)
	return float64(size), float64(logged - m.log)
}

func (d *database) scan(sql string, args []any, into ...any) {
	d.tb.Helper()
	if err := d.conn.QueryRow(d.tb.Context(), sql, args...).Scan(into...); err != nil {
		d.tb.Fatal(err)
	}
}
