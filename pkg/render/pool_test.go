package render_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/sops"
)

func TestBuildReturnsObjectsAndWhatItLookedAt(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{})
	result, err := pool.Build(t.Context(), newJob("a", map[string]string{
		"kustomization.yaml": "resources: [a.yaml, sub]\n",
		"a.yaml":             configMap("a"), "sub/kustomization.yaml": "namePrefix: x-\nresources: [b.yaml]\n", "sub/b.yaml": configMap("b"), "other.yaml": "",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Objects) != 2 || !strings.Contains(string(result.Objects[1]), "x-b") {
		t.Errorf("objects %q", result.Objects)
	}
	want := []string{
		".", "Kustomization", "a.yaml", "kustomization.yaml", "kustomization.yml", "sub",
		"sub/Kustomization", "sub/b.yaml", "sub/kustomization.yaml", "sub/kustomization.yml",
	}
	if diff := cmp.Diff(want, result.Inputs); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
}

func TestAnErrorOfTheInputKeepsTheWorker(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 1, Metrics: registry})
	before := pidOf(t, pool, "a")
	_, err := pool.Build(t.Context(), newJob("a", map[string]string{"app/a.yaml": "a: [\n"}))
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "app/a.yaml: not Kubernetes YAML") {
		t.Errorf("error %v, want one that names the file", err)
	}
	missing := newJob("a", map[string]string{"a.yaml": ""})
	missing.Path = "deploy"
	if _, err := pool.Build(t.Context(), missing); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "path not found: deploy") {
		t.Errorf("error %v, want one that names the path", err)
	}
	if after := pidOf(t, pool, "a"); after != before {
		t.Errorf("the worker was replaced")
	}
	if got, want := counts(t, registry), map[string]float64{"invalid": 2, "ok": 2}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestABuildHasTheSpecOnTop(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{})
	job := newJob("a", map[string]string{"a.yaml": configMap("a")})
	job.Spec = fleet.BuildSpec{TargetNamespace: "there", NamePrefix: "p-"}
	result, err := pool.Build(t.Context(), job)
	if want := configMap("p-a") + "  namespace: there\n"; err != nil || len(result.Objects) != 1 || string(result.Objects[0]) != want {
		t.Errorf("objects %q, error %v; want %q", result.Objects, err, want)
	}
}

func TestABuildSaysWhatIsEncrypted(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	before := pidOf(t, pool, "a")
	files := map[string]string{"kustomization.yaml": "secretGenerator: [{name: s, files: [k.yaml=x]}]\nconfigMapGenerator: [{name: c, files: [z]}]\n", "x": "mac: ENC[x]\n", "z": ""}
	result, err := pool.Build(t.Context(), newJob("a", files))
	var encrypted *build.EncryptedError
	if !errors.As(err, &encrypted) || !errors.Is(err, fleet.ErrInvalid) {
		t.Fatalf("error %v, want an EncryptedError", err)
	}
	if diff := cmp.Diff([]build.Encrypted{{Path: "x", Format: sops.YAML}}, encrypted.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !slices.Contains(result.Inputs, "z") {
		t.Errorf("inputs %q lack what the build would read later", result.Inputs)
	}
	if after := pidOf(t, pool, "a"); after != before {
		t.Error("the worker was replaced")
	}
}

func TestAnErrorOfTheStoreComesBackAsItIs(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{})
	away := errors.New("the store is away")
	job := newJob("a", map[string]string{"a.yaml": configMap("a")})
	job.Blob = func(context.Context, fleet.Digest) ([]byte, error) { return nil, away }
	if _, err := pool.Build(t.Context(), job); !errors.Is(err, away) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want the store's", err)
	}
}

func TestAWorkerServesOneTenant(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	first := pidOf(t, pool, "a")
	if pidOf(t, pool, "a") != first {
		t.Error("the same tenant got another worker")
	}
	if pidOf(t, pool, "b") == first {
		t.Error("another tenant got the same worker")
	}
	if pidOf(t, pool, "") == first {
		t.Error("nobody got the same worker")
	}
}

// TestWhoAsksForAWorkerGetsTheSpareOne: a build may ask before it is ready, and a spoke has no memory for two.
func TestWhoAsksForAWorkerGetsTheSpareOne(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1, JobsPerWorker: 1})
	for n := 1; n <= 2; n++ { // the second time there is no spare one
		if err := pool.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if workers := len(pool.Workers()); workers != n {
			t.Errorf("%d workers for %d that asked", workers, n)
		}
	}
}

func TestAWorkerIsReplacedAfterItsJobs(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1, JobsPerWorker: 2})
	pids := []int{pidOf(t, pool, "a"), pidOf(t, pool, "a"), pidOf(t, pool, "a")}
	if pids[0] != pids[1] || pids[1] == pids[2] {
		t.Errorf("workers %v, want the third build in another", pids)
	}
}

func TestAWorkerThatEndedWhileIdleIsReplaced(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	pidOf(t, pool, "a")
	for _, process := range pool.Workers() {
		if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}
	pidOf(t, pool, "a")
}

func TestAWorkersOwnProcessesEndWithIt(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1, Wall: 2 * time.Second})
	result, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")}), "breed")
	if err == nil || !strings.Contains(err.Error(), "longer than 2s") {
		t.Fatal(err)
	}
	for _, input := range result.Inputs {
		if text, is := strings.CutPrefix(input, "pid/"); is && text != "" {
			eventually(t, "process "+text+" ends", func() bool {
				status, err := os.ReadFile("/proc/" + text + "/stat")
				return err != nil || bytes.Contains(status, []byte(") Z "))
			})
			return
		}
	}
	t.Errorf("no process was started: inputs %q", result.Inputs)
}

func TestAWorkerSeesNothingButItsTree(t *testing.T) {
	t.Setenv("FLOTILLA_CANARY", "secret")
	pool := start(t, render.Config{})
	job := newJob("a", map[string]string{"a.yaml": configMap("a")})
	if result, err := pool.BuildHook(t.Context(), job, "traverse"); err != nil || len(result.Objects) != 0 {
		t.Errorf("odd paths were read: %q, %v", result.Objects, err)
	}
	result, err := pool.BuildHook(t.Context(), job, "surroundings")
	if err != nil {
		t.Fatal(err)
	}
	around := string(bytes.Join(result.Objects, []byte("\n")))
	for _, want := range []string{"a build has no network", `"git": executable file not found`, "/nonexistent"} {
		if !strings.Contains(around, want) {
			t.Errorf("surroundings lack %q:\n%s", want, around)
		}
	}
	if strings.Contains(around, "secret") || strings.Contains(around, "HOME=") {
		t.Errorf("the environment came along:\n%s", around)
	}
}

func TestCancellingEndsTheBuildAndItsWorker(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	reading := make(chan struct{})
	job := newJob("a", map[string]string{"a.yaml": configMap("a")})
	blob := job.Blob
	job.Blob = func(ctx context.Context, digest fleet.Digest) ([]byte, error) {
		close(reading)
		return blob(ctx, digest)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reading
		cancel()
	}()
	if _, err := pool.BuildHook(ctx, job, "hang"); !errors.Is(err, context.Canceled) || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want that of the context", err)
	}
	pidOf(t, pool, "a")
}

func TestStoppingThePoolEndsBuildsAndWorkers(t *testing.T) {
	t.Parallel()
	pool, err := render.New(render.Config{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	pidOf(t, pool, "a")
	workers := pool.Workers()
	reading := make(chan struct{})
	job := newJob("b", map[string]string{"a.yaml": configMap("a")})
	job.Blob = func(context.Context, fleet.Digest) ([]byte, error) {
		close(reading)
		return nil, nil
	}
	built := make(chan error, 1)
	go func() {
		_, err := pool.BuildHook(context.Background(), job, "hang")
		built <- err
	}()
	<-reading
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-built; err == nil || errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("the build that ran: %v, want that it was stopped", err)
	}
	if _, err := pool.Build(t.Context(), job); err == nil {
		t.Error("a stopped pool builds")
	}
	for _, worker := range workers {
		if err := worker.Kill(); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("worker %d is still there: %v", worker.Pid, err)
		}
	}
}

func TestManyBuildsAtOnceGetTheirOwnResults(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 2, Idle: 1})
	var group sync.WaitGroup
	for i := range 24 {
		group.Go(func() {
			name := fmt.Sprint("c", i)
			result, err := pool.Build(t.Context(), newJob(fmt.Sprint("tenant", i%3), map[string]string{"a.yaml": configMap(name)}))
			if err != nil || len(result.Objects) != 1 || !strings.Contains(string(result.Objects[0]), "name: "+name+"\n") {
				t.Errorf("build %d: %q, %v", i, result.Objects, err)
			}
		})
	}
	group.Wait()
	if n := len(pool.Workers()); n > 3 { // the one used last, a spare one, and one that starts
		t.Errorf("%d workers are kept", n)
	}
}

func TestWhatAWorkerPrintsIsLoggedAndBounded(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	lines := 0
	pool := start(t, render.Config{Workers: 1, Log: slog.New(countHandler{func() { mu.Lock(); lines++; mu.Unlock() }})})
	if _, err := pool.BuildHook(t.Context(), newJob("a", nil), "print"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if lines == 0 || lines > 100 {
		t.Errorf("%d lines were logged", lines)
	}
}

func TestNewRefusesSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, config := range []render.Config{{Workers: -1}, {Memory: 1 << 20}, {CPU: time.Millisecond}, {Wall: -1}, {Idle: -1}, {JobsPerWorker: -1}} {
		if _, err := render.New(config); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%+v: %v, want it refused", config, err)
		}
	}
}
