package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// postmaster is the process of the private Postgres in a hub's data directory; 0 while none is known.
func postmaster(dir string) int {
	content, _ := os.ReadFile(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
	first, _, _ := strings.Cut(string(content), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// kill refuses 0, which would mean the test's own process group.
func kill(pid int, signal syscall.Signal) error {
	if pid <= 1 {
		return errors.New("no process")
	}
	return syscall.Kill(pid, signal)
}

func TestHubWithoutDatabaseURLSaysThatItStartsAPrivatePostgres(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := serve(t, dir)
	if log := h.stderr.String(); !strings.Contains(log, "starting a private Postgres") || !strings.Contains(log, dir) {
		t.Errorf("the log does not say it: %s", log)
	}
	h.fleetctl(t, h.adminToken(t), "get", "clusters")
	pid := postmaster(dir)
	if err := h.end(t, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the private Postgres outlives its hub: %v", err)
	}
}

func TestKilledPrivatePostgresComesBackUnderTheSameHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := serve(t, dir)
	token := h.adminToken(t)
	h.fleetctl(t, token, "cluster", "register", "eu-1")
	before := postmaster(dir)
	if err := kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "another Postgres runs", func() error {
		if now := postmaster(dir); now == 0 || now == before {
			return fmt.Errorf("it is process %d", now)
		}
		return nil
	})
	h.eventuallyAnswers(t, "/readyz", http.StatusOK)
	if got := h.fleetctl(t, token, "get", "clusters", "-o", "name"); !strings.Contains(got, "eu-1") {
		t.Errorf("the clusters are %q", got)
	}
	if h.Ended() {
		t.Error("the hub ended")
	}
}

func TestNextStartTakesAKilledHubsPrivatePostgresOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	killed := serve(t, dir)
	token := killed.adminToken(t)
	killed.fleetctl(t, token, "cluster", "register", "eu-1")
	if err := killed.end(t, syscall.SIGKILL); err == nil {
		t.Error("a killed hub ended well")
	}

	next := serve(t, dir)
	if got := next.fleetctl(t, token, "get", "clusters", "-o", "name"); !strings.Contains(got, "eu-1") {
		t.Errorf("the clusters are %q", got)
	}
	if said := next.stdout.String(); said != "" {
		t.Errorf("stdout says %q", said)
	}
}

func TestReadinessIsTheDatabasesAndHealthIsNot(t *testing.T) {
	t.Parallel()
	database, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := serve(t, t.TempDir(), "--database-url", database.URL())
	for _, path := range []string{"/readyz", "/healthz"} {
		if code, err := h.get(t, path); err != nil || code != http.StatusOK {
			t.Errorf("%s answers %d, %v", path, code, err)
		}
	}

	database.Kill()
	h.eventuallyAnswers(t, "/readyz", http.StatusServiceUnavailable)
	if code, err := h.get(t, "/healthz"); err != nil || code != http.StatusOK {
		t.Errorf("without a database, /healthz answers %d, %v", code, err)
	}

	if err := database.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.eventuallyAnswers(t, "/readyz", http.StatusOK)
	if h.Ended() {
		t.Error("the hub ended")
	}
}

// The private Postgres is stopped by a signal that no process can do anything about, so that the hub waits for it.
func TestSecondInterruptEndsASlowShutdown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := serve(t, dir)
	pid := postmaster(dir)
	if err := kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if err := syscall.Kill(h.Process.PID(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, patience, "the hub shuts down", func() error {
		if _, err := h.get(t, "/healthz"); err == nil {
			return errors.New("it answers")
		}
		return nil
	})

	// Again and again, since the first one may not be dealt with yet.
	lab.Eventually(t, patience, "the hub has ended", func() error {
		if h.Ended() {
			return nil
		}
		return errors.Join(errors.New("it goes on"), syscall.Kill(h.Process.PID(), syscall.SIGINT))
	})
	var ended *exec.ExitError
	if err := h.Wait(); !errors.As(err, &ended) {
		t.Fatalf("the hub waited and ended with %v", err)
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("the hub ended with %v, not by an interrupt", ended)
	}
}
