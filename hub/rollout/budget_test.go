package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

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
	if got := w.state.Track.Outcome(two); got != "" {
		t.Errorf("it goes on, and its Release is %s", got)
	}
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

func TestARequiredWaveWhoseClustersAllGoStopsTheRollout(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].Required = true
	w, _ := settled(t, 3, policy)
	w.push("two", map[string]outcome{"c0": never})
	w.until(t, "c0 is updated", func() bool { return w.state.Active != nil && w.member("c0").Moved })
	w.leave("c0")
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonEmptyWave))
	w.refused(t, rollout.Resume{}, "--accept-coverage")
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
	if w.row("id-c0").Release != two || w.row("id-c2").Release != one {
		t.Errorf("what was passed over has changed: %+v", w.state.Rows)
	}
	w.truth[two] = nil
	w.say(t, rollout.Resume{})
	w.until(t, "they have caught up", func() bool { return w.idle() && w.all(two) })
}

func TestWhatUsesUpTheBudgetIsRepairedBeforeItGoesOn(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all", MaxFailures: fleet.Clusters(1)}}
	w, _ := settled(t, 3, policy)
	two := w.push("two", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonAvailabilityBudget))
	w.refused(t, rollout.Resume{}, "repair, retry or skip them first")
	w.truth[two] = nil
	w.until(t, "c0 serves", func() bool { return w.member("c0").Phase == rollout.MemberSucceeded })
	w.say(t, rollout.Resume{})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestWhoIsBeingUpdatedIsNotPassedOver(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.push("two", nil)
	w.say(t, nil)
	w.refused(t, rollout.SkipCluster{Clusters: []string{"c0"}}, "cluster c0 is Dispatched")
}

func TestAClusterThatIsTriedAgainHasAllItsRetries(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.Retries = 2
	w, _ := settled(t, 2, policy)
	w.push("two", map[string]outcome{"c0": refused})
	tries := func() (n int) {
		for _, e := range w.log {
			if e.Type == "ClusterDispatched" && e.Cluster == "c0" && e.Rollout == w.state.Active.ID {
				n++
			}
		}
		return n
	}
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if n := tries(); n != 3 {
		t.Errorf("%d tries", n)
	}
	w.say(t, rollout.RetryCluster{Clusters: []string{"c0"}})
	w.say(t, rollout.Resume{})
	w.until(t, "it is halted again", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if n := tries(); n != 6 {
		t.Errorf("%d tries in all", n)
	}
}

func TestNoClusterIsTriedAgainOnceAllWavesAreDone(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.Waves = []fleet.Wave{{Name: "first", Limit: fleet.Clusters(3), MaxConcurrent: fleet.Clusters(3), MaxFailures: fleet.Clusters(1), MinUpdated: fleet.Clusters(1)}, {Name: "rest"}}
	w, _ := settled(t, 4, policy)
	w.cluster("c0").Connected = false
	two := w.push("two", map[string]outcome{"c0": slow, "c2": refused})
	w.until(t, "the last wave is under way", func() bool { return w.state.Active != nil && w.state.Active.Wave == 1 })
	w.cluster("c0").Connected = true
	w.until(t, "all waves are done, and c0 is not", func() bool { return w.state.Active.Wave == 2 })
	w.refused(t, rollout.RetryCluster{Clusters: []string{"c2"}}, "clusters catch up once it is over")
	w.truth[two] = nil
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestAClusterThatHasTheReleaseIsNotUpdatedAgain(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c0 has it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded })
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.say(t, rollout.Start{Actor: "user:a", Target: two})
	w.say(t, nil)
	if m := w.member("c0"); m.Phase != rollout.MemberSucceeded || m.Moved || m.Attempt != 0 {
		t.Errorf("%+v", m)
	}
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestWhoIsPassedOverHoldsNoPlaceOfASupersededRolloutAnyMore(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnNewRevision = fleet.SupersedeOld
	policy.MaxUnavailable = fleet.Clusters(2)
	policy.Waves = []fleet.Wave{{Name: "first", Select: &fleet.Selector{MatchLabels: map[string]string{"index": "0"}}}, {Name: "rest"}}
	w, _ := settled(t, 3, policy)
	w.push("stuck", map[string]outcome{"c1": never})
	w.until(t, "c1 is at it", func() bool { return w.state.Active != nil && w.member("c1").Phase.InFlight() })
	w.push("fix", nil)
	w.say(t, nil)
	w.say(t, rollout.SkipCluster{Clusters: []string{"c1"}, Reason: "later"})
	w.say(t, nil)
	if c0, c1 := w.member("c0"), w.member("c1"); c0.Phase != rollout.MemberDispatched || c1.Inherited {
		t.Errorf("c0 %+v, c1 %+v", c0, c1)
	}
}

func TestAFailureOfAWaveThatIsDoneHaltsTheOneUnderWay(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 4, canaryThenRest())
	w.push("two", map[string]outcome{"c1": never, "c2": never, "c3": never})
	w.until(t, "the second wave is under way", func() bool { return w.state.Active != nil && w.state.Active.Wave == 1 })
	w.spokes["id-c0"].sick = true
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if m := w.member("c0"); m.Phase != rollout.MemberFailed || m.Failure != rollout.FailureRegression || !strings.Contains(w.state.Active.Message, "wave canary") {
		t.Errorf("%+v: %s", m, w.state.Active.Message)
	}
}
