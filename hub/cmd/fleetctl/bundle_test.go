package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
)

// now is the time in tests.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// bundle is a person at a machine with a configuration, and a hub in memory.
type bundle struct {
	t   *testing.T
	hub *fakeHub
	env map[string]string
	dir string

	stdin string
	// typing, when set, is stdin instead.
	typing io.Reader
	// tty: stdin and stderr are a terminal.
	tty bool
	// screen: stdout is a terminal.
	screen bool
	// expire, when set, ends what --timeout bounds once it is closed; until then nothing does.
	expire chan struct{}
	// timeouts, when set, is told of each bound that is put on something.
	timeouts func()

	mu     sync.Mutex
	dialed []target
}

// newBundle has the context "test" with namespace "apps", which is the current one.
func newBundle(t *testing.T) *bundle {
	b := newBareBundle(t)
	b.hub = newFakeHub(t, rpc.ServerConfig{})
	b.write("flotilla/config.yaml", `
apiVersion: cli.flotilla.dev/v1alpha1
kind: Config
currentContext: test
contexts:
- {name: test, hub: "hub.example.com:9443", namespace: apps}
- {name: other, hub: "other.example.com:9443"}
`)
	b.write("flotilla/tokens/test", "test-token\n")
	b.write("flotilla/tokens/other", "other-token\n")
	return b
}

// newBareBundle has no configuration and no hub.
func newBareBundle(t *testing.T) *bundle {
	t.Helper()
	dir := t.TempDir()
	return &bundle{t: t, dir: dir, env: map[string]string{"XDG_CONFIG_HOME": dir, "HOME": dir}}
}

// write makes a private file in the test's directory and returns its path.
func (b *bundle) write(name, content string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bundle) dial(t target) (*grpc.ClientConn, error) {
	b.mu.Lock()
	b.dialed = append(b.dialed, t)
	b.mu.Unlock()
	return rpc.Dial(rpc.DialConfig{Address: rpctest.Address, Dialer: b.hub.server.Dialer, UserAgent: "fleetctl"})
}

func (b *bundle) app(stdout, stderr io.Writer) *app {
	stdin := b.typing
	if stdin == nil {
		stdin = strings.NewReader(b.stdin)
	}
	return &app{
		stdin: stdin, stdout: stdout, stderr: stderr, stdinTTY: b.tty, stdoutTTY: b.screen, stderrTTY: b.tty,
		env:   func(name string) string { return b.env[name] },
		now:   func() time.Time { return now },
		pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		dial:  b.dial,

		withTimeout: b.withTimeout,
	}
}

func (b *bundle) withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if b.timeouts != nil {
		b.timeouts()
	}
	if b.expire == nil {
		return context.WithTimeout(ctx, d)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-b.expire:
			cancel(context.DeadlineExceeded)
		}
	}()
	return expiring{ctx}, func() { cancel(context.Canceled) }
}

// expiring is a context whose cause is its error, as that of a deadline is.
type expiring struct{ context.Context }

func (e expiring) Err() error { return context.Cause(e.Context) }

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// run runs a command line to its end.
func (b *bundle) run(args ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code := b.app(&stdout, &stderr).run(ctx, args)
	if ctx.Err() != nil {
		b.t.Fatalf("fleetctl %s did not end; stdout:\n%s\nstderr:\n%s", strings.Join(args, " "), &stdout, &stderr)
	}
	return result{code, stdout.String(), stderr.String()}
}

// ok runs a command line that must succeed.
func (b *bundle) ok(args ...string) result {
	b.t.Helper()
	r := b.run(args...)
	if r.code != 0 {
		b.t.Fatalf("fleetctl %s: exit %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// fails runs a command line that must end with that code and say all of texts on stderr.
func (b *bundle) fails(code exitCode, texts []string, args ...string) result {
	b.t.Helper()
	r := b.run(args...)
	if r.code != int(code) {
		b.t.Errorf("fleetctl %s: exit %d, want %d; stderr:\n%s", strings.Join(args, " "), r.code, code, r.stderr)
	}
	wantTexts(b.t, "stderr", r.stderr, texts...)
	return r
}

func wantTexts(t *testing.T, what, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("%s does not say %q:\n%s", what, text, got)
		}
	}
}

// want compares text with what it should be, line by line and without the white space at the ends.
func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if trimLines(got) != trimLines(wanted) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, trimLines(got), trimLines(wanted))
	}
}

func trimLines(text string) string {
	var lines []string
	for line := range strings.Lines(strings.TrimSpace(text)) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n")
}

func parseJSON(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("not one JSON document: %v\n%s", err, text)
	}
	return value
}

// reading is a stdin at which nobody types anything.
type reading struct{ begun chan struct{} }

func newReading() reading { return reading{make(chan struct{}, 1)} }

func (r reading) Read([]byte) (int, error) {
	r.begun <- struct{}{}
	select {} // as a terminal does; the process ends it
}

// running is a command line that goes on until it is interrupted.
type running struct {
	t         *testing.T
	stdout    *growing
	stderr    *growing
	interrupt context.CancelFunc
	code      chan int
}

// start runs a command line beside the test.
func (b *bundle) start(args ...string) *running {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: b.t, stdout: newGrowing(), stderr: newGrowing(), interrupt: cancel, code: make(chan int, 1)}
	a := b.app(r.stdout, r.stderr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.code <- a.run(ctx, args)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

// wait returns the exit code once the command has ended.
func (r *running) wait() int {
	r.t.Helper()
	select {
	case code := <-r.code:
		return code
	case <-time.After(patience):
		r.t.Fatalf("the command did not end; stdout:\n%s\nstderr:\n%s", r.stdout, r.stderr)
		return -1
	}
}

// growing is output that a test can wait for.
type growing struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func newGrowing() *growing { return &growing{grown: make(chan struct{})} }

func (g *growing) Write(data []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.grown)
	g.grown = make(chan struct{})
	return g.text.Write(data)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// says waits until the output holds text.
func (g *growing) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		g.mu.Lock()
		grown, found := g.grown, strings.Contains(g.text.String(), text)
		g.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-deadline:
			t.Fatalf("the output never says %q:\n%s", text, g)
		}
	}
}
