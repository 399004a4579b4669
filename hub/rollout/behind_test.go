package rollout_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// firstThenRest has c0 in a wave of its own, and one cluster may be without service.
func firstThenRest() fleet.RolloutPolicy {
	p := narrow()
	p.Waves = []fleet.Wave{{Name: "first", Select: &fleet.Selector{MatchLabels: map[string]string{"index": "0"}}}, {Name: "rest"}}
	return p
}

func TestAFixGoesThroughTheFirstWaveThoughALaterOneIsBroken(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, firstThenRest())
	w.push("bad", map[string]outcome{"c1": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	fix := w.push("fix", nil)
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
	if w.heardOf("Halted", "") && w.state.Track.Outcome(fix) != rollout.Good {
		t.Errorf("the fix is held for bad: %+v", w.state.Track)
	}
}

func TestAFixReachesWhatIsBrokenThoughMoreIsThanMayBe(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all", MaxFailures: fleet.Clusters(1)}}
	w, _ := settled(t, 4, policy)
	w.push("bad", map[string]outcome{"c0": regresses, "c1": regresses, "c2": regresses})
	w.until(t, "it is halted", func() bool { return w.state.Active != nil && w.state.Active.Phase == rollout.Halted })
	if n := w.state.Active.Totals().Unavailable; n < 2 {
		t.Fatalf("%d are broken", n)
	}
	fix := w.push("fix", nil)
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
}

func TestAFixThatBreaksMoreStopsAtTheFirstCluster(t *testing.T) {
	t.Parallel()
	policy := firstThenRest()
	policy.Waves[0].Select.MatchLabels = nil
	policy.Waves[0].Limit, policy.Waves[0].MaxFailures = fleet.Clusters(2), fleet.Clusters(2)
	w, _ := settled(t, 4, policy)
	w.push("bad", map[string]outcome{"c2": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.push("fix", map[string]outcome{"c0": unhealthy})
	w.until(t, "the fix is halted", w.is(rollout.Halted, rollout.ReasonAvailabilityBudget))
	if m := w.member("c1"); m.Attempt > 0 {
		t.Errorf("c1 got it as well: %+v", m)
	}
}

func TestAClusterThatHasLostTheAppAndGetsItAgainTakesRoom(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Clusters(2)}}
	policy.OnNewRevision = fleet.SupersedeOld
	w, _ := settled(t, 2, policy)
	w.push("two", map[string]outcome{"c1": slow})
	w.until(t, "c1 is under way", func() bool { return w.state.Active != nil && w.member("c1").Phase.InFlight() })
	c0 := w.cluster("c0")
	c0.Spec.Taints = []fleet.Taint{{Key: "out", Effect: fleet.NoExecute}}
	w.say(t, nil)
	w.cluster("c0").Spec.Taints = nil
	w.push("three", nil)
	w.say(t, nil)
	if n := w.state.Active.Totals(); n.Unavailable > 1 {
		t.Errorf("%d clusters are without service: %+v", n.Unavailable, w.state.Active.Members)
	}
}

func TestWhatARolloutHasInheritedIsLookedAtAsItBegins(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "first", Select: &fleet.Selector{MatchLabels: map[string]string{"index": "1"}}}, {Name: "rest"}}
	policy.OnNewRevision = fleet.SupersedeOld
	policy.Cluster.MinReady = fleet.Lasting(5 * time.Minute)
	w, _ := settled(t, 2, policy)
	w.push("two", nil)
	w.until(t, "c0 is converged", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberVerifying })
	w.push("three", nil)
	w.say(t, nil)
	if c0, c1 := w.member("c0"), w.member("c1"); c0.Inherited || c1.Phase != rollout.MemberDispatched {
		t.Errorf("what is converged is in the way: %+v, %+v", c0, c1)
	}
}
