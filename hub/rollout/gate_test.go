package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

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

// Whoever pauses and resumes before the hub has looked gives no more time.
func TestWhatTimedOutBeforeAPauseHasTimedOutOnceItIsResumed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		policy          fleet.RolloutPolicy
		away            bool
		waits, timedOut rollout.Reason
	}{
		"an approval": {approvedCanary(), false, rollout.ReasonWaitingGate, rollout.ReasonApprovalTimeout},
		"coverage":    {coveredWithin(time.Hour), true, rollout.ReasonCoverage, rollout.ReasonCoverage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := settled(t, 3, canaryThenRest())
			w.policy(test.policy)
			w.cluster("c0").Connected = !test.away
			w.push("two", nil)
			w.until(t, "it waits", w.is(rollout.Running, test.waits))
			w.pass(time.Hour)
			w.say(t, rollout.Pause{Actor: "user:a"})
			if !w.is(rollout.Paused, rollout.ReasonUser)() {
				t.Fatalf("%+v", w.state.Active)
			}
			w.pass(time.Hour)
			w.say(t, rollout.Resume{Actor: "user:a"})
			if !w.is(rollout.Paused, test.timedOut)() {
				t.Errorf("it is waited for anew: %+v", w.state.Active)
			}
		})
	}
}

func coveredWithin(d time.Duration) fleet.RolloutPolicy {
	p := canaryThenRest()
	p.Waves[0].CoverageTimeout = fleet.Lasting(d)
	return p
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

func TestAWindowThatNeverOpensIsToldFromOneThatWill(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	w, _ := settled(t, 3, policy)
	policy.Windows = []fleet.Window{{Cron: "0 0 30 2 *", Duration: fleet.Lasting(time.Hour)}}
	w.policy(policy)
	w.push("two", nil)
	w.say(t, nil)
	if !w.is(rollout.Running, rollout.ReasonNoWindowOpens)() || !strings.Contains(w.state.Active.Message, "never opens") {
		t.Errorf("%+v", w.state.Active)
	}
}

func TestWhatNobodyApprovesInTimeIsHaltedWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	policy := approvedCanary()
	policy.Waves[0].After[0].Approval.OnTimeout = fleet.InconclusiveHalt
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	if !w.run(1000, w.is(rollout.Halted, rollout.ReasonApprovalTimeout)) {
		t.Fatalf("%+v", w.state.Active)
	}
	if got := w.state.Track.Outcome(two); got != "" {
		t.Errorf("nobody has looked, and its Release is %s", got)
	}
	w.say(t, rollout.Resume{})
	w.until(t, "it waits for people anew", w.is(rollout.Running, rollout.ReasonWaitingGate))
}

func TestWhatIsRejectedIsNotResumedButPassedOver(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(approvedCanary())
	two := w.push("two", nil)
	w.until(t, "it waits for people", w.is(rollout.Running, rollout.ReasonWaitingGate))
	w.say(t, rollout.Decide{Principal: "user:b", Comment: "no"})
	w.refused(t, rollout.Resume{}, "it can only be passed over (rollout skip-gate)")
	w.say(t, rollout.SkipGate{Actor: "user:a", Gate: "approval", Reason: "a mistake"})
	w.say(t, rollout.Resume{})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestAGateThatCannotTellPausesOrHaltsAndAsksAnewOnceItIsResumed(t *testing.T) {
	t.Parallel()
	for action, phase := range map[fleet.OnInconclusive]rollout.Phase{fleet.InconclusivePause: rollout.Paused, fleet.InconclusiveHalt: rollout.Halted} {
		policy := canaryThenRest()
		policy.OnInconclusive = action
		policy.Waves[0].After = []fleet.Gate{{Webhook: &fleet.WebhookGate{URL: "http://w", Poll: fleet.Lasting(10 * time.Second), Retries: new(1)}}}
		w, _ := settled(t, 2, canaryThenRest())
		w.policy(policy)
		two := w.push("two", nil)
		w.answers = []rollout.Result{rollout.ResultError}
		w.until(t, "it cannot tell", w.is(phase, rollout.ReasonInconclusiveGate))
		if got := w.state.Track.Outcome(two); got != "" {
			t.Errorf("%s: it could not tell, and its Release is %s", action, got)
		}
		w.answers = nil
		if phase == rollout.Halted {
			w.refused(t, rollout.Resume{}, "--retry-gate")
		}
		w.say(t, rollout.Resume{RetryGate: phase == rollout.Halted})
		w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	}
}

func TestAGateThatFailsSaysWhatItWasTold(t *testing.T) {
	t.Parallel()
	hook := fleet.Gate{Webhook: &fleet.WebhookGate{Name: "hook", URL: "http://w", Retries: new(0)}}
	once := clusterAnalysis()
	for name, c := range map[string]struct {
		gate   fleet.Gate
		result rollout.Result
		want   string
	}{
		"a webhook that says no":     {hook, rollout.ResultFail, "gate hook failed: it says no: the graphs are red"},
		"a webhook that cannot":      {hook, rollout.ResultError, "gate hook cannot tell: 1 request failed: the graphs are red"},
		"an analysis in the cluster": {once, rollout.ResultFail, "1 value is bad, 0 may be: the graphs are red"},
	} {
		policy := canaryThenRest()
		policy.Waves[0].After = []fleet.Gate{c.gate}
		w, _ := settled(t, 2, canaryThenRest())
		w.policy(policy)
		w.push("two", nil)
		w.until(t, name+" is asked", func() bool { return len(w.checks) > 0 })
		answer := measured(w.checks[0], c.result)
		answer.Message = "the graphs are red"
		w.say(t, answer)
		said := w.state.Active.Message
		for _, m := range w.state.Active.Members {
			said += "\n" + m.Message
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func TestCoverageThatLackedForTooLongIsWaitedForAnew(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].CoverageTimeout = fleet.Lasting(20 * time.Minute)
	w, _ := settled(t, 3, policy)
	w.cluster("c0").Connected = false
	w.push("two", nil)
	w.until(t, "it is paused", w.is(rollout.Paused, rollout.ReasonCoverage))
	w.say(t, rollout.Resume{})
	w.run(60, func() bool { return false })
	if !w.is(rollout.Running, rollout.ReasonCoverage)() {
		t.Errorf("after 10 minutes of 20 more: %+v", w.state.Active)
	}
	w.until(t, "it is paused again", w.is(rollout.Paused, rollout.ReasonCoverage))
}

func TestAnalysisOfAWaveIsOfThoseBeforeAsWell(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	gate := clusterAnalysis()
	gate.Analysis.Scope = fleet.ScopeHub
	policy.Waves[1].After = []fleet.Gate{gate}
	w, _ := settled(t, 3, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	var asked []rollout.Check
	w.watch = func(_ rollout.State, step rollout.Step) { asked = append(asked, step.Checks...) }
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	if len(asked) == 0 || strings.Join(asked[0].Clusters, " ") != "c0 c1 c2" {
		t.Errorf("asked %+v", asked)
	}
}

func TestNoClusterIsAskedWhileItIsAway(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	gate := clusterAnalysis()
	gate.Analysis.Count = 3
	policy.Waves[0].After = []fleet.Gate{gate}
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	w.until(t, "the canary is asked", func() bool { return len(w.checks) > 0 })
	w.cluster("c0").Connected = false
	asked := 0
	w.watch = func(_ rollout.State, step rollout.Step) { asked += len(step.Checks) }
	w.answerAll(t, rollout.ResultPass)
	w.run(30, func() bool { return false })
	if asked != 0 {
		t.Errorf("%d questions to a cluster that is away", asked)
	}
	w.cluster("c0").Connected = true
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestOfManyMeasurementsTheLastAreKept(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	gate := clusterAnalysis()
	gate.Analysis.Scope, gate.Analysis.Count, gate.Analysis.Interval = fleet.ScopeHub, 40, fleet.Lasting(10*time.Second)
	policy.Waves[0].After = []fleet.Gate{gate}
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	g := w.over(two).Waves[0].After[0]
	if n := len(g.Measurements); n != 20 || g.Asked != 40 || w.over(two).Finished.Sub(g.Measurements[19].At) > 5*time.Minute {
		t.Errorf("%d measurements of %d are kept", n, g.Asked)
	}
	if len(g.Probes) > 0 {
		t.Errorf("who asked is kept: %+v", g.Probes)
	}
}

func TestAnAnswerAfterTheGateWasPassedOverChangesNothing(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{{Webhook: &fleet.WebhookGate{Name: "ask", URL: "http://w"}}}
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	for w.state.Active == nil || len(w.checks) == 0 {
		w.pass(10 * time.Second)
		w.say(t, nil)
	}
	w.say(t, rollout.SkipGate{Actor: "user:a", Gate: "ask", Reason: "it takes too long"})
	w.answerAll(t, rollout.ResultFail)
	if g := w.state.Active.Waves[0].After[0]; g.Phase != rollout.GateOverridden || len(g.Measurements) != 0 {
		t.Errorf("%+v", g)
	}
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestWhoIsInAGroupOfApproversApproves(t *testing.T) {
	t.Parallel()
	policy := approvedCanary()
	policy.Waves[0].After[0].Approval.Approvers = []string{"user:a", "group:sre"}
	w, _ := settled(t, 2, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	w.until(t, "it waits for people", w.is(rollout.Running, rollout.ReasonWaitingGate))
	if err := w.step(rollout.Decide{Principal: "user:b", Groups: []string{"group:dev"}, Approve: true}); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("one of another group: %v", err)
	}
	w.say(t, rollout.Decide{Principal: "user:b", Groups: []string{"group:dev", "group:sre"}, Approve: true})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}
