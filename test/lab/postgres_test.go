package lab_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/test/lab"
)

func TestDatabasesOfTestsAreApart(t *testing.T) {
	t.Parallel()
	one, other := lab.TestDatabase(t), lab.TestDatabase(t)
	execute(t, one, "CREATE TABLE mine (n int)")
	if n := query(t, other, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'"); n != 0 {
		t.Error("one test's table is in another's database")
	}
}

func TestPreparedDatabaseIsPreparedOnce(t *testing.T) {
	t.Parallel()
	key := rand.Text() // another run in this process has another
	prepared := 0
	prepare := func(ctx context.Context, url string) error {
		prepared++
		execute(t, url, "CREATE TABLE prepared AS SELECT 5 AS n")
		return nil
	}
	for range 3 {
		url := lab.TestDatabaseFrom(t, key, prepare)
		if n := query(t, url, "SELECT n FROM prepared"); n != 5 {
			t.Errorf("n = %d, want 5", n)
		}
		execute(t, url, "UPDATE prepared SET n = 6")
	}
	if prepared != 1 {
		t.Errorf("prepared %d times, want once", prepared)
	}
}

func TestDatabasesAreOnDiskWhereThereIsNoMemoryForThem(t *testing.T) {
	t.Parallel()
	if lab.HasRoom(filepath.Join(t.TempDir(), "shm")) {
		t.Error("there is room in a directory that is not there")
	}
	if lab.HasRoom("/proc") {
		t.Error("there is room in a file system that keeps nothing")
	}
}

func TestKilledPostgresKeepsData(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, lab.PostgresConfig{})
	url, err := p.CreateDatabase(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, url, "CREATE TABLE kept AS SELECT 3 AS n")

	p.Kill()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	if n := query(t, url, "SELECT n FROM kept"); n != 3 {
		t.Errorf("n = %d, want 3", n)
	}
}

func TestRestoredDatabaseShowsAnOlderTime(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, lab.PostgresConfig{})
	url, err := p.CreateDatabase(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	execute(t, url, "CREATE TABLE time AS SELECT 1 AS n")
	if _, err := p.CopyDatabase(t.Context(), "app", "backup"); err != nil {
		t.Fatal(err)
	}
	execute(t, url, "UPDATE time SET n = 2")

	if err := p.RestoreDatabase(t.Context(), "backup", "app"); err != nil {
		t.Fatal(err)
	}

	if n := query(t, url, "SELECT n FROM time"); n != 1 {
		t.Errorf("n = %d, want 1", n)
	}
}

// A hub, for one, connects again whenever its connections are ended.
func TestDatabaseIsCopiedWhoeverGoesOnConnecting(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, lab.PostgresConfig{})
	url, err := p.CreateDatabase(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	connecting, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for connecting.Err() == nil {
				conn, err := pgx.Connect(connecting, url)
				if err != nil {
					continue
				}
				_, _ = conn.Exec(connecting, "SELECT pg_sleep(600)") // until it is ended
				_ = conn.Close(context.WithoutCancel(connecting))
			}
		})
	}
	for _, copied := range []string{"one", "two", "three"} {
		if _, err := p.CopyDatabase(t.Context(), "app", copied); err != nil {
			t.Error(err)
		}
	}
	cancel()
	clients.Wait()
	query(t, url, "SELECT 1")
}

func TestPostgresOfAKilledOwnerStartsAgainWithItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	said, kill := owner(t, "postgres", "DIR="+dir)
	execute(t, said["url"], "CREATE TABLE kept AS SELECT 4 AS n")
	kill()

	p := startPostgres(t, lab.PostgresConfig{Dir: dir})
	if n := query(t, p.URL(), "SELECT n FROM kept"); n != 4 {
		t.Errorf("n = %d, want 4", n)
	}
}

func TestStoppedPostgresLeavesNoProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startPostgres(t, lab.PostgresConfig{Dir: dir})
	if len(processesOf(t, dir)) == 0 {
		t.Fatal("nothing runs")
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if found := processesOf(t, dir); len(found) > 0 {
		t.Errorf("still running: %s", strings.Join(found, ", "))
	}
}

func startPostgres(t *testing.T, config lab.PostgresConfig) *lab.Postgres {
	t.Helper()
	p, err := lab.StartPostgres(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), sql)
	if closed := conn.Close(t.Context()); err == nil {
		err = closed
	}
	if err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
