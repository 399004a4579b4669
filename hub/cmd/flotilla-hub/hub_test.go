package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/test/lab"
)

// readyLine ends the log of a start, as text or JSON.
var readyLine = regexp.MustCompile(`msg"?[=:]"?ready\b`)

// patience is for a machine that tests keep busy.
const patience = 2 * time.Minute

func TestMain(m *testing.M) { lab.Main(m) }

// hub is a run of the built binary.
type hub struct {
	*run.Process
	stdout, stderr written
	// What the ready file says.
	Spoke, Admin, Hook, HTTP, CAPin string
	PID                             int
}

// written is a file that a program writes to itself, so that nothing of what it wrote is under way.
type written string

func (w written) String() string {
	content, err := os.ReadFile(string(w))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start runs flotilla-hub with nothing in its environment but what is given.
func start(t *testing.T, env []string, args ...string) *hub {
	t.Helper()
	dir := t.TempDir()
	stdout, stderr := create(t, filepath.Join(dir, "stdout")), create(t, filepath.Join(dir, "stderr"))
	defer stdout.Close()
	defer stderr.Close()
	h := &hub{stdout: written(stdout.Name()), stderr: written(stderr.Name())}
	cmd := exec.Command(filepath.Join(lab.TestBinaries(t), "flotilla-hub"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	var err error
	if h.Process, err = run.Start(cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(h.Process.PID(), syscall.SIGTERM) // most have ended
		_ = h.Wait()
		if t.Failed() {
			t.Logf("flotilla-hub %s said:\n%s%s", strings.Join(args, " "), h.stdout, h.stderr)
		}
	})
	return h
}

// serve runs a hub on free ports of loopback and returns when it is ready.
func serve(t *testing.T, dir string, args ...string) *hub {
	t.Helper()
	file := filepath.Join(dir, "ready.json")
	h := start(t, nil, append([]string{
		"serve", "--data-dir", dir, "--ready-file", file,
		"--spoke-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--hook-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
	}, args...)...)
	h.awaitReady(t, file)
	return h
}

func (h *hub) awaitReady(t *testing.T, file string) {
	t.Helper()
	lab.Eventually(t, patience, "the hub is ready", func() error {
		if h.Ended() {
			t.Fatalf("the hub ended: %v", h.Wait())
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(content, h); err != nil {
			return err
		}
		if h.PID != h.Process.PID() {
			return fmt.Errorf("ready is process %d", h.PID)
		}
		if !readyLine.MatchString(h.stderr.String()) {
			return errors.New("the log does not say so")
		}
		return nil
	})
}

// end signals the hub and returns how it ended.
func (h *hub) end(t *testing.T, signal syscall.Signal) error {
	t.Helper()
	if err := syscall.Kill(h.Process.PID(), signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.Done():
	case <-time.After(patience):
		t.Fatalf("the hub does not end by %s", signal)
	}
	return h.Wait()
}

// refusal is what a hub that does not start says.
func refusal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	h := start(t, env, args...)
	select {
	case <-h.Done():
	case <-time.After(patience):
		t.Fatal("the hub goes on")
	}
	if h.Wait() == nil {
		t.Fatal("the hub ended well")
	}
	return h.stderr.String()
}

// get asks the hub's HTTP server for metrics and probes, and returns the status code.
func (h *hub) get(t *testing.T, path string) (code int, err error) {
	t.Helper()
	return h.getAt(t, h.HTTP+path)
}

// getAt asks one of the hub's HTTP servers.
func (h *hub) getAt(t *testing.T, at string) (code int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// eventuallyAnswers waits until a path answers with a status code.
func (h *hub) eventuallyAnswers(t *testing.T, path string, want int) {
	t.Helper()
	lab.Eventually(t, patience, fmt.Sprintf("%s answers %d", path, want), func() error {
		code, err := h.get(t, path)
		if err == nil && code != want {
			err = fmt.Errorf("it answers %d", code)
		}
		return err
	})
}

// fleetctl runs a command against the hub as its admin.
func (h *hub) fleetctl(t *testing.T, token string, args ...string) string {
	t.Helper()
	stdout, err := h.tryFleetctl(t, token, args...)
	if err != nil {
		t.Fatalf("fleetctl %s: %v", strings.Join(args, " "), err)
	}
	return stdout
}

// tryFleetctl runs a command that may fail: the error has what it says.
func (h *hub) tryFleetctl(t *testing.T, token string, args ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(lab.TestBinaries(t), "fleetctl"),
		append(args, "--hub", h.Admin, "--ca-pin", h.CAPin, "--token-file", file)...)
	cmd.Env = []string{"HOME=" + t.TempDir()}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, &stderr)
	}
	return stdout.String(), nil
}
