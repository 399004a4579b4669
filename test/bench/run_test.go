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
	s := settings{objects: 4, foreign: 3, rounds: 1, commits: 1, edits: 6, rest: 2 * time.Second, bin: lab.TestBinaries(t)}
	for _, of := range shapes {
		t.Run(of.kind, func(t *testing.T) {
			t.Parallel()
			r, err := run(t.Context(), s, of)
			if err != nil {
				t.Fatal(err)
			}
			rows := []string{
				"calibration, CPU", "calibration, bare loop", "calibration, bare loop at 16",
				"all 4 changed, push to applied", "all 4 changed, spoke", "all 4 changed, spoke without dry-run", "all 4 changed, bare loop",
				"1 of 4 changed, push to applied", "1 of 4 changed, less build", "1 of 4 changed, build", "1 of 4 changed, API calls",
				"rest, object reads and writes", "rest, API calls", "rest, spoke's CPU",
				"1 of 4 changed under an overlay, push to applied", "1 of 4 changed under an overlay, build",
				"memory, hub", "memory, hub's builds", "memory, hub's private Postgres", "memory, spoke",
			}
			if of.kind == shapes[0].kind {
				rows = append(rows, "drift, p50", "drift, p99", "drift, missed")
			}
			check(t, r, rows)
		})
	}
}

func TestRunOfReleasesMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	r, err := runReleases(t.Context(), settings{releases: 3, rounds: 2, bin: lab.TestBinaries(t)})
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, []string{
		"calibration, CPU", "3 installed, declared to ready", "3 installed, plain loop", "3 installed, plain loop without waiting",
		"3 installed, spoke's CPU", "3 installed, plain loop's CPU", "3 installed, plain loop's CPU without waiting",
		"3 unchanged, asked to answered", "3 unchanged, plain loop", "3 unchanged, spoke's CPU", "3 unchanged, plain loop's CPU", "3 unchanged, API calls",
	})
}

func TestRunOfRolloutsMeasuresEveryRow(t *testing.T) {
	t.Parallel()
	r, err := runRollouts(t.Context(), settings{spokes: 6, clusters: 30, assignments: 90, rounds: 1, bin: lab.TestBinaries(t)})
	if err != nil {
		t.Fatal(err)
	}
	check(t, r, []string{
		"calibration, CPU", "rollout over 6 spokes in 3 waves", "rollout over 6 spokes in 3 waves, first", "rollout over 6 spokes in 3 waves, steps",
		"rollout over 6 spokes in 3 waves, commits a spoke", "step over 30 clusters, engine", "step over 30 clusters, on Postgres",
		"step over 30 clusters, clusters moved", "step over 30 clusters, round trips", "list of 90 assignments, a page", "list of 90 assignments, a page, p99",
	})
	for _, f := range r.Figures {
		if strings.HasSuffix(f.Name, ", round trips") && f.Max-f.Min > 5 {
			t.Errorf("steps make from %v to %v round trips: what a step changes is not one batch", f.Min, f.Max)
		}
	}
}

func check(t *testing.T, r report, rows []string) {
	t.Helper()
	table := r.table()
	for _, name := range rows {
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
		if races := f.Name == "all 4 changed, spoke" || f.Name == "all 4 changed, spoke without dry-run"; races && f.Ratio == 0 {
			t.Errorf("%s is compared with nothing", f.Name)
		}
		if mayBeNothing := strings.HasPrefix(f.Name, "drift") || strings.Contains(f.Name, "unchanged, ") || strings.HasPrefix(f.Name, "rest"); f.Value == 0 && !mayBeNothing {
			t.Errorf("%s is 0", f.Name)
		}
		if f.Name == "drift, missed" && f.Value != 0 {
			t.Errorf("%v edits were missed", f.Value)
		}
	}
}
