package render_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

func TestABuildSaysHowItWasMade(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 1, CheckEvery: 1, Metrics: registry})
	made := func(kustomization string) string {
		t.Helper()
		result, err := pool.Build(t.Context(), newJob("a", map[string]string{"kustomization.yaml": kustomization, "a.yaml": configMap("a"), "b.yaml": "nameReference: []\n"}))
		if err != nil || len(result.Objects) != 1 || result.Difference != nil || result.Reason == "" {
			t.Fatalf("%+v, %v", result, err)
		}
		return string(result.Way)
	}
	const plain, engine, kustomize = "resources: [a.yaml]\n", "resources: [a.yaml]\nnamePrefix: x-\n", "resources: [a.yaml]\nconfigurations: [b.yaml]\n"
	got := []string{made(plain), made(plain), made(engine), made(kustomize)}
	if diff := cmp.Diff([]string{"plain", "plain", "engine", "kustomize"}, got); diff != "" {
		t.Errorf("ways (-want +got):\n%s", diff)
	}
	_, err := pool.Build(t.Context(), newJob("a", map[string]string{"kustomization.yaml": "resources: [a.yaml, a.yaml]\nnamePrefix: x-\n", "a.yaml": configMap("a")}))
	if err == nil {
		t.Error("a resource that is there twice is built")
	}
	if _, err := pool.Build(t.Context(), newJob("a", map[string]string{"kustomization.yaml": "secretGenerator: [{name: s, envs: [s.env]}]\n", "s.env": "A=ENC[x]\nsops_mac=ENC[x]\n"})); err == nil {
		t.Error("what is encrypted is built")
	}
	want := map[string]float64{"plain ": 1, "kept ": 1, "engine ": 1, "kustomize configurations": 1, "kustomize doubt": 1, "encrypted ": 1}
	if diff := cmp.Diff(want, labelled(t, registry, "flotilla_render_ways_total", "way", "cause")); diff != "" {
		t.Errorf("ways counted (-want +got):\n%s", diff)
	}
	if got, want := labelled(t, registry, "flotilla_render_checks_total", "result"), map[string]float64{"same": 2, "different": 0, "skipped": 0}; !maps.Equal(got, want) {
		t.Errorf("checks %v, want %v", got, want)
	}
}

// Kustomize takes longer than the build did, and it may not come to its end.
func TestWhatWasBuiltCountsIfItsCheckDoesNotEnd(t *testing.T) {
	t.Parallel()
	for hook, replaced := range map[string]bool{"check hangs": true, "check exits": true, "check cannot read": false} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			registry := prometheus.NewRegistry()
			pool := start(t, render.Config{Workers: 1, Wall: 3 * time.Second, Metrics: registry})
			before := pidOf(t, pool, "a")
			job := newJob("a", map[string]string{"a.yaml": configMap("a"), "away.yaml": "x"})
			job.Blob = func(context.Context, fleet.Digest) ([]byte, error) { return nil, errors.New("the store is away") }
			result, err := pool.BuildHook(t.Context(), job, hook)
			if err != nil || len(result.Objects) != 1 || string(result.Objects[0]) != "built" || result.Way != build.ClassEngine || result.Reason != "a reason" {
				t.Errorf("%+v, error %v", result, err)
			}
			if want := []string{"a.yaml"}; replaced && !slices.Equal(result.Inputs, want) {
				t.Errorf("inputs %q, want %q", result.Inputs, want)
			}
			if after := pidOf(t, pool, "a"); (after != before) != replaced {
				t.Errorf("the worker was replaced: %t, want %t", after != before, replaced)
			}
			if got, want := counts(t, registry), map[string]float64{"ok": 3}; !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
			skipped := map[bool]float64{true: 1}[replaced]
			if got := labelled(t, registry, "flotilla_render_checks_total", "result")["skipped"]; got != skipped {
				t.Errorf("%v checks were skipped, want %v", got, skipped)
			}
		})
	}
}

func TestWhatAWorkerSaysOfABuildIsCut(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	result, err := pool.BuildHook(t.Context(), newJob("a", nil), "differ at length")
	if err != nil || result.Difference == nil {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, text := range []string{result.Reason, result.Difference.Dir, result.Difference.What} {
		if len(text) != 1<<10 || !strings.HasPrefix(text, "<\x01<") {
			t.Errorf("%d bytes: %q", len(text), text)
		}
	}
}

// A build that went over a limit is the one of which it has to be known how it was made.
func TestABuildThatDoesNotEndSaysHowItWasToBeMade(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 1, Wall: 500 * time.Millisecond, Metrics: registry})
	for fields, way := range map[string]build.Class{"crds: [crd.json]\n": build.ClassKustomize, "namePrefix: p-\n": build.ClassEngine} {
		result, err := pool.Build(t.Context(), endless(fields))
		if !errors.Is(err, fleet.ErrInvalid) || result.Way != way || !strings.Contains(result.Reason, fields[:4]) {
			t.Errorf("%s: by %s, because of %q: %v", fields, result.Way, result.Reason, err)
		}
	}
	want := map[string]float64{"kustomize crds": 1, "engine ": 1}
	if diff := cmp.Diff(want, labelled(t, registry, "flotilla_render_ways_total", "way", "cause")); diff != "" {
		t.Errorf("ways counted (-want +got):\n%s", diff)
	}
}

// TestADifferenceIsRemembered: the worker that found it is replaced before the next build.
func TestADifferenceIsRemembered(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	pool := start(t, render.Config{Workers: 1, JobsPerWorker: 1, Metrics: registry})
	files := map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "a.yaml": configMap("a")}
	job := newJob("a", files)
	plan, err := build.NewPlan(t.Context(), artifact.NewFS(job.Tree, func(d fleet.Digest) ([]byte, error) { return job.Blob(t.Context(), d) }), ".", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	way := func(tenant string) build.Class {
		t.Helper()
		result, err := pool.Build(t.Context(), newJob(tenant, files))
		if err != nil || len(result.Objects) != 1 {
			t.Fatalf("%+v, %v", result, err)
		}
		return result.Way
	}
	if way := way("a"); way != build.ClassEngine {
		t.Fatalf("it is built by %s", way)
	}
	result, err := pool.BuildHook(t.Context(), newJob("a", map[string]string{"shape": string(plan.Shape[:])}), "differ")
	if err != nil || result.Difference == nil || result.Difference.What != "Secret/a/b has another content" {
		t.Fatalf("%+v, %v", result, err)
	}
	for tenant, want := range map[string]build.Class{"a": build.ClassKustomize, "b": build.ClassEngine} {
		if way := way(tenant); way != want {
			t.Errorf("tenant %s: it is built by %s, want %s", tenant, way, want)
		}
	}
	want := map[string]float64{"engine ": 2, "kustomize other": 1, "kustomize distrust": 1}
	if diff := cmp.Diff(want, labelled(t, registry, "flotilla_render_ways_total", "way", "cause")); diff != "" {
		t.Errorf("ways counted (-want +got):\n%s", diff)
	}
	if got, want := labelled(t, registry, "flotilla_render_checks_total", "result"), map[string]float64{"same": 0, "different": 1, "skipped": 0}; !maps.Equal(got, want) {
		t.Errorf("checks %v, want %v", got, want)
	}
}

// TestAPoolDistrustsWhatItIsTold: what was found out may be older than the pool, and its workers know nothing of it.
func TestAPoolDistrustsWhatItIsTold(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	files := map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "a.yaml": configMap("a")}
	job := newJob("a", files)
	plan, err := build.NewPlan(t.Context(), artifact.NewFS(job.Tree, func(d fleet.Digest) ([]byte, error) { return job.Blob(t.Context(), d) }), ".", fleet.BuildSpec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []build.Class{build.ClassEngine, build.ClassKustomize} { // the same worker both times
		if result, err := pool.Build(t.Context(), job); err != nil || result.Way != want {
			t.Errorf("built by %s, want %s: %v", result.Way, want, err)
		}
		pool.Distrust("a", plan.Shape)
		pool.Distrust("a")
	}
	if result, err := pool.Build(t.Context(), newJob("b", files)); err != nil || result.Way != build.ClassEngine {
		t.Errorf("another tenant's is built by %s: %v", result.Way, err)
	}
}

// custom is an object whose list kustomize replaces, unless a schema says that it is merged by name.
const custom = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec: {items: [{name: x, value: 1}, {name: y, value: 2}]}\n"

const schema = `{"definitions": {"v1.Thing": {"type": "object",
	"x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Thing"}],
	"properties": {"spec": {"type": "object", "properties": {"items": {"type": "array", "x-kubernetes-patch-merge-key": "name",
		"x-kubernetes-patch-strategy": "merge", "items": {"type": "object"}}}}}}}}`

const patched = "resources: [a.yaml]\npatches: [{patch: '{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}, spec: {items: [{name: x, value: 3}]}}'}]\n"

func TestABuildWithASchemaHasAWorkerOfItsOwn(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1, Idle: 64 << 30})
	items := func(tenant, kustomization string) string {
		t.Helper()
		result, err := pool.Build(t.Context(), newJob(tenant, map[string]string{"kustomization.yaml": kustomization, "a.yaml": custom, "schema.json": schema}))
		if err != nil || len(result.Objects) != 1 {
			t.Fatalf("%q, %v", result.Objects, err)
		}
		return fmt.Sprint(strings.Count(string(result.Objects[0]), "value:"))
	}
	const withSchema = patched + "openapi: {path: schema.json}\n"
	fresh := items("fresh", withSchema) // the tenant's first
	before := pidOf(t, pool, "a")
	got := []string{fresh, items("a", patched), items("a", withSchema), items("a", patched), items("b", patched), items("fresh", patched)}
	if diff := cmp.Diff([]string{"2", "1", "2", "1", "1", "1"}, got); diff != "" {
		t.Errorf("items of the list with and without the schema (-want +got):\n%s", diff)
	}
	if after := pidOf(t, pool, "a"); after != before {
		t.Error("the tenant's other builds lost their worker")
	}
	var served []int
	for _, tenant := range []string{"a", "b", "fresh"} {
		served = append(served, pidOf(t, pool, tenant))
	}
	eventually(t, "there are three workers that served, and a spare one", func() bool {
		workers := pool.Workers()
		for _, w := range workers {
			served = slices.DeleteFunc(served, func(pid int) bool { return pid == w.Pid })
		}
		return len(workers) == 4 && len(served) == 0
	})
}

// The file that chose how to build is not the one that kustomize panics on.
func TestAPanicIsNotBlamedOnAnotherFile(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1})
	_, err := pool.Build(t.Context(), newJob("a", map[string]string{
		"kustomization.yaml": "resources: [base]\ncrds: [c.json]\n", "c.json": "{}",
		"base/kustomization.yaml": patched + "openapi: {path: s.json}\n", "base/a.yaml": custom, "base/s.json": "{",
	}))
	if err == nil || !strings.HasPrefix(err.Error(), "build .: invalid: kustomize panicked") || !strings.Contains(err.Error(), "(after reading base/") {
		t.Errorf("error %v", err)
	}
}

// labelled are a counter's values by the values of labels.
func labelled(t *testing.T, registry *prometheus.Registry, name string, labels ...string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, label := range labels {
				for _, l := range m.GetLabel() {
					if l.GetName() == label {
						values = append(values, l.GetValue())
					}
				}
			}
			out[strings.Join(values, " ")] = m.GetCounter().GetValue()
		}
	}
	return out
}
