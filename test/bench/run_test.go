package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// A run of a size that says nothing of speed.
func TestRunMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	r, err := run(t.Context(), settings{objects: 4, rounds: 1, edits: 4, rest: 2 * time.Second, bin: lab.TestBinaries(t)})
	if err != nil {
		t.Fatal(err)
	}
	table := r.table()
	for _, name := range []string{
		"calibration, CPU", "calibration, bare loop", "calibration, bare loop at 8",
		"commit, 1 of 4 changed", "bare loop, 1 of 4 changed", "commit, all 4 changed", "bare loop, all 4 changed",
		"rest, API calls", "drift, p50", "drift, p99", "memory, hub", "memory, hub's builds", "memory, hub's private Postgres", "memory, spoke",
	} {
		if !strings.Contains(table, "\n"+name+"  ") {
			t.Errorf("the table has no row %s:\n%s", name, table)
		}
	}
	for _, f := range r.Figures {
		for _, value := range []float64{f.Value, f.Min, f.Max, f.Ratio} {
			if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 {
				t.Errorf("%s is %+v", f.Name, f)
			}
		}
		if strings.HasPrefix(f.Name, "commit, ") && f.Ratio == 0 {
			t.Errorf("%s is compared with nothing", f.Name)
		}
		if f.Value == 0 && !strings.HasPrefix(f.Name, "drift") && !strings.HasPrefix(f.Name, "rest") {
			t.Errorf("%s is 0", f.Name)
		}
	}
}
