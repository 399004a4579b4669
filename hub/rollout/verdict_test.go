package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// P12 (I13, I14): once a bad Release was rolled back, every cluster that is reached runs what it ran before, or the Rollout
// names it; the Release is Bad, and does not begin again by itself.
func TestABadReleaseIsTakenBackEverywhere(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 12, 0)
		s.first = nil
		s.policy.OnFailure = fleet.OnFailure{Action: fleet.RollbackOnFailure, MaxConcurrent: s.policy.OnFailure.MaxConcurrent}
		s.policy.AutoStart, s.policy.Unmatched, s.policy.Windows, s.policy.OnNewRevision = nil, fleet.UnmatchedLast, nil, fleet.QueueNew
		for i := range s.policy.Waves {
			w := &s.policy.Waves[i]
			w.Before, w.After, w.MaxFailures, w.Required = nil, nil, fleet.Clusters(0), false
		}
		w := s.start()
		o := watchWith(w)
		first := w.state.App.Release.Digest()
		if !w.run(2000, func() bool { return w.idle() && w.all(first) }) {
			t.Fatalf("the first does not get there: %s", w.tail(10))
		}
		truth := map[string]outcome{}
		for _, c := range w.state.Clusters {
			truth[c.Name] = rapid.SampledFrom([]outcome{refused, unhealthy, never, works, slow}).Draw(t, "does")
		}
		hurt := w.state.Clusters[rapid.IntRange(0, len(w.state.Clusters)-1).Draw(t, "hurt")].Name
		truth[hurt] = unhealthy
		bad := w.push("bad", truth)
		leaves := rapid.IntRange(0, 40).Draw(t, "leaves at")
		var ro *rollout.Rollout
		w.run(2000, func() bool {
			if leaves--; leaves == 0 {
				w.cluster(hurt).Connected = false
			}
			for _, r := range w.ended {
				if r.Target == bad {
					ro = r
				}
			}
			return ro != nil
		})
		switch {
		case ro == nil:
			return w, o // a cluster that is away before its turn is waited for
		case ro.Phase == rollout.Succeeded:
			return w, o // it went away before its turn
		case ro.Phase != rollout.RolledBack && ro.Phase != rollout.RollbackFailed:
			t.Fatalf("it ends as %s\n%s", ro.Phase, w.tail(20))
		case w.state.Track.Outcome(bad) != rollout.Bad:
			t.Fatalf("its verdict is %q", w.state.Track.Outcome(bad))
		}
		for _, m := range ro.Members {
			row := w.row(m.Cluster)
			back := row.Release == first && (!m.Moved || row.Report.Release == first && row.Report.Converged)
			if !back && m.Phase != rollout.MemberRollbackFailed {
				t.Fatalf("%s is %s, and its cluster runs %s: %+v", m.Name, m.Phase, row.Release, row.Report)
			}
		}
		if w.run(20, func() bool { return w.state.Active != nil }) {
			t.Fatalf("it begins again: %s", w.tail(5))
		}
		return w, o
	})
}

// P13: of Releases that come while others are under way, the last one is what the fleet runs in the end, and none is given
// to a cluster once another has taken its place.
func TestTheLastReleaseIsWhatTheFleetRuns(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 10, 0)
		s.first, s.policy.AutoStart, s.policy.Unmatched = nil, nil, fleet.UnmatchedLast
		w := s.start()
		o := watchWith(w)
		order := []fleet.Digest{w.state.App.Release.Digest()}
		reached := map[string]bool{}
		given := 0
		for i := range 60 {
			if chance(t, 6, "pushes") {
				order = append(order, w.push(fmt.Sprintf("release %d", i), nil))
			}
			w.pass(tick)
			w.answerChecks()
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			w.help()
			for _, p := range w.pins[given:] {
				for _, r := range w.ended {
					if r.Phase == rollout.Superseded && !r.Started.IsZero() && r.Target == p.release && r.Finished.Before(p.at) && w.state.Track.Stable != p.release {
						t.Fatalf("%s of %s is given to %s after %s has taken its place\n%s", p.release, r.ID, p.cluster, r.SupersededBy, w.tail(30))
					}
				}
			}
			given = len(w.pins)
		}
		settle(t, w, o)
		for i, e := range w.log {
			if e.Type == "Started" && i >= 0 && s.policy.OnNewRevision == fleet.QueueNew {
				reached[e.Rollout] = true
			}
		}
		for id := range reached { // with Queue, what has begun gets to its end, and no wave of it is left out
			if r := w.ended[id]; r != nil && r.Phase == rollout.Superseded && !slices.ContainsFunc(w.log, func(e rollout.Event) bool {
				return e.Rollout == id && e.Type == string(rollout.Halted)
			}) {
				t.Fatalf("%s began and was superseded, and the policy says Queue", id)
			}
		}
		return w, o
	})
}

// P14 (I16): from any state, once the world is good and people are willing, the Rollout under way ends, with no newer
// Release to help it.
func TestWhateverHasHappenedARolloutEnds(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 15, 25)
		w := s.start()
		o := watchWith(w)
		s.play(w, func() bool { return len(o.broken) == 0 })
		w.becomeGood()
		for range 3000 {
			if w.state.Active == nil && (w.state.Queued == nil || w.state.Queued.Reason == rollout.ReasonAwaitingStart) || len(o.broken) > 0 {
				break
			}
			w.pass(20 * time.Second)
			w.answerChecks()
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			w.help()
		}
		if a := w.state.Active; a != nil && len(o.broken) == 0 {
			t.Fatalf("%s is %s for ever: %s %s\n%s\n%s", a.ID, a.Phase, a.Reason, a.Message, s, w.tail(20))
		}
		return w, o
	})
}

// P14: in a world that is good from the beginning, a Rollout takes no more rounds than its waves have, twice.
func TestAGoodRolloutTakesTheRoundsOfItsWaves(t *testing.T) {
	t.Parallel()
	besides(t, 2, func(t *rapid.T) {
		p := drawNumbered(t)
		p.AutoStart, p.Windows, p.Cluster.MinReady = nil, nil, nil
		for i := range p.Waves {
			p.Waves[i].Before, p.Waves[i].After, p.Waves[i].Limit = nil, nil, fleet.Clusters(4)
		}
		n := rapid.IntRange(1, 20).Draw(t, "clusters")
		w := newWorld(n, p)
		one := w.push("one", nil)
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		rounds := 0
		for _, wave := range w.state.Active.Waves {
			at := min(wave.MaxConcurrent, w.state.Active.MaxUnavailable)
			rounds += 2 * ((wave.Size + at - 1) / at)
		}
		ticks := 2*rounds + 2 // a cluster takes two ticks
		if !w.run(ticks, func() bool { return w.idle() && w.all(one) }) {
			t.Fatalf("%d rounds are not enough: %s", rounds, w.tail(10))
		}
	})
}

// P16 (I15): of decisions by anyone about anything, only those count that are by enough different people who may, about this
// Rollout, this wave and this plan.
func TestOnlyThoseWhoMayApproveWhatThereIs(t *testing.T) {
	t.Parallel()
	besides(t, 3, func(t *rapid.T) {
		gate := fleet.ApprovalGate{Name: "go", Approvers: []string{"user:a", "group:of-b"}, MinApprovers: rapid.IntRange(1, 2).Draw(t, "min"), AllowSelf: rapid.Bool().Draw(t, "self")}
		starter := rapid.SampledFrom(principals).Draw(t, "starter")
		w := newWorld(2, fleet.RolloutPolicy{AutoStart: new(false), Waves: []fleet.Wave{{Name: "one", Limit: fleet.Clusters(1), Before: []fleet.Gate{{Approval: &gate}}},
			{Name: "two", Before: []fleet.Gate{{Approval: &gate}}}}})
		// The plan of an earlier Rollout, to replay.
		w.push("zero", nil)
		_ = w.step(rollout.Start{Actor: "user:z"})
		old := w.state.Active.Plan
		_ = w.step(rollout.Cancel{Actor: "user:z"})
		w.push("one", nil)
		if err := w.step(rollout.Start{Actor: starter}); err != nil {
			t.Fatal(err)
		}
		counts := map[string]map[string]bool{"one": {}, "two": {}}
		for range rapid.IntRange(1, 20).Draw(t, "decisions") {
			d := rollout.Decide{Principal: rapid.SampledFrom(principals).Draw(t, "who"), Approve: true, Wave: rapid.SampledFrom([]string{"one", "two"}).Draw(t, "wave"), Gate: "go"}
			d.Groups = []string{groupOf(d.Principal)}
			replayed := rapid.Bool().Draw(t, "replayed")
			if d.Plan = w.state.Active.Plan; replayed {
				d.Plan = old
			}
			reached := d.Wave == "one" || w.state.Active.Wave == 1
			if err := w.step(d); err == nil && !replayed && reached {
				counts[d.Wave][d.Principal] = true
			} else if err == nil && (replayed || !reached) {
				t.Fatalf("%+v counts", d)
			}
			for i, wave := range []string{"one", "two"} {
				n := 0
				for _, who := range []string{"user:a", "user:b"} {
					if counts[wave][who] && (who != starter || gate.AllowSelf) {
						n++
					}
				}
				if len(w.state.Active.Waves) > i && w.state.Active.Waves[i].Before[0].Phase == rollout.GatePassed != (n >= gate.MinApprovers) {
					t.Fatalf("gate of wave %s is %s with %d approvals: %v", wave, w.state.Active.Waves[i].Before[0].Phase, n, counts)
				}
			}
			w.pass(tick)
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			if w.state.Active == nil {
				return
			}
		}
	})
}

// P17: nothing that garbage collection lets go of is ever needed again.
func TestNothingThatIsCollectedIsNeededAgain(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 10, 25)
		w := s.start()
		o := watchWith(w)
		s.play(w, func() bool {
			w.collect()
			return len(o.broken) == 0
		})
		return w, o
	})
}
