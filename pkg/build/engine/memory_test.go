package engine_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/build/engine"
)

// It is not parallel: others would use memory meanwhile.
func TestPatchesCountAsWhatTheyTakeInMemory(t *testing.T) {
	const limit = 8 << 20
	e := engine.New(limit)
	files := map[string]string{
		"/app/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n",
		"/app/a.yaml":             "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\n",
	}
	change := func(i int) {
		var patch strings.Builder
		patch.WriteString("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec:\n")
		for line := range 10_000 {
			fmt.Fprintf(&patch, "- value%d of %d\n", i, line)
		}
		files["/app/p.yaml"] = patch.String()
	}
	build := func(i int) uint64 {
		change(i)
		if _, err := e.Build(t.Context(), fsOf(files), "/app"); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	first, last := build(0), uint64(0)
	for i := range 14 {
		last = build(i + 1)
	}
	t.Logf("%d MiB after the first, %d MiB after the last", first>>20, last>>20)
	if last > first+2*limit {
		t.Errorf("the engine of %d MiB takes %d MiB more", limit>>20, (last-first)>>20)
	}
	runtime.KeepAlive(e)
}
