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
