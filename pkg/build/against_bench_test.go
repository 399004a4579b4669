package build_test

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/build/buildtest"
	"flotilla.dev/flotilla/pkg/fleet"
)

// BenchmarkAgainstKustomize prints a table of what a Builder's builds cost and how many times as much kustomize's own cost
// in the same run. It is to be run once: -benchtime 1x.
func BenchmarkAgainstKustomize(b *testing.B) {
	fmt.Printf(rowFormat, "BUILD", "OBJECTS", "WHAT", "VALUE", "KUSTOMIZE'S", "RATIO", "TARGET")
	for _, c := range []contest{
		{shape: "plain", objects: 100, kustomize: 9, builder: 15},
		{shape: "overlay", objects: 100, kustomize: 9, builder: 15, cold: 2},
		{shape: "plain", objects: 1000, kustomize: 3, builder: 5, cold: 4, changed: 100, memory: 3},
		{shape: "scanned", objects: 1000, kustomize: 3, builder: 5, cold: 4, changed: 100, memory: 3},
		{shape: "overlay", objects: 1000, kustomize: 3, builder: 5, cold: 6, changed: 30, memory: 3},
		{shape: "plain", objects: 5000, kustomize: 1, builder: 3},
		{shape: "overlay", objects: 5000, kustomize: 1, builder: 3, cold: 25},
	} {
		b.Run(fmt.Sprintf("%s/objects=%d", c.shape, c.objects), func(b *testing.B) {
			for range b.N {
				c.run(b)
			}
		})
	}
}

// contest is builds of one shape and size: how often each is timed, and how many times as much kustomize has to take, or
// to allocate, at least; 0: that is not asked.
type contest struct {
	shape                       string
	objects, kustomize, builder int
	cold, changed, memory       float64
}

// unchangedTarget is what a build may take of which nothing has changed.
const unchangedTarget = time.Millisecond

const rowFormat = "%-8s  %7v  %-25s  %10s  %11s  %9s  %s\n"

func (c contest) run(b *testing.B) {
	overlay := c.shape == "overlay"
	tree, dir := buildtest.Workload(c.objects, overlay), buildtest.Dir
	if c.shape == "scanned" { // the base, without its list
		dir = "base"
		delete(tree.Files, "base/kustomization.yaml")
	}
	fsys := blobs(b, tree)
	var want [][]byte
	var used *build.Builder
	do := func(fsys build.FileSystem, want [][]byte) {
		out, err := used.Build(b.Context(), fsys, dir, tree.Spec)
		if err != nil || out.Way == build.ClassKustomize || len(out.Objects) != c.objects || want != nil && !slices.EqualFunc(out.Objects, want, bytes.Equal) {
			b.Fatalf("%s of %d objects, built by %s (%s): %d objects, not as kustomize has them, or %v", c.shape, c.objects, out.Way, out.Reason, len(out.Objects), err)
		}
	}
	var theirs, ours, one, none costs
	for i := range c.builder { // in turn, for what else goes on on the machine
		if i < c.kustomize {
			theirs.run(func() {
				var err error
				if want, err = build.Build(b.Context(), fsys, dir, tree.Spec); err != nil {
					b.Fatal(err)
				}
			})
		}
		used = build.NewBuilder(build.Options{CacheBytes: 1 << 30})
		ours.run(func() { do(fsys, want) })
	}
	for i := range max(c.builder, 5) {
		tree.Touch(i)
		changed := blobs(b, tree)
		one.run(func() { do(changed, nil) })
		none.run(func() { do(changed, nil) })
		if i == 0 && c.objects <= 1000 { // what is changed is right, too
			want, err := build.Build(b.Context(), changed, dir, tree.Spec)
			if err != nil {
				b.Fatal(err)
			}
			do(changed, want)
		}
	}

	row := func(what, value, kustomizes string, ratio float64, target string) {
		fmt.Printf(rowFormat, c.shape, c.objects, what, value, kustomizes, fmt.Sprintf("%.1fx", ratio), target)
	}
	slow, quick := median(theirs.took), median(ours.took)
	row("cold", millis(quick), millis(slow), slow/quick, targetOf(slow/quick, c.cold))
	quick = median(one.took)
	row("one file changed", millis(quick), millis(slow), slow/quick, targetOf(slow/quick, c.changed))
	quick = median(none.took)
	target := "<= " + millis(unchangedTarget.Seconds())
	if quick > unchangedTarget.Seconds() {
		target += ", missed"
	}
	row("nothing changed", millis(quick), millis(slow), slow/quick, target)
	much, little := median(theirs.allocated), median(ours.allocated)
	row("cold, allocated", mebi(little), mebi(much), much/little, targetOf(much/little, c.memory))
	much, little = median(theirs.peak), median(ours.peak)
	row("cold, heap at its largest", mebi(little), mebi(much), much/little, "")
}

// costs are what each of some runs took, in seconds, and what it added to the heap, in bytes.
type costs struct{ took, allocated, peak []float64 }

func (c *costs) run(do func()) {
	runtime.GC()
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	watch := watchHeap()
	began := time.Now()
	do()
	c.took = append(c.took, time.Since(began).Seconds())
	top := watch()
	runtime.ReadMemStats(&end)
	c.allocated = append(c.allocated, float64(end.TotalAlloc-start.TotalAlloc))
	c.peak = append(c.peak, max(top, float64(end.HeapAlloc))-float64(start.HeapAlloc))
}

// watchHeap returns what ends the watch: it returns the largest heap that was seen.
func watchHeap() func() float64 {
	stop, largest := make(chan struct{}), make(chan float64)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		top := uint64(0)
		for {
			select {
			case <-ticker.C:
				metrics.Read(sample)
				top = max(top, sample[0].Value.Uint64())
			case <-stop:
				largest <- float64(top)
				return
			}
		}
	}()
	return func() float64 { close(stop); return <-largest }
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func millis(seconds float64) string {
	ms := seconds * 1000
	switch {
	case ms >= 99.95:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 9.995:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.3g ms", ms)
}

func mebi(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

// targetOf says how many times as much kustomize has to take, and whether it does.
func targetOf(ratio, target float64) string {
	switch {
	case target == 0:
		return ""
	case ratio < target:
		return fmt.Sprintf(">= %gx, missed", target)
	}
	return fmt.Sprintf(">= %gx", target)
}

// blobs is the tree as the hub has it: files by their digests.
func blobs(b *testing.B, tree buildtest.Tree) *artifact.FS {
	b.Helper()
	content := map[fleet.Digest][]byte{}
	for _, text := range tree.Files {
		content[fleet.DigestOf([]byte(text))] = []byte(text)
	}
	return artifact.NewFS(artifactTree(b, tree.Files), func(d fleet.Digest) ([]byte, error) { return content[d], nil })
}
