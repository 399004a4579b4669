package git_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkOneFileChanged prints a table of what a commit takes that changes one of 20,000 files after 5,000 commits, from
// asking upstream to a Tree stored in Postgres. In turn with it come `git fetch` and `git archive` of the changed path.
func BenchmarkOneFileChanged(b *testing.B) {
	r := newLarge(b, 20_000, 5_000)
	db := newDatabase(b)
	f := r.fetched(db)
	before := memoryNow()
	f.fetch(b)
	held := memoryNow()
	clone := filepath.Join(b.TempDir(), "clone.git")
	r.git(b.TempDir(), "clone", "--quiet", "--bare", r.url, clone)
	var ours, theirs, written, logged, heap, resident []float64
	for b.Loop() {
		r.fastImport(r.commit())
		sides := []func(){
			func() {
				from := db.now()
				stop := watchMemory()
				began := time.Now()
				f.fetch(b)
				ours = append(ours, time.Since(began).Seconds())
				top := stop()
				heap, resident = append(heap, top.heap-before.heap), append(resident, top.resident-before.resident)
				rows, log := db.writtenSince(from)
				written, logged = append(written, rows), append(logged, log)
			},
			func() {
				began := time.Now()
				r.git(clone, "fetch", "--quiet", "origin", "+refs/heads/main:refs/heads/main")
				r.git(clone, "archive", "--output="+filepath.Join(clone, "out.tar"), "main", r.changed())
				theirs = append(theirs, time.Since(began).Seconds())
			},
		}
		if r.next%2 == 0 {
			slices.Reverse(sides)
		}
		for _, side := range sides {
			side()
		}
	}
	line := func(columns ...any) {
		fmt.Println(strings.TrimRight(fmt.Sprintf("%-56s  %9s  %8s  %5s  %s", columns...), " "))
	}
	line(fmt.Sprintf("ONE FILE OF 20,000 CHANGED, %d TIMES", len(ours)), "VALUE", "GIT'S", "RATIO", "TARGET")
	took, gits := middle(ours), middle(theirs)
	line("from asking upstream to a stored Tree, median", millis(took), millis(gits), fmt.Sprintf("%.2fx", took/gits), targetOf("2x", took/gits <= 2))
	row := func(what, value, target string) { line(what, value, "", "", target) }
	row("written to the store, contents and rows, the most", kibi(slices.Max(written)), targetOf("64 KiB", slices.Max(written) <= mostWritten))
	row("written to the store, contents and rows, median", kibi(middle(written)), "")
	row("Postgres' log, indexes and whole pages in it, the most", kibi(slices.Max(logged)), "")
	row("Postgres' log, median", kibi(middle(logged)), "")
	row("heap at its largest, above that before the first fetch", mebi(slices.Max(heap)), targetOf("64 MiB", slices.Max(heap) < mostGrown))
	if before.resident > 0 {
		row("resident memory at its largest, above that before", mebi(slices.Max(resident)), targetOf("64 MiB", slices.Max(resident) < mostGrown))
	}
	row("heap held between commits, above that before", mebi(held.heap-before.heap), "")
}

func targetOf(limit string, met bool) string {
	if met {
		return "<= " + limit + ", ok"
	}
	return "<= " + limit + ", missed"
}

func middle(sample []float64) float64 {
	sorted := slices.Sorted(slices.Values(sample))
	return sorted[len(sorted)/2]
}

func millis(seconds float64) string { return fmt.Sprintf("%.1f ms", seconds*1000) }
func kibi(size float64) string      { return fmt.Sprintf("%.1f KiB", size/(1<<10)) }
func mebi(size float64) string      { return fmt.Sprintf("%.1f MiB", size/(1<<20)) }
