package render_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
)

// aliasBomb is a YAML value of ten to the ninth letters.
func aliasBomb() string {
	bomb := "  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	return bomb
}

// gigabyte is a kustomization whose ConfigMap has a file of a megabyte a thousand times.
func gigabyte() map[string]string {
	var list strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&list, "  - k%d=large.txt\n", i)
	}
	return map[string]string{
		"kustomization.yaml": "configMapGenerator:\n- name: c\n  files:\n" + list.String(), "large.txt": strings.Repeat("x", 1<<20),
	}
}

// doubling is a base that 25 levels of kustomizations include twice each.
func doubling() map[string]string {
	files := map[string]string{"l0/kustomization.yaml": "resources: [a.yaml]\n", "l0/a.yaml": configMap("a")}
	for i := 1; i <= 25; i++ {
		for _, side := range []string{"a", "b"} {
			files[fmt.Sprintf("%s%d/kustomization.yaml", side, i)] = fmt.Sprintf("namePrefix: %s-\nresources: [../l%d]\n", side, i-1)
		}
		files[fmt.Sprintf("l%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../a%d, ../b%d]\n", i, i)
	}
	files["kustomization.yaml"] = "resources: [l25]\n"
	return files
}

// manyPatches is 10,000 objects that 1,000 patches are tried on.
func manyPatches() map[string]string {
	files, list := map[string]string{}, ""
	for i := range 100 {
		name, objects := fmt.Sprintf("f%d.yaml", i), ""
		for j := range 100 {
			objects += "---\n" + configMap(fmt.Sprintf("web-%d-%d", i, j))
		}
		files["base/"+name] = objects
		list += "- " + name + "\n"
	}
	files["base/kustomization.yaml"] = "resources:\n" + list
	files["kustomization.yaml"] = "resources: [base]\npatches:\n" +
		strings.Repeat("- {target: {name: 'web-.*'}, patch: \"- {op: test, path: /kind, value: ConfigMap}\\n\"}\n", 1000)
	return files
}

func TestAHostileTreeEndsWithinItsLimitsAndNamesTheFile(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 2, Memory: 192 << 20, CPU: 3 * time.Second, Wall: time.Minute})
	deep := func(n int) string {
		return configMap("a") + "data: " + strings.Repeat("{a: ", n) + "b" + strings.Repeat("}", n) + "\n"
	}
	var group sync.WaitGroup
	for name, tc := range map[string]struct {
		files map[string]string
		want  string // of the error
	}{
		"alias bomb, plain": {map[string]string{"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": configMap("a") + "data:\n" + aliasBomb()}, "a.yaml"},
		"alias bomb":        {map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "a.yaml": configMap("a") + "data:\n" + aliasBomb()}, "a.yaml"},
		"alias bomb among others": {map[string]string{
			"kustomization.yaml": "resources: [b.yaml, a.yaml, c.yaml]\nnamePrefix: x-\n", "a.yaml": configMap("a") + "data:\n" + aliasBomb(),
			"b.yaml": configMap("b"), "c.yaml": configMap("c"),
		}, "a.yaml"},
		"alias bomb in a kustomization": {map[string]string{"kustomization.yaml": "resources: []\nmetadata:\n  annotations:\n  " + strings.ReplaceAll(aliasBomb(), "\n", "\n  ") + "\n"}, "kustomization.yaml"},
		"deep nesting":                  {map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "a.yaml": deep(9000)}, "a.yaml"},
		"deeper nesting":                {map[string]string{"kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "a.yaml": deep(1_000_000)}, "a.yaml"},
		"gigabyte":                      {gigabyte(), "large.txt"},
		"doubling":                      {doubling(), "l0/a.yaml"},
		"broken schema":                 {map[string]string{"kustomization.yaml": patched + "openapi: {path: s.json}\n", "a.yaml": custom, "s.json": "{"}, "build .: kustomization.yaml: openapi: invalid: kustomize panicked"},
	} {
		group.Go(func() {
			result, err := pool.Build(t.Context(), newJob(name, tc.files))
			if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %d objects, error %v, want an invalid one that names %s", name, len(result.Objects), err, tc.want)
			}
			if result, err := pool.Build(t.Context(), newJob(name, map[string]string{"a.yaml": configMap("a")})); err != nil || len(result.Objects) != 1 {
				t.Errorf("%s: the next build: %q, %v", name, result.Objects, err)
			}
		})
	}
	for range 10 { // another tenant's, beside them
		if result, err := pool.Build(t.Context(), newJob("good", map[string]string{"a.yaml": configMap("a")})); err != nil || len(result.Objects) != 1 {
			t.Errorf("another tenant's build: %q, %v", result.Objects, err)
		}
	}
	group.Wait()
}

func TestEndlessTransformsEndWithTheirProcessorTime(t *testing.T) {
	t.Parallel()
	pool := start(t, render.Config{Workers: 1, Memory: 1 << 30, CPU: time.Second})
	_, err := pool.Build(t.Context(), newJob("a", manyPatches()))
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "more than 1s of processor time (after reading base/") {
		t.Errorf("error %v, want one about processor time that names a file", err)
	}
}
