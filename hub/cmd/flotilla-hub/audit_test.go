package main_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/test/lab"
)

func TestAuditLogIsVerifiedUpToItsNewestRow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	database := lab.TestDatabase(t)
	h := serve(t, dir, "--database-url", database)
	verify := []string{"audit", "verify", "--data-dir", dir, "--database-url", database}
	h.fleetctl(t, h.adminToken(t), "cluster", "register", "eu-1")
	h.fleetctl(t, h.adminToken(t), "cluster", "register", "eu-2")

	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // the test's context has ended
	var rows, newest int
	var hash []byte
	if err := conn.QueryRow(t.Context(), `SELECT count(*) OVER (), number, hash FROM audit ORDER BY number DESC`).Scan(&rows, &newest, &hash); err != nil {
		t.Fatal(err)
	}
	sound := start(t, nil, verify...)
	if err := sound.Wait(); err != nil {
		t.Fatal(err)
	}
	if got, want := sound.stdout.String(), fmt.Sprintf("verified: %d\nnewest: %d sha256:%x\n", rows, newest, hash); got != want || rows < 2 {
		t.Errorf("it says %q, want %q", got, want)
	}

	execute(t, database, `ALTER TABLE audit DISABLE TRIGGER USER`)
	execute(t, database, fmt.Sprintf(`UPDATE audit SET object = 'Cluster/other' WHERE number = %d`, newest-1))
	if said := refusal(t, nil, verify...); !strings.Contains(said, fmt.Sprintf("audit row %d: ", newest-1)) {
		t.Errorf("the broken row is not named: %s", said)
	}
}
