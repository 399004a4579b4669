//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/postgres"
)

// ownerDir makes the test binary the owner of a server in that directory instead of running tests.
const ownerDir = "FLOTILLA_TEST_POSTGRES_OWNER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerDir); dir != "" {
		s, err := postgres.Start(context.Background(), postgres.Config{Dir: dir})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.URL("postgres"))
		select {} // until killed
	}
	os.Exit(m.Run())
}

func TestKilledServerKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Config{Dir: t.TempDir()})
	exec1(t, s.URL("postgres"), "CREATE TABLE kept (n int)")
	exec1(t, s.URL("postgres"), "INSERT INTO kept VALUES (41)")
	before := s.URL("postgres")

	s.Kill()
	if _, err := connect(t, before); err == nil {
		t.Fatal("a killed server accepted a connection")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	if got := s.URL("postgres"); got != before {
		t.Errorf("URL after restart = %s, want %s", got, before)
	}
	if n := number(t, before, "SELECT n FROM kept"); n != 41 {
		t.Errorf("row after restart = %d, want 41", n)
	}
}

func TestStoppedDirectoryStartsAgain(t *testing.T) {
	t.Parallel()
	config := postgres.Config{Dir: t.TempDir(), NoFsync: true}
	s := start(t, config)
	exec1(t, s.URL("postgres"), "CREATE TABLE kept AS SELECT 7 AS n")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	s = start(t, config)
	if n := number(t, s.URL("postgres"), "SELECT n FROM kept"); n != 7 {
		t.Errorf("row after stop and start = %d, want 7", n)
	}
}

func TestHeldDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	config := postgres.Config{Dir: t.TempDir(), NoFsync: true}
	s := start(t, config)
	if _, err := postgres.Start(t.Context(), config); err == nil {
		t.Fatal("a second server started on a held directory")
	}
	number(t, s.URL("postgres"), "SELECT 1")
}

func TestLongPathIsNoHindrance(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	s := start(t, postgres.Config{Dir: dir, NoFsync: true})
	number(t, s.URL("postgres"), "SELECT 1")
}

func TestForeignProcessUnderTheRecordedNumberIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := postgres.Config{Dir: dir, NoFsync: true}
	s := start(t, config)
	lock := filepath.Join(dir, "data", "postmaster.pid")
	content, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "\n")
	if err := os.WriteFile(lock, fmt.Appendf(nil, "%d\n%s", os.Getpid(), rest), 0o600); err != nil {
		t.Fatal(err)
	}

	s = start(t, config)
	number(t, s.URL("postgres"), "SELECT 1")
}

func TestServerOfAKilledOwnerIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerDir+"="+dir)
	stdout, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Process.Kill() })
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if url = strings.TrimSpace(url); err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("owner said %q: %v", url, err)
	}
	exec1(t, url, "CREATE TABLE kept AS SELECT 9 AS n")
	// A session in the middle of a long statement, so that the orphan has work left when it loses its owner.
	busy, err := connect(t, url)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), "SELECT pg_sleep(600)")
		ended <- err
	}()

	if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	s := start(t, postgres.Config{Dir: dir})

	if n := number(t, s.URL("postgres"), "SELECT n FROM kept"); n != 9 {
		t.Errorf("row after take-over = %d, want 9", n)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the dead owner's session goes on")
	}
}

func start(t *testing.T, config postgres.Config) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := connect(t, url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := connect(t, url)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
