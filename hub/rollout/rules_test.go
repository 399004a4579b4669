package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// settled has n clusters run a good Release under a policy.
func settled(t *testing.T, n int, policy fleet.RolloutPolicy) (*world, fleet.Digest) {
	t.Helper()
	w := newWorld(n, policy)
	one := w.push("one", nil)
	w.until(t, "the first Release is everywhere", func() bool { return w.idle() && w.all(one) })
	return w, one
}

// until lets time go on until something is so.
func (w *world) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !w.run(300, is) {
		t.Fatalf("not so: %s: %+v\ntrack %+v", what, w.state.Active, w.state.Track)
	}
}

// say has somebody say something that is done.
func (w *world) say(t *testing.T, c rollout.Command) {
	t.Helper()
	if err := w.step(c); err != nil {
		t.Fatal(err)
	}
}

func (w *world) is(phase rollout.Phase, reason rollout.Reason) func() bool {
	return func() bool {
		a := w.state.Active
		return a != nil && a.Phase == phase && (reason == "" || a.Reason == reason)
	}
}

func (w *world) member(name string) rollout.Member {
	for _, m := range w.state.Active.Members {
		if m.Name == name {
			return m
		}
	}
	return rollout.Member{}
}

// over is a Rollout that is over, by its target.
func (w *world) over(target fleet.Digest) *rollout.Rollout {
	for _, ro := range w.ended {
		if ro.Target == target {
			return ro
		}
	}
	return nil
}

func (w *world) heardOf(event, cluster string) bool {
	for _, e := range w.log {
		if e.Type == event && e.Cluster == cluster {
			return true
		}
	}
	return false
}

func narrow() fleet.RolloutPolicy {
	p := canaryThenRest()
	p.MaxUnavailable = fleet.Clusters(1)
	return p
}

func TestAFixGoesToTheClusterThatUsesUpTheBudget(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, narrow())
	w.push("bad", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	fix := w.push("fix", nil)
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
}

func TestAClusterThatUsesUpTheBudgetCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, narrow())
	two := w.push("two", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if err := w.step(rollout.Resume{}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "retry-cluster") {
		t.Errorf("resumed with the cause there: %v", err)
	}
	w.truth[two] = nil
	w.say(t, rollout.RetryCluster{Clusters: []string{"c0"}})
	w.say(t, rollout.Resume{})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	if w.state.Track.Outcome(two) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
}

func TestWhatASupersededRolloutHadInFlightStopsTheNextOneForItsDeadlineOnly(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.MaxUnavailable = fleet.Clusters(2)
	policy.OnNewRevision = fleet.SupersedeOld
	policy.Waves = []fleet.Wave{{Name: "first", Select: &fleet.Selector{MatchLabels: map[string]string{"index": "0"}}}, {Name: "rest"}}
	w, _ := settled(t, 3, policy)
	w.push("stuck", map[string]outcome{"c1": never})
	w.until(t, "c1 is at it", func() bool { return w.state.Active != nil && w.member("c1").Phase.InFlight() })
	fix := w.push("fix", nil)
	w.say(t, nil)
	if m := w.member("c1"); !m.Inherited {
		t.Fatalf("c1 is not counted: %+v", m)
	}
	if m := w.member("c0"); m.Phase != rollout.MemberPending {
		t.Errorf("c0 is updated beside what is in flight: %+v", m)
	}
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
}

func clusterAnalysis() fleet.Gate {
	return fleet.Gate{Analysis: &fleet.AnalysisGate{
		Provider: fleet.MetricProvider{Type: "prometheus", Address: "http://p"}, Scope: fleet.ScopeCluster, Query: "up", Max: new(1.0),
	}}
}

// answerAll brings answers to all that was asked.
func (w *world) answerAll(t *testing.T, result rollout.Result) {
	t.Helper()
	asked := w.checks
	w.checks = nil
	for _, c := range asked {
		w.say(t, rollout.Measured{Rollout: c.Rollout, Wave: c.Wave, After: c.After, Gate: c.Gate, Cluster: c.Cluster, Attempt: c.Attempt,
			Measurement: rollout.Measurement{Result: result}})
	}
}

func TestAClusterWhoseAnalysisIsBadStopsTheRolloutBeforeTheNextWave(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{clusterAnalysis()}
	w, _ := settled(t, 0, canaryThenRest())
	for _, name := range []string{"c0", "c1", "c2"} {
		w.join(name, nil)
	}
	w.policy(policy)
	two := w.push("two", nil)
	w.until(t, "it is asked", func() bool { return len(w.checks) > 0 })
	w.answerAll(t, rollout.ResultFail)
	if !w.is(rollout.Halted, rollout.ReasonFailureBudget)() || w.member("c0").Failure != rollout.FailureAnalysis {
		t.Fatalf("%+v", w.state.Active)
	}
	for _, p := range w.pins {
		if p.release == two && p.cluster != "id-c0" {
			t.Errorf("%s was updated", p.cluster)
		}
	}
	w.say(t, rollout.RetryCluster{AllFailed: true})
	w.say(t, rollout.Resume{})
	w.until(t, "it is asked again", func() bool { return len(w.checks) > 0 })
	w.answerAll(t, rollout.ResultPass)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestClustersOutOfReachDuringTheSoakKeepTheWaveFromEnding(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0] = fleet.Wave{Name: "canary", Limit: fleet.Clusters(2), MaxConcurrent: fleet.Clusters(2), After: []fleet.Gate{{Soak: &fleet.SoakGate{Duration: fleet.Lasting(30 * time.Minute)}}}}
	policy.Waves[0].CoverageTimeout = fleet.Lasting(20 * time.Minute)
	w, _ := settled(t, 4, policy)
	two := w.push("two", nil)
	w.until(t, "it soaks", w.is(rollout.Running, rollout.ReasonWaitingGate))
	w.cluster("c0").Connected, w.cluster("c1").Connected = false, false
	w.until(t, "coverage is lacking", w.is(rollout.Running, rollout.ReasonCoverage))
	w.until(t, "it is paused", w.is(rollout.Paused, rollout.ReasonCoverage))
	if m := w.member("c2"); m.Phase != rollout.MemberPending {
		t.Errorf("the next wave has begun: %+v", m)
	}
	w.cluster("c0").Connected, w.cluster("c1").Connected = true, true
	w.say(t, rollout.Resume{})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func approvedCanary() fleet.RolloutPolicy {
	p := canaryThenRest()
	p.Waves[0].After = []fleet.Gate{{Approval: &fleet.ApprovalGate{Timeout: fleet.Lasting(time.Hour)}}}
	return p
}

func TestARejectionStopsARolloutThatIsPausedAndTakesItBackWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	policy := approvedCanary()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, one := settled(t, 3, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	w.say(t, nil)
	if err := w.step(rollout.Decide{Principal: "user:b", Approve: true}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "not reached yet") {
		t.Errorf("approved before the canary is there: %v", err)
	}
	w.until(t, "it waits for people", w.is(rollout.Running, rollout.ReasonWaitingGate))
	w.say(t, rollout.Pause{Actor: "user:a"})
	w.say(t, rollout.Decide{Principal: "user:b", Comment: "no"})
	if !w.is(rollout.RollingBack, rollout.ReasonApprovalRejected)() {
		t.Fatalf("%+v", w.state.Active)
	}
	w.until(t, "the canary is back", func() bool { return w.idle() && w.all(one) })
	if ro := w.over(two); ro.Phase != rollout.RolledBack || w.state.Track.Outcome(two) != "" {
		t.Errorf("%+v, track %+v", ro, w.state.Track)
	}
}

func TestWhatTimedOutIsWaitedForAnewWhoeverPausedItSince(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.policy(approvedCanary())
	w.push("two", nil)
	if !w.run(1000, w.is(rollout.Paused, rollout.ReasonApprovalTimeout)) {
		t.Fatalf("%+v", w.state.Active)
	}
	w.say(t, rollout.Pause{Actor: "user:a"})
	w.say(t, rollout.Resume{Actor: "user:a"})
	w.run(3, func() bool { return false })
	if !w.is(rollout.Running, rollout.ReasonWaitingGate)() {
		t.Errorf("%+v", w.state.Active)
	}
}

func TestARevertGoesToClustersThatDoNotServe(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.push("bad", map[string]outcome{"c0": unhealthy})
	w.until(t, "c0 does not serve", func() bool { return w.state.Active != nil && !w.member("c0").Unhealthy.IsZero() })
	w.say(t, rollout.Cancel{Actor: "user:a"}) // nothing is inherited, and nothing known to be bad
	w.push("one", nil)
	w.say(t, nil)
	if ro := w.state.Active; ro == nil || ro.Kind != rollout.Backward || len(ro.Waves) != 1 {
		t.Fatalf("%+v", ro)
	}
	w.until(t, "the revert is everywhere", func() bool { return w.idle() && w.all(one) })
	if w.heardOf("ClusterDeferred", "c0") {
		t.Error("c0 was passed over for what is to be mended")
	}
}

func TestAFixGoesToClustersThatDoNotServeBecauseOfABadRelease(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.push("bad", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.say(t, rollout.Cancel{Actor: "user:a"}) // nothing is inherited
	fix := w.push("fix", nil)
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
	if w.heardOf("ClusterDeferred", "c0") {
		t.Error("c0 was passed over for what is to be mended")
	}
}

func TestARequiredWaveWhoseClustersAllGoStopsTheRollout(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].Required = true
	w, _ := settled(t, 3, policy)
	w.push("two", map[string]outcome{"c0": never})
	w.until(t, "c0 is updated", func() bool { return w.state.Active != nil && w.member("c0").Moved })
	w.leave("c0")
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonEmptyWave))
	w.say(t, rollout.Resume{AcceptCoverage: true})
	w.until(t, "it is over", w.idle)
}

func TestARolloutThatNoClusterIsLeftOfShowsNothingOfItsRelease(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 1, canaryThenRest())
	two := w.push("two", map[string]outcome{"c0": never})
	w.until(t, "c0 is updated", func() bool { return w.state.Active != nil && w.member("c0").Moved })
	w.leave("c0")
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.Cancelled || w.state.Track.Stable != one || w.state.Track.Outcome(two) != "" {
		t.Errorf("%+v\ntrack %+v", ro, w.state.Track)
	}
	w.truth[two] = nil
	w.join("c9", nil)
	w.until(t, "it begins anew", func() bool { return w.idle() && w.all(two) })
}

func TestARollbackEndsAlthoughAClusterIsHeld(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c1 is updated", func() bool { return w.state.Active != nil && w.member("c1").Moved })
	w.spokes["id-c1"].held = true
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || !strings.Contains(ro.Message, "c1") {
		t.Errorf("%+v", ro)
	}
	w.spokes["id-c1"].held = false
	w.until(t, "c1 is back when it is released", func() bool { r := w.state.Rows["id-c1"].Report; return w.all(one) && r.Release == one && r.Converged })
}

func TestARollbackOfTheFailedLeavesTheOthersAsTheyAre(t *testing.T) {
	t.Parallel()
	policy := fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}, MaxUnavailable: fleet.Percent(100)}
	policy.OnFailure = fleet.OnFailure{Action: fleet.RollbackOnFailure, Scope: fleet.ScopeFailed}
	w, one := settled(t, 4, policy)
	two := w.push("two", map[string]outcome{"c0": refused, "c3": unhealthy})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	w.run(100, func() bool { return false })
	for id, release := range map[string]fleet.Digest{"id-c0": one, "id-c1": two, "id-c2": two, "id-c3": one} {
		if got := w.state.Rows[id].Release; got != release {
			t.Errorf("%s has %s, not %s", id, got, release)
		}
	}
}

func TestStartOfAnOlderReleaseIsNotFollowedByTheNewest(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	w.say(t, rollout.Start{Actor: "user:a", Target: one})
	if w.state.Queued != nil {
		t.Errorf("queued: %+v", w.state.Queued)
	}
	w.until(t, "the older one is everywhere", func() bool { return w.idle() && w.all(one) })
	if w.run(20, func() bool { return w.state.Active != nil }) {
		t.Errorf("began: %+v", w.state.Active)
	}
}

func TestWhatNoWaveTakesKeepsOneRolloutQueuedAndNotAnotherEachStep(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Unmatched = fleet.UnmatchedReject
	policy.Waves = policy.Waves[:1]
	w := newWorld(2, policy)
	one := w.push("one", nil)
	w.say(t, nil)
	queued := w.state.Queued
	if queued == nil || queued.Reason != rollout.ReasonUnmatched || !strings.Contains(queued.Message, "c1") {
		t.Fatalf("queued %+v", queued)
	}
	w.say(t, nil)
	w.say(t, nil)
	if again := w.state.Queued; again == nil || again.ID != queued.ID {
		t.Errorf("%s is queued, and was %s", again.ID, queued.ID)
	}
	w.policy(canaryThenRest())
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(one) })
	if w.over(one).ID != queued.ID {
		t.Errorf("%s began, and %s was queued", w.over(one).ID, queued.ID)
	}
}

func TestWhatIsQueuedEndsWithThePolicy(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(2, policy)
	one := w.push("one", nil)
	w.say(t, nil)
	w.state.Managed, w.state.Policy = false, nil
	w.say(t, nil)
	if w.state.Queued != nil || w.over(one) == nil {
		t.Errorf("queued %+v", w.state.Queued)
	}
}

func TestWhatWasGoodIsNotBadBecauseAClusterDoesNotGoBack(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, one := settled(t, 2, policy)
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	w.truth[one] = map[string]outcome{"c1": refused}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if w.state.Track.Outcome(one) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
	w.truth[one] = nil
	w.say(t, rollout.RetryCluster{AllFailed: true})
	w.say(t, rollout.Resume{})
	if w.state.Track.Outcome(one) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestStartOfWhatIsQueuedIsThatOne(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(2, policy)
	w.push("one", nil)
	w.say(t, nil)
	queued := *w.state.Queued
	w.say(t, rollout.Start{Actor: "user:a"})
	if ro := w.state.Active; ro == nil || ro.ID != queued.ID || ro.Version <= queued.Version || ro.Actor != "user:a" || w.state.Queued != nil {
		t.Errorf("queued %+v, began %+v", queued, ro)
	}
}

func TestTheClockOfABlockedRolloutStandsStillWhileItIsPaused(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all", MaxFailures: fleet.Clusters(1)}}
	w, _ := settled(t, 3, policy)
	w.push("two", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is blocked", w.is(rollout.Running, rollout.ReasonAvailabilityBudget))
	w.say(t, rollout.Pause{})
	w.pass(time.Hour)
	w.say(t, nil)
	w.say(t, rollout.Resume{})
	if !w.is(rollout.Running, rollout.ReasonAvailabilityBudget)() {
		t.Errorf("%+v", w.state.Active)
	}
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonAvailabilityBudget))
}

func TestAClusterThatIsPassedOverCatchesUpOnceTheRolloutIsOver(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	two := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	w.say(t, rollout.SkipCluster{Clusters: []string{"c0", "c2"}, Reason: "later"})
	w.run(20, func() bool { return false })
	if w.state.Rows["id-c0"].Release != two || w.state.Rows["id-c2"].Release != one {
		t.Errorf("what was passed over has changed: %+v", w.state.Rows)
	}
	w.truth[two] = nil
	w.say(t, rollout.Resume{})
	w.until(t, "they have caught up", func() bool { return w.idle() && w.all(two) })
}

func TestWhatCatchesUpChangesInAWindowOnlyAndWhatIsNewDoesNotWait(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	w, _ := settled(t, 3, policy)
	w.cluster("c2").Connected = false
	two := w.push("two", nil)
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	policy.Windows = []fleet.Window{{Cron: "0 20 * * *", Duration: fleet.Lasting(time.Hour)}} // it is noon
	w.policy(policy)
	w.cluster("c2").Connected = true
	w.join("c9", nil)
	w.run(20, func() bool { return false })
	if w.state.Rows["id-c2"].Release == two || w.state.Rows["id-c9"].Release != two {
		t.Errorf("%+v", w.state.Rows)
	}
	w.state.Now = time.Date(2026, 3, 2, 20, 1, 0, 0, time.UTC)
	w.until(t, "c2 has caught up", func() bool { return w.all(two) })
}

func TestARolloutThatTakesTheOthersPlaceHasItsOwnWindowsAtOnce(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnNewRevision = fleet.SupersedeOld
	w, _ := settled(t, 3, policy)
	w.push("two", nil)
	w.say(t, nil)
	policy.Windows = []fleet.Window{{Cron: "0 20 * * *", Duration: fleet.Lasting(time.Hour)}}
	w.policy(policy)
	three := w.push("three", nil)
	w.say(t, nil)
	if !w.is(rollout.Running, rollout.ReasonWindowClosed)() || w.state.Active.Target != three {
		t.Errorf("%+v", w.state.Active)
	}
}

func TestAWebhookThatFailsIsAskedLessAndLessOften(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].Before = []fleet.Gate{{Webhook: &fleet.WebhookGate{URL: "http://w", Poll: fleet.Lasting(10 * time.Second), Retries: new(9)}}}
	w := newWorld(2, policy)
	w.push("one", nil)
	var asked []time.Time
	for range 60 {
		w.pass(10 * time.Second)
		w.say(t, nil)
		if len(w.checks) > 0 {
			asked = append(asked, w.state.Now)
			w.answerAll(t, rollout.ResultError)
		}
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second}
	for i, pause := range want {
		if i+1 >= len(asked) || asked[i+1].Sub(asked[i]) != pause {
			t.Fatalf("asked at %v", asked)
		}
	}
}

func TestWhatCannotBeTakenBackIsNotTakenBackByHandEither(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	w.state.App.NoRollback = true
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	if err := w.step(rollout.Rollback{}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), rollout.NoRollbackAnnotation) {
		t.Errorf("%v", err)
	}
	w.state.App.NoRollback = false
	w.say(t, rollout.Rollback{})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestAClusterThatDidNotCatchUpIsTriedAgainWithoutARollout(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.cluster("c2").Connected = false
	two := w.push("two", map[string]outcome{"c2": refused})
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	w.until(t, "it has not caught up", func() bool { return w.state.Track.CatchingUp["id-c2"].Failed })
	w.truth[two] = nil
	w.say(t, rollout.RetryCluster{Clusters: []string{"c2"}})
	w.until(t, "c2 has caught up", func() bool { return w.all(two) })
}

func TestAFreezeKeepsNothingFromGoingBack(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	w.state.Freeze = "holidays"
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestARollbackGoesOnAlthoughTheBudgetIsUsedUpByWhatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all"}}
	w, one := settled(t, 3, policy)
	two := w.push("two", nil)
	w.until(t, "c1 has it", func() bool { return w.state.Active != nil && w.member("c1").Phase == rollout.MemberSucceeded })
	w.truth[one] = map[string]outcome{"c1": never}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || w.state.Rows["id-c0"].Release != one {
		t.Errorf("%+v", ro)
	}
}
