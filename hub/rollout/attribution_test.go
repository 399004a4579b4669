package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// P3: reports of another generation, or of another Release, are evidence of nothing.
func TestNoClusterSucceedsByAReportOfAnythingElse(t *testing.T) {
	t.Parallel()
	for what, forge := range map[string]func(a fleet.Assignment, before fleet.Digest) rollout.Report{
		"the generation before": func(a fleet.Assignment, _ fleet.Digest) rollout.Report {
			return rollout.Report{Generation: a.Pin - 1, Release: a.Release.Digest()}
		},
		"the Release before": func(a fleet.Assignment, before fleet.Digest) rollout.Report {
			return rollout.Report{Generation: a.Generation, Release: before}
		},
		"the Release before, at a later generation": func(a fleet.Assignment, before fleet.Digest) rollout.Report {
			return rollout.Report{Generation: a.Generation + 1, Release: before}
		},
		"no Release": func(a fleet.Assignment, _ fleet.Digest) rollout.Report {
			return rollout.Report{Generation: a.Generation}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(3, canaryThenRest())
			one := w.push("one", nil)
			w.run(100, func() bool { return w.idle() && w.all(one) })
			w.push("two", nil)
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			row := w.row("id-c0")
			report := forge(*row.Assignment, one)
			report.Stage, report.Converged, report.Available = fleet.StageSettled, true, true
			row.Report = &report
			for range 3 {
				w.state.Now = w.state.Now.Add(10 * time.Second)
				if err := w.step(nil); err != nil {
					t.Fatal(err)
				}
			}
			if m := w.state.Active.Members[0]; m.Phase != rollout.MemberDispatched {
				t.Errorf("cluster %s is %s by a report of %s", m.Name, m.Phase, what)
			}
		})
	}
}

// P19: what the hub says to a cluster is numbered so that a spoke, which takes nothing older than what it has, never runs
// again what it has left behind, whoever repeats it. That a real spoke takes nothing older, be it after a restart or without its
// volume, is TestStateNeverGoesBack of spoke/session.
func TestAnOldReplicaChangesNothingInAnyCluster(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 8, 20)
		s.noise = 0
		w := s.start()
		said := map[string][]fleet.Assignment{}
		o := watchWith(w)
		w.watch = func(before rollout.State, step rollout.Step) {
			o.step(before, step)
			for id, put := range step.Put {
				said[id] = append(said[id], put.Assignment)
			}
		}
		stale := rapid.IntRange(0, 1000).Draw(t, "stale")
		s.play(w, func() bool {
			for id, all := range said {
				spoke := w.spokes[id]
				if spoke == nil {
					continue
				}
				runs := spoke.runs
				old := all[stale%len(all)]
				if old.Generation >= runs.Generation {
					continue
				}
				if spoke.receive(w, rollout.Row{Assignment: &old, Release: old.Release.Digest()}); spoke.runs.Generation != runs.Generation {
					t.Fatalf("%s ran %d and goes back to %d", id, runs.Generation, old.Generation)
				}
				for i, a := range all[1:] {
					if a.Generation <= all[i].Generation {
						t.Fatalf("%s is told %d after %d", id, a.Generation, all[i].Generation)
					}
				}
			}
			return len(o.broken) == 0
		})
		return w, o
	})
}

// P11: a policy's numbers are worked out by one rule, here by counting.
func TestNumbersOfAPolicyAreRoundedByOneRule(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 50; n++ {
		for p := 0; p <= 100; p++ {
			floor, ceiling := 0, 0
			for k := 1; k <= n; k++ {
				if 100*k <= n*p {
					floor = k
				}
			}
			for 100*ceiling < n*p {
				ceiling++
			}
			amount := fleet.Percent(p)
			if got := amount.Of(n); got != floor {
				t.Errorf("%d%% of %d is %d, want %d", p, n, got, floor)
			}
			if got := amount.AtLeastOneOf(n); got != max(1, floor) {
				t.Errorf("%d%% of %d, at least one, is %d, want %d", p, n, got, max(1, floor))
			}
			if got := amount.RoundedUpOf(n); got != ceiling {
				t.Errorf("%d%% of %d, rounded up, is %d, want %d", p, n, got, ceiling)
			}
			number := fleet.Clusters(p)
			if got := number.Of(n); got != min(n, p) {
				t.Errorf("%d of %d is %d", p, n, got)
			}
		}
	}
}

// P11: the numbers that a Rollout works by are those, of the clusters of its wave, and of all of them.
func TestTheNumbersOfARolloutAreThoseOfItsPolicy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		n                                          int
		concurrent, failures, unavailable          *fleet.Amount
		maxConcurrent, maxFailures, maxUnavailable int
	}{
		{10, fleet.Percent(25), fleet.Percent(25), fleet.Percent(10), 2, 2, 1},
		{10, fleet.Percent(9), fleet.Percent(9), fleet.Percent(9), 1, 0, 1},
		{10, fleet.Percent(100), fleet.Percent(100), fleet.Percent(100), 10, 10, 10},
		{3, fleet.Clusters(5), fleet.Clusters(5), fleet.Clusters(5), 3, 3, 3},
		{3, fleet.Clusters(1), fleet.Clusters(0), fleet.Clusters(2), 1, 0, 2},
		{200, fleet.Percent(1), fleet.Percent(1), fleet.Percent(33), 2, 2, 66},
	} {
		t.Run(fmt.Sprintf("%d clusters, %s %s %s", test.n, test.concurrent, test.failures, test.unavailable), func(t *testing.T) {
			t.Parallel()
			w := newWorld(test.n, fleet.RolloutPolicy{MaxUnavailable: test.unavailable,
				Waves: []fleet.Wave{{Name: "all", MaxConcurrent: test.concurrent, MaxFailures: test.failures}}})
			w.push("one", nil)
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			r := w.state.Active
			if r.Waves[0].MaxConcurrent != test.maxConcurrent || r.Waves[0].MaxFailures != test.maxFailures || r.MaxUnavailable != test.maxUnavailable {
				t.Errorf("it works by %d, %d and %d", r.Waves[0].MaxConcurrent, r.Waves[0].MaxFailures, r.MaxUnavailable)
			}
		})
	}
}
