package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/test/lab"
)

// patience is for a machine that tests keep busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { lab.Main(m) }

// startLine runs a line in a shell of a user with that home and environment, which has the built binaries on its PATH.
// What the line writes may be read once it has ended.
func startLine(t *testing.T, home, line string, env ...string) (*run.Process, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + lab.TestBinaries(t)}, env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	p, err := run.Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(p.PID(), syscall.SIGTERM) // most have ended
		_ = p.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", line, &said)
		}
	})
	return p, &said
}

func TestLineThatRegisterPrintsJoinsTheCluster(t *testing.T) {
	t.Parallel()
	fleet, err := lab.StartFleet(t.Context(), lab.FleetConfig{Dir: t.TempDir(), Binaries: lab.TestBinaries(t), PrivatePostgres: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	cluster := lab.TestCluster(t)
	registered := fleet.Fleetctl(t.Context(), "cluster", "register", "eu-1")
	if err := registered.Err(); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()

	spoke, _ := startLine(t, home, strings.TrimSpace(registered.Stdout)+" --kubeconfig "+cluster.Kubeconfig())
	connected := fleet.Fleetctl(t.Context(), "wait", "cluster/eu-1", "--for=connected", "--timeout", patience.String())
	if err := connected.Err(); err != nil {
		t.Fatal(err)
	}
	if kept, err := filepath.Glob(filepath.Join(home, ".local/state/flotilla-spoke/127.0.0.1_*/holder")); err != nil || len(kept) != 1 {
		t.Errorf("the data directory holds %q, %v", kept, err)
	}
	if err := syscall.Kill(spoke.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := spoke.Wait(); err != nil {
		t.Errorf("the spoke ended with %v", err)
	}
}

// Where tests run in a Pod, the spoke goes on to the address that the environment gives; elsewhere it lacks the token of
// the service account.
func TestPodsServiceAccountIsUsedWithoutAKubeconfig(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reached := make(chan struct{})
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.Close()
			close(reached)
		}
	}()
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	spoke, said := startLine(t, home, "flotilla-spoke run --hub 127.0.0.1:1 --data-dir "+filepath.Join(home, "data"),
		"KUBERNETES_SERVICE_HOST="+host, "KUBERNETES_SERVICE_PORT="+port)
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	select {
	case <-reached:
		if _, err := os.Stat(account); err != nil {
			t.Errorf("the API server is dialled without an account: %v", err)
		}
	case <-spoke.Done():
		if !strings.Contains(said.String(), account) {
			t.Errorf("the spoke ended without a look for %s", account)
		}
	case <-time.After(patience):
		t.Error("the spoke neither ends nor dials the API server")
	}
}

func TestSpokeOutsideOfAClusterAsksForAKubeconfig(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	spoke, said := startLine(t, home, "flotilla-spoke run --hub 127.0.0.1:1 --data-dir "+filepath.Join(home, "data"))
	if err := spoke.Wait(); err == nil || !strings.Contains(said.String(), "--kubeconfig") {
		t.Errorf("%v: %s", err, said)
	}
}
