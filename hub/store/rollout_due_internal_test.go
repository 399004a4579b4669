package store

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A look is made at every change in the fleet: it does not go through all clusters for those that connected or left.
func TestClustersThatConnectedOrLeftAreFoundByAnIndex(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	s.exec(t, `INSERT INTO object (home, kind, namespace, name, labels, spec) SELECT 'hub', 'Cluster', '', 'c-' || n, '{}', '{}' FROM generate_series(1, 10000) n`)
	s.exec(t, `INSERT INTO cluster (id, name) SELECT uid, name FROM object WHERE kind = 'Cluster'`)
	s.exec(t, `UPDATE cluster SET connected = true`)
	s.exec(t, `ANALYZE`)
	s.exec(t, `UPDATE cluster SET connected = false WHERE name = 'c-77'`)
	var since string
	if err := s.pool.QueryRow(t.Context(), `SELECT max(linked)::text FROM cluster`).Scan(&since); err != nil {
		t.Fatal(err)
	}
	rows, err := s.pool.Query(t.Context(), `EXPLAIN `+linkedSince, since)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "cluster_linked") || strings.Contains(plan, "Seq Scan") {
		t.Errorf("the plan is\n%s", plan)
	}
}
