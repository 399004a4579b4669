package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// horizon returns the horizon of tx's snapshot. It must be read before, or in the same snapshot as, the rows.
func horizon(ctx context.Context, q querier) (fleet.Horizon, error) {
	const query = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`
	var text string
	if err := q.QueryRow(ctx, query).Scan(&text); err != nil {
		return 0, explain("read the transaction horizon", err)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("transaction horizon %q: %w", text, err)
	}
	return fleet.Horizon(n), nil
}

// WatchToken is a Horizon of this database, for a client to come back with.
func (s *Store) WatchToken(h fleet.Horizon) string { return s.id + "." + h.String() }

// ParseWatchToken reads what WatchToken gave; a token of another database is fleet.ErrNotFound.
func (s *Store) ParseWatchToken(token string) (fleet.Horizon, error) {
	id, number, _ := strings.Cut(token, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || id != s.id {
		return 0, fmt.Errorf("watch token: %w: list again", fleet.ErrNotFound)
	}
	return fleet.Horizon(n), nil
}

// querier is what a pool, a connection and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// snapshot runs f in a read-only transaction that sees one state of the database.
func (s *Store) snapshot(ctx context.Context, doing string, f func(tx pgx.Tx) error) error {
	return retry(ctx, func() error {
		options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
		tx, err := s.pool.BeginTx(ctx, options)
		if err != nil {
			return lost(explain(doing, err))
		}
		defer rollback(ctx, tx) // nothing was written
		return lost(f(tx))
	})
}
