package rollout_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Each of these is about a mistake that random schedules meet too seldom to rely on it.

func TestAClusterThatStopsServingAndGoesAwayFailsAllTheSame(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{{Soak: &fleet.SoakGate{Duration: fleet.Lasting(time.Hour)}}}
	policy.Cluster = fleet.MemberPolicy{RegressionWindow: fleet.Lasting(5 * time.Minute), UnreachableTimeout: fleet.Lasting(30 * time.Minute)}
	w := newWorld(2, policy)
	w.push("one", nil)
	if !w.run(20, func() bool { return w.state.Active != nil && w.state.Active.Waves[0].Phase == rollout.WaveAfter }) {
		t.Fatalf("it does not soak: %s", w.tail(5))
	}
	w.spokes["id-c0"].sick = true
	w.run(2, func() bool { return false })
	w.cluster("c0").Connected = false
	gone := w.state.Now
	if !w.run(100, func() bool { return w.state.Active.Phase == rollout.Halted }) {
		t.Fatalf("it goes on: %s", w.tail(5))
	}
	if m := w.state.Active.Members[0]; m.Failure != rollout.FailureRegression || w.state.Now.Sub(gone) > 5*time.Minute {
		t.Errorf("after %s its cluster is %s by %q", w.state.Now.Sub(gone), m.Phase, m.Failure)
	}
}

func TestAClusterThatWasAwayBeforeItsTurnGetsItWhenItIsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(3, canaryThenRest())
	w.cluster("c2").Connected = false
	one := w.push("one", nil)
	w.run(5, func() bool { return false })
	m := w.state.Active.Members[2]
	w.cluster("c2").Connected = true
	if !w.run(20, func() bool { return w.idle() && w.all(one) }) || m.Name != "c2" {
		t.Fatalf("it does not get its turn: %s", w.tail(10))
	}
	for _, ro := range w.ended {
		if m := ro.Members[2]; m.Phase != rollout.MemberSucceeded {
			t.Errorf("%s is %s", m.Name, m.Phase)
		}
	}
}

func TestAFailureWithinTheBudgetKeepsNoWaveFromItsCoverage(t *testing.T) {
	t.Parallel()
	w := newWorld(3, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Clusters(3), MaxFailures: fleet.Clusters(1), MinUpdated: fleet.Percent(100)}},
		MaxUnavailable: fleet.Percent(100)})
	w.push("one", map[string]outcome{"c1": refused})
	if !w.run(20, w.idle) {
		t.Fatalf("it stands: %s", w.tail(10))
	}
}

func TestAPausedRolloutIsHaltedByWhatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(3, canaryThenRest())
	w.push("one", map[string]outcome{"c0": unhealthy})
	w.run(2, func() bool { return false })
	if err := w.step(rollout.Pause{Actor: "user:a"}); err != nil {
		t.Fatal(err)
	}
	if !w.run(20, func() bool { return w.state.Active.Phase == rollout.Halted }) {
		t.Fatalf("it stays %s: %s", w.state.Active.Phase, w.tail(10))
	}
}
