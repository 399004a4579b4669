package render_test

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

func TestHealthSaysThatNoWorkerStarts(t *testing.T) {
	t.Parallel()
	ends, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]string{"/nonexistent": "no such file", ends: "ended before it began: exit status 0"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			pool, err := render.New(render.Config{Workers: 1, Log: slog.New(slog.DiscardHandler), Metrics: registry})
			if err != nil {
				t.Fatal(err)
			}
			var works atomic.Bool
			pool.SetProgram(func() (string, error) {
				if works.Load() {
					return render.Program()
				}
				return program, nil
			})
			runPool(t, pool)
			job := newJob("a", map[string]string{"a.yaml": configMap("a")})
			if _, err := pool.Build(t.Context(), job); err == nil || errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("error %v, want one that is not the input's", err)
			}
			if h := pool.Health(); h.Err == nil || !strings.Contains(h.Err.Error(), want) || gauge(t, registry, "flotilla_render_up") != 0 {
				t.Errorf("health %+v, want %q", h, want)
			}
			works.Store(true)
			eventually(t, "a build is made", func() bool {
				_, err := pool.Build(t.Context(), job)
				return err == nil
			})
			if h := pool.Health(); h.Err != nil || gauge(t, registry, "flotilla_render_up") != 1 {
				t.Errorf("health %+v once workers start", h)
			}
		})
	}
}

// What becomes of a used worker says nothing of fresh ones, and only those would mend it.
func TestAUsedWorkerThatIsGoneIsNoTrouble(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	pool.Gone(true)
	if h := pool.Health(); h.Err != nil {
		t.Errorf("health %+v", h)
	}
	pool.Gone(false)
	if h := pool.Health(); h.Err == nil {
		t.Error("a fresh worker that is gone is no trouble")
	}
}

func TestASpareWorkerThatEndsIsTakenOut(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	eventually(t, "there is a spare worker", func() bool { return len(pool.Workers()) == 1 })
	spare := pool.Workers()[0]
	if err := spare.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another one is in its place", func() bool {
		pool.Look()
		workers := pool.Workers()
		return len(workers) == 1 && workers[0].Pid != spare.Pid
	})
}

// One tenant's many builds are long; all of them wait for a file.
func TestATenantsQueueHoldsNoOthersBuildBack(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 2, Metrics: registry})
	goOn, running := make(chan struct{}), make(chan struct{}, 100)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			job := newJob("hog", map[string]string{"a.yaml": configMap("a")})
			blob := job.Blob
			job.Blob = func(ctx context.Context, digest fleet.Digest) ([]byte, error) {
				running <- struct{}{}
				<-goOn
				return blob(ctx, digest)
			}
			if _, err := pool.Build(t.Context(), job); err != nil {
				t.Error(err)
			}
		})
	}
	<-running
	<-running
	eventually(t, "all others wait", func() bool { return pool.Health().Waiting == 98 })
	for _, tenant := range []string{"a", "b"} {
		if _, err := pool.Build(t.Context(), newJob(tenant, map[string]string{"a.yaml": configMap("a")})); err != nil {
			t.Error(err)
		}
	}
	if h := pool.Health(); h.Waiting != 98 || h.Longest <= 0 || gauge(t, registry, "flotilla_render_waiting") != 98 || gauge(t, registry, "flotilla_render_waiting_longest_seconds") <= 0 {
		t.Errorf("health %+v, want that 98 wait", h)
	}
	close(goOn)
	group.Wait()
	if h := pool.Health(); h.Waiting != 0 || h.Longest != 0 || h.Err != nil {
		t.Errorf("health %+v at rest", h)
	}
}

func TestWorkersWaitForTheirTenantsAsFarAsMemoryGoes(t *testing.T) {
	t.Parallel()
	tenants := []string{"a", "b", "c", "d"}
	for name, tc := range map[string]struct {
		idle int64
		kept int
	}{"plenty": {64 << 30, 4}, "none": {1, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := start(t, render.Config{Workers: 1, Idle: tc.idle})
			pids := func(order []string) (pids []int) {
				for _, tenant := range order {
					pids = append(pids, pidOf(t, pool, tenant))
				}
				return pids
			}
			first := pids(tenants)
			again := slices.Clone(tenants)
			slices.Reverse(again) // the one used last first
			kept := 0
			for _, pid := range pids(again) {
				if slices.Contains(first, pid) {
					kept++
				}
			}
			if kept != tc.kept {
				t.Errorf("%d workers waited, want %d", kept, tc.kept)
			}
		})
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return 0
}
