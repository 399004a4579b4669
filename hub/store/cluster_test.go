package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// patience is for what only a broken store does not do.
const patience = time.Minute

// begin opens a transaction beside the store's own.
func (b *bundle) begin(sql ...string) pgx.Tx {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(b.t.Context()) })
	tx, err := conn.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	execute(b.t, tx, sql...)
	return tx
}

func execute(t *testing.T, tx pgx.Tx, sql ...string) {
	t.Helper()
	for _, statement := range sql {
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// awaitBlocked returns once so many of the store's statements wait for locks that tx holds, or behind one that does.
func (b *bundle) awaitBlocked(tx pgx.Tx, statements int) {
	b.t.Helper()
	const query = `SELECT count(DISTINCT w.pid) FROM pg_locks w JOIN pg_locks o USING (pid)
		WHERE NOT w.granted AND o.database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	lab.Eventually(b.t, patience, "the store waits for a lock", func() error {
		var n int
		if err := tx.QueryRow(b.t.Context(), query).Scan(&n); err != nil {
			return err
		}
		if n < statements {
			return fmt.Errorf("%d statements wait", n)
		}
		return nil
	})
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) terminate(cluster string) {
	b.t.Helper()
	if _, err := b.DeleteObject(b.t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: cluster}); err != nil {
		b.t.Fatal(err)
	}
}

func TestReplicasThatFinishAClusterAtOnceDoNotHinderEachOther(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	b.terminate("prod-1")
	held := b.begin(`LOCK TABLE cluster IN EXCLUSIVE MODE`)
	done := make(chan error)
	for range 2 {
		go func() { done <- b.FinishClusters(t.Context()) }()
	}
	b.awaitBlocked(held, 2)
	commit(t, held)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := b.clusters(); len(got) != 0 {
		t.Errorf("clusters %v are left", got)
	}
}

func TestClusterRegisteredAnewWhileTheOldOneIsFinishedStays(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	b.terminate("prod-1")
	held := b.begin(`LOCK TABLE cluster IN EXCLUSIVE MODE`)
	done := make(chan error)
	go func() { done <- b.FinishClusters(t.Context()) }()
	b.awaitBlocked(held, 1)
	execute(t, held, `DELETE FROM cluster`, `UPDATE object SET uid = gen_random_uuid(), deleting_at = NULL`,
		`INSERT INTO cluster (id, name) SELECT uid, name FROM object`)
	commit(t, held)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := b.clusters(); got["prod-1"] == nil {
		t.Errorf("the new Cluster was ended with the old one; clusters %v", got)
	}
}
