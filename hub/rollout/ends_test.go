package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestWhatRanNowhereIsNotHeldForGood(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].Limit, policy.Waves[0].CoverageTimeout = nil, fleet.Lasting(time.Minute)
	policy.Waves = policy.Waves[:1]
	w, one := settled(t, 2, policy)
	w.cluster("c0").Connected, w.cluster("c1").Connected = false, false
	two := w.push("two", nil)
	w.until(t, "it is not covered", w.is(rollout.Paused, rollout.ReasonCoverage))
	w.say(t, rollout.Resume{AcceptCoverage: true})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.Cancelled || w.state.Track.Outcome(two) != "" || w.state.Track.Stable != one {
		t.Errorf("what ran nowhere is held for good: %+v, track %+v", ro, w.state.Track)
	}
}

func TestARollbackThatWaitsForAPersonEndsAllTheSame(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, one := settled(t, 2, policy)
	w.wire.waits = map[fleet.Digest]fleet.Waiting{one: fleet.WaitingPruneHeld}
	two := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || !strings.Contains(ro.Message, "a held prune to be approved") {
		t.Errorf("%+v", ro)
	}
	three := w.push("three", nil)
	w.until(t, "what mends it is everywhere", func() bool { return w.idle() && w.all(three) })
}

func TestWhatIsQueuedIsCancelledByAPersonAndSaysSo(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w.policy(policy)
	w.push("two", nil)
	w.say(t, nil)
	id := w.state.Queued.ID
	w.say(t, rollout.Cancel{Actor: "user:a", Reason: "not today"})
	if ro := w.ended[id]; ro == nil || ro.Phase != rollout.Cancelled || ro.Reason != rollout.ReasonUser || ro.Message != "not today" {
		t.Errorf("%+v", ro)
	}
	if e := w.log[len(w.log)-1]; e.Type != "Cancelled" || e.Actor != "user:a" {
		t.Errorf("it is told as %+v", e)
	}
}

func TestStartOfWhatIsHaltedOrOnItsWayBackIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	w, _ := settled(t, 2, policy)
	two := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	halted := w.state.Active.ID
	if err := w.step(rollout.Start{Actor: "user:a", AllowBad: true}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "rollout resume") {
		t.Errorf("a halted one: %v", err)
	}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	if err := w.step(rollout.Start{Actor: "user:a", Target: two, AllowBad: true, Supersede: true}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "on its way back") {
		t.Errorf("one on its way back: %v", err)
	}
	w.truth[two] = nil
	w.until(t, "it is back", func() bool { return w.over(two) != nil })
	w.say(t, rollout.Start{Actor: "user:a", AllowBad: true})
	if ro := w.state.Active; ro == nil || ro.ID == halted || ro.Target != two {
		t.Errorf("it does not begin anew: %+v", ro)
	}
	if err := w.step(rollout.Start{Actor: "user:a", AllowBad: true, Supersede: true}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "cancel it to begin anew") {
		t.Errorf("in place of itself: %v", err)
	}
}

func TestWhatIsHaltedIsGivenUpWithItsPolicy(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	two := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	w.state.Policy, w.state.Placement = nil, with1(w.state.Placement, func(p *rollout.Placement) { p.RolloutPolicyRef = nil })
	w.say(t, nil)
	if ro := w.over(two); ro == nil || ro.Phase != rollout.Cancelled || !strings.Contains(ro.Message, "names no RolloutPolicy") {
		t.Errorf("%+v", ro)
	}
}

func TestWhoTookARolloutBackIsToldWhereItBegins(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.push("two", nil)
	w.until(t, "c0 has it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded })
	w.say(t, rollout.Rollback{Actor: "user:a"})
	for _, e := range w.log {
		if e.Type == "RollingBack" && e.Actor != "user:a" || e.Type == "ClusterRollingBack" && e.Actor != "" {
			t.Errorf("%+v", e)
		}
	}
}

func TestAReleaseThatWaitsDoesNotBeginByItselfOnceAnOlderOneWasAskedFor(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "two is everywhere", func() bool { return w.idle() && w.all(two) })
	w.push("three", nil)
	w.say(t, nil)
	w.push("four", nil)
	w.say(t, nil)
	if w.state.Queued == nil {
		t.Fatal("four does not wait")
	}
	w.say(t, rollout.Rollback{Actor: "user:a", To: one})
	w.until(t, "one is everywhere", func() bool { return w.idle() && w.all(one) })
	w.run(30, func() bool { return false })
	if !w.all(one) || w.state.Active != nil || w.state.Queued != nil {
		t.Errorf("under way %+v, queued %+v", w.state.Active, w.state.Queued)
	}
}

func TestAClusterThatWaitsForAPersonCanBePassedOver(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves = policy.Waves[1:]
	policy.Waves[0].MaxConcurrent = fleet.Clusters(1)
	w, _ := settled(t, 3, policy)
	two := w.push("two", nil)
	w.wire.waits = map[fleet.Digest]fleet.Waiting{two: fleet.WaitingPruneHeld}
	w.until(t, "c0 waits", func() bool { return w.state.Active != nil && strings.Contains(w.member("c0").Message, "a held prune") })
	w.say(t, rollout.SkipCluster{Clusters: []string{"c0"}, Reason: "later"})
	w.wire.waits = nil
	w.until(t, "it goes on without it", func() bool { return w.over(two) != nil && w.over(two).Phase == rollout.Succeeded })
}

func TestAnAnswerToAQuestionOfBeforeIsNoneToTheOneOfNow(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{clusterAnalysis()}
	w, _ := settled(t, 3, canaryThenRest())
	w.policy(policy)
	w.push("two", nil)
	ask := func() rollout.Check {
		t.Helper()
		for range 60 {
			w.pass(10 * time.Second)
			w.say(t, nil)
			if n := len(w.checks); n > 0 {
				c := w.checks[n-1]
				w.checks = nil
				return c
			}
		}
		t.Fatal("nobody is asked")
		return rollout.Check{}
	}
	before := ask()
	w.spokes["id-c0"].sick = true
	w.until(t, "c0 fails", func() bool { w.checks = nil; return w.member("c0").Phase == rollout.MemberFailed })
	w.spokes["id-c0"].sick = false
	w.say(t, rollout.RetryCluster{AllFailed: true})
	w.say(t, rollout.Resume{})
	now := ask()
	w.say(t, measured(before, rollout.ResultFail))
	if m := w.member("c0"); m.Phase == rollout.MemberFailed {
		t.Errorf("question %d and now %d: %+v", before.Attempt, now.Attempt, m)
	}
}
