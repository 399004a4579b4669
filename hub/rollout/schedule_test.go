package rollout_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

var schedules = flag.Int("rollout.schedules", 10000, "how many random schedules the tests of Rollouts go through under the oracle, in all")

// perCheck is how many schedules one rapid.Check goes through: -rapid.checks, if it is not given.
const perCheck = 100

// shares says, in percent, how many of the schedules each test goes through. Counted is what the oracle watches at each step
// and what is settled in the end, whatever else its test looks at: eachOf sees to both. Tests whose schedules are about one
// thing (a single cluster and its analysis, two worlds that are compared by number) are besides, and count for nothing here.
var shares = map[string]int{
	"TestAnySchedule":                            50,
	"TestAnyScheduleOfALargeFleet":               1,
	"TestARestartChangesNothing":                 8,
	"TestAPauseThatEndsAtOnceChangesNothing":     4,
	"TestTheOrderOfReportsMakesNoDifference":     5,
	"TestAStepIsTheSameEachTime":                 2,
	"TestAClusterThatIsAwayMakesNoDifference":    5,
	"TestClustersThatComeAndGoAreNoMembers":      4,
	"TestABadReleaseIsTakenBackEverywhere":       4,
	"TestTheLastReleaseIsWhatTheFleetRuns":       4,
	"TestWhateverHasHappenedARolloutEnds":        8,
	"TestNothingThatIsCollectedIsNeededAgain":    3,
	"TestAnOldReplicaChangesNothingInAnyCluster": 2,
}

func TestTheSharesAreAllSchedules(t *testing.T) {
	t.Parallel()
	sum := 0
	for _, percent := range shares {
		sum += percent
	}
	if sum < 100 {
		t.Errorf("%d %% of the schedules are gone through", sum)
	}
}

// eachOf goes through the test's share of the schedules. The property plays one, and returns its world and the oracle that
// has watched it from the beginning; what that found, and finds once all is well, is looked at here.
func eachOf(t *testing.T, property func(t *rapid.T) (*world, *oracle)) {
	percent, is := shares[t.Name()]
	if !is {
		t.Fatal("it has no share of the schedules")
	}
	besides(t, percent, judged(property))
}

// judged has what a property has played be settled, and fails where the oracle has found something.
func judged(property func(t *rapid.T) (*world, *oracle)) func(t *rapid.T) {
	return func(t *rapid.T) {
		w, o := property(t)
		if len(o.broken) == 0 {
			settle(t, w, o)
		}
		if len(o.broken) > 0 {
			t.Fatalf("%s\n%s\n%s", o.broken, w.script, w.tail(25))
		}
	}
}

// besides has a property checked for so many schedules, in percent of all, that do not count. Each hundred of them is a test
// of its own, so that they run side by side.
func besides(t *testing.T, percent int, property func(t *rapid.T)) {
	n := (*schedules*percent + 100*perCheck - 1) / (100 * perCheck)
	for i := range n {
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, property)
		})
	}
}

// TestAnySchedule has the oracle look at each step of schedules in which anything may happen, and then at what becomes of
// it once all is well. It checks P1 (I1, I2, I5, I6, I7, I10), P2 (I3), P3 (I4), P9, P12, P13, P14, P16 (I15), P17 and P19
// at once.
func TestAnySchedule(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) { return anySchedule(t, 30, 30) })
}

// TestAnyScheduleOfALargeFleet is TestAnySchedule with up to 200 clusters.
func TestAnyScheduleOfALargeFleet(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) { return anySchedule(t, 200, 40) })
}

func anySchedule(t *rapid.T, clusters, deeds int) (*world, *oracle) {
	s := drawScript(t, clusters, deeds)
	w := s.start()
	o := watchWith(w)
	s.play(w, func() bool { return len(o.broken) == 0 })
	return w, o
}

// tail is what happened last.
func (w *world) tail(n int) string {
	var b strings.Builder
	for i := max(0, len(w.log)-n); i < len(w.log); i++ {
		e := w.log[i]
		fmt.Fprintf(&b, "%s %s %s %s%s%s %s %s %.90s\n", w.at[i].Format("15:04:05"), e.Rollout, e.Type, e.Cluster, e.Wave, e.Gate, e.Actor, e.Reason, e.Message)
	}
	return b.String()
}

// settle has the fleet become good and people willing: whatever has happened before, the newest Release gets everywhere.
func settle(t *rapid.T, w *world, o *oracle) {
	w.becomeGood()
	final := w.push("final", nil)
	for range 3000 {
		if w.state.Active == nil && o.there(final) && (w.state.Queued == nil || o.there(fleet.Digest{1})) || len(o.broken) > 0 {
			return
		}
		w.pass(20 * time.Second)
		w.answerChecks()
		if err := w.look(); err != nil {
			t.Fatal(err)
		}
		w.help()
	}
	what := "nothing is under way"
	if a := w.state.Active; a != nil {
		what = fmt.Sprintf("%s %s %s: %s, wave %d of %d", a.ID, a.Phase, a.Reason, a.Message, a.Wave, len(a.Waves))
		for _, m := range a.Members {
			if m.Phase != rollout.MemberSucceeded {
				what += fmt.Sprintf("\n  %s of wave %d: %s %s %s moved %v", m.Name, m.Wave, m.Phase, m.Failure, m.Message, m.Moved)
			}
		}
	}
	o.refute("it does not end: %s\ncatching up %+v", what, w.state.Track.CatchingUp)
}

// becomeGood has every cluster reachable, every Release work, and every cluster in a wave where the policy insists on that.
func (w *world) becomeGood() {
	for i := range w.state.Clusters {
		c := &w.state.Clusters[i]
		c.Connected, c.Held, c.Spec.Taints = true, "", nil
		w.spokes[c.ID].held, w.spokes[c.ID].sick, w.spokes[c.ID].waits = false, false, ""
	}
	w.state.Freeze, w.behind, w.wire.noise, w.answers, w.remembers = "", 0, nil, nil, true
	w.state.App = with1(w.state.App, func(a *rollout.App) { a.Controls.Suspend = false })
	if w.state.Policy.Unmatched == fleet.UnmatchedReject {
		w.state.Policy = with1(w.state.Policy, func(p *rollout.Policy) { p.Unmatched = fleet.UnmatchedLast })
	}
	for digest := range w.truth {
		w.truth[digest] = nil
	}
}

// help is what willing people do.
func (w *world) help() {
	if q := w.state.Queued; q != nil && q.Reason == rollout.ReasonAwaitingStart {
		_ = w.step(rollout.Start{Actor: "user:z", AllowBad: true, Supersede: true})
	}
	a := w.state.Active
	if a == nil {
		return
	}
	switch a.Phase {
	case rollout.Paused:
		_ = w.step(rollout.Resume{Actor: "user:z", AcceptCoverage: true, RetryGate: true})
	case rollout.Halted:
		_ = w.step(rollout.RetryCluster{Actor: "user:z", AllFailed: true})
		if err := w.step(rollout.Resume{Actor: "user:z", AcceptCoverage: true, RetryGate: true}); err != nil {
			_ = w.step(rollout.SkipGate{Actor: "user:z", Reason: "it is known"})
		}
	}
	if a.Reason == rollout.ReasonWaitingGate && a.Phase == rollout.Running {
		for _, who := range []string{"user:a", "user:b", "user:c", "user:z"} {
			_ = w.step(rollout.Decide{Principal: who, Groups: []string{groupOf(who)}, Approve: true, Wave: a.Waves[a.Wave].Name})
		}
	}
}

// there reports whether every cluster that the policy is about has a Release.
func (o *oracle) there(release fleet.Digest) bool {
	s := o.w.state
	all := &ledger{target: release, policy: s.Policy.WithDefaults(), members: map[string]*memberLedger{}}
	o.divide(s, all)
	for _, m := range all.order {
		if rowOf(s, m.id).Release != release {
			return false
		}
	}
	return true
}
