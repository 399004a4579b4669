package render_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

func TestABuildOverALimitEndsAndSaysWhich(t *testing.T) {
	t.Parallel()
	for hook, tc := range map[string]struct {
		config render.Config
		want   []string
	}{
		"bomb":    {render.Config{Memory: 192 << 20}, []string{"192 MiB", "after reading a.yaml"}},
		"spin":    {render.Config{CPU: time.Second}, []string{"more than 1s of processor time"}},
		"hang":    {render.Config{Wall: 300 * time.Millisecond}, []string{"longer than 300ms", "after reading a.yaml"}},
		"panic":   {render.Config{}, []string{"crashed: panic: on purpose"}},
		"exit":    {render.Config{}, []string{"crashed: exit status 0"}},
		"recurse": {render.Config{}, []string{"nested too deep"}},
		"flood":   {render.Config{}, []string{"crashed: it asked for more than 4000 files"}},
		"peeks":   {render.Config{}, []string{"crashed: it asked for more than 4000 files"}},
		"huge":    {render.Config{}, []string{"crashed: it sent a message 'O' of 4294967295 bytes"}},
		"garbage": {render.Config{}, []string{"crashed: it sent a malformed message"}},

		"wrong path":      {render.Config{}, []string{"crashed: it sent a malformed message"}},
		"odd path":        {render.Config{}, []string{"crashed: it sent a malformed message"}},
		"long names":      {render.Config{}, []string{"crashed: the names of the files that it asked for have more than 4194304 bytes"}},
		"questions":       {render.Config{}, []string{"crashed: it asked more than 30000 times for files"}},
		"same as nothing": {render.Config{}, []string{"crashed: it sent a malformed message"}},
		"alone":           {render.Config{}, []string{"crashed: it had a fresh worker"}},
		"odd way":         {render.Config{}, []string{"crashed: it sent a malformed message"}},
		"odd input":       {render.Config{}, []string{"crashed: it sent a malformed message"}},
		"no path":         {render.Config{}, []string{"crashed: it sent a malformed message"}},
	} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			pool := start(t, tc.config)
			_, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")}), hook)
			if !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("error %v, want an invalid one", err)
			}
			for _, part := range tc.want {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			if result, err := pool.Build(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")})); err != nil || len(result.Objects) != 1 {
				t.Errorf("the next build: %q, %v", result.Objects, err)
			}
		})
	}
}

// The sizes are the tree's: a worker does not read what it holds or need not read.
func TestABuildThatReadsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	large := strings.Repeat("# "+strings.Repeat("x", 1022), 10<<10) // 10 MiB
	const list = "resources: [a.yaml, b.yaml, c.yaml]\n"
	files := map[string]string{"a.yaml": configMap("a") + large, "b.yaml": configMap("b") + large, "c.yaml": configMap("c")}
	for name, tc := range map[string]struct{ kustomization, path string }{
		"plain": {list, "."}, "engine": {list + "namePrefix: x-\n", "."}, "many files": {"resources: [many]\n", "."}, "scanned": {"", "."},
	} {
		all := maps.Clone(files)
		if all["kustomization.yaml"] = tc.kustomization; tc.kustomization == "" {
			delete(all, "kustomization.yaml")
		}
		if name == "many files" {
			all["many/kustomization.yaml"] = list
			for i := range 10_001 {
				all[fmt.Sprintf("many/f%05d", i)] = "1"
			}
			for _, file := range []string{"a.yaml", "b.yaml", "c.yaml"} {
				all["many/"+file] = all[file]
				delete(all, file)
			}
		}
		result, err := pool.Build(t.Context(), newJob("a", all))
		if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "the build reads more than 20971520 bytes") {
			t.Errorf("%s: %d objects, error %v, want one of the bound", name, len(result.Objects), err)
		}
	}
}

func TestABuildWithoutMemoryForAThreadIsTriedAgain(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Memory: 192 << 20, Metrics: registry})
	_, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")}), "no thread")
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "more memory than the 192 MiB") {
		t.Errorf("error %v, want that of a build with too little memory", err)
	}
	if got, want := counts(t, registry), map[string]float64{"limit": 2}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestABuildThatCrashesAFreshWorkerIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 1, Metrics: registry})
	if _, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")}), "panic"); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want an invalid one", err)
	}
	if got, want := counts(t, registry), map[string]float64{"limit": 1}; !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// What a worker holds of earlier builds may be why it had too little memory for this one.
func TestABuildThatCrashesAUsedWorkerIsTriedAgainInAFreshOne(t *testing.T) {
	t.Parallel()
	for hook, again := range map[string]float64{"panic": 2, "bomb": 2, "spin": 1} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			pool := start(t, render.Config{Workers: 1, Memory: 192 << 20, CPU: time.Second, Metrics: registry})
			pidOf(t, pool, "a")
			if _, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"a.yaml": configMap("a")}), hook); !errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("error %v, want an invalid one", err)
			}
			if got, want := counts(t, registry), map[string]float64{"ok": 1, "limit": again}; !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}
