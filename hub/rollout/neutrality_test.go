package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/pkg/fleet"
)

// numbered is a policy whose numbers do not depend on how many clusters there are.
func drawNumbered(t *rapid.T) fleet.RolloutPolicy {
	p := drawPolicy(t)
	number := func(least int) *fleet.Amount { return fleet.Clusters(rapid.IntRange(least, 4).Draw(t, "number")) }
	p.MaxUnavailable, p.OnFailure.MaxConcurrent, p.CatchUp.MaxConcurrent, p.Unmatched = number(1), number(1), number(1), fleet.UnmatchedLast
	for i := range p.Waves {
		w := &p.Waves[i]
		w.MaxConcurrent, w.MaxFailures, w.MinUpdated, w.Limit, w.Required = number(1), number(0), number(0), nil, false
	}
	return p
}

// P8 (I11): a cluster that is away before its turn and stays so makes no difference to the others.
func TestAClusterThatIsAwayMakesNoDifference(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := script{policy: drawNumbered(t), ticks: 60}
		n := rapid.IntRange(2, 12).Draw(t, "clusters")
		for range n {
			s.labels = append(s.labels, drawLabels(t))
		}
		for i := range s.policy.Waves { // somebody is in each, so that it is the same one in both
			s.policy.Waves[i].Select = nil
			s.policy.Waves[i].Limit = fleet.Clusters(100)
			s.policy.Waves[i].MinUpdated = fleet.Clusters(1) // as many as are left in any case
		}
		truth := s.drawTruth(t)
		away := rapid.IntRange(0, n-1).Draw(t, "away")
		others := func(with bool) ([]string, *world, *oracle) {
			w := s.start()
			o := watchWith(w)
			name := fmt.Sprintf("c%03d", away)
			if with {
				w.cluster(name).Connected = false
			} else {
				w.leave(name)
			}
			s.play(w, func() bool { return true })
			w.push("next", truth)
			s.play(w, func() bool { return true })
			var told []string
			for i, e := range w.log {
				if e.Cluster != "" && e.Cluster != name {
					told = append(told, fmt.Sprintf("%s %s %s %s", w.at[i].Format(time.TimeOnly), e.Type, e.Cluster, e.Reason))
				}
			}
			for _, p := range w.pins {
				if p.cluster == "id-"+name {
					t.Fatalf("it got %s while it is away", p.release)
				}
			}
			return told, w, o
		}
		without, _, _ := others(false)
		with, w, o := others(true)
		if diff := cmp.Diff(without, with); diff != "" {
			t.Fatalf("a cluster that is away changes what becomes of others: %s", diff)
		}
		return w, o
	})
}

// P9: a cluster that is removed never blocks, and never widens a budget; one that is added is not in the Rollout under way,
// and gets what is Stable.
func TestClustersThatComeAndGoAreNoMembers(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 10, 0)
		s.policy.AutoStart, s.policy.Unmatched = nil, fleet.UnmatchedLast
		w := s.start()
		o := watchWith(w)
		numbers := map[string]string{}
		for i := range 60 {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				if len(w.state.Clusters) > 1 {
					w.leave(w.state.Clusters[rapid.IntRange(0, len(w.state.Clusters)-1).Draw(t, "leaves")].Name)
				}
			case 1:
				w.join(fmt.Sprintf("n%d", i), drawLabels(t))
			}
			w.pass(tick)
			w.answerChecks()
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			w.help()
			a := w.state.Active
			if a == nil {
				continue
			}
			now := fmt.Sprint(a.MaxUnavailable)
			for _, wave := range a.Waves {
				now += fmt.Sprint(" ", wave.Size, wave.MaxConcurrent, wave.MaxFailures)
			}
			for _, m := range a.Members {
				now += " " + m.Name
			}
			if before, known := numbers[a.ID]; known && before != now {
				t.Fatalf("the members and numbers of %s were %s and are %s", a.ID, before, now)
			}
			numbers[a.ID] = now
			if len(o.broken) > 0 {
				break
			}
		}
		return w, o
	})
}

// P10: budgets that are wider never make less succeed of what is good, and narrower ones never make more unavailable.
func TestWiderBudgetsNeverReachFewerClusters(t *testing.T) {
	t.Parallel()
	besides(t, 5, func(t *rapid.T) {
		p := drawNumbered(t)
		p.AutoStart, p.Windows = nil, nil
		wide := p
		wide.Waves = slices.Clone(p.Waves)
		more := func(a *fleet.Amount) *fleet.Amount {
			return fleet.Clusters(a.Of(1000) + rapid.IntRange(0, 4).Draw(t, "more"))
		}
		wide.MaxUnavailable = more(p.MaxUnavailable)
		for i := range wide.Waves {
			w := &wide.Waves[i]
			w.MaxConcurrent, w.MaxFailures = more(w.MaxConcurrent), more(w.MaxFailures)
			p.Waves[i].Before, p.Waves[i].After, w.Before, w.After = nil, nil, nil, nil
		}
		n, ticks := rapid.IntRange(1, 20).Draw(t, "clusters"), rapid.IntRange(1, 40).Draw(t, "ticks")
		reach := func(policy fleet.RolloutPolicy) (succeeded, unavailable int) {
			w := newWorld(n, policy)
			o := watchWith(w)
			w.push("one", nil)
			w.run(ticks, func() bool { return false })
			for _, e := range w.log {
				if e.Type == "ClusterSucceeded" {
					succeeded++
				}
			}
			return succeeded, o.maxU
		}
		narrowN, narrowU := reach(p)
		wideN, wideU := reach(wide)
		if wideN < narrowN || narrowU > wideU {
			t.Fatalf("%d succeed and %d are unavailable; with wider budgets %d and %d", narrowN, narrowU, wideN, wideU)
		}
	})
}
