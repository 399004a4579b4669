package rollout_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func canaryThenRest() fleet.RolloutPolicy {
	return fleet.RolloutPolicy{
		Waves:          []fleet.Wave{{Name: "canary", Limit: fleet.Clusters(1)}, {Name: "rest", MaxConcurrent: fleet.Percent(50)}},
		MaxUnavailable: fleet.Percent(50),
	}
}

func TestAGoodReleaseGoesThroughItsWaves(t *testing.T) {
	t.Parallel()
	w := newWorld(7, canaryThenRest())
	one := w.push("one", nil)
	if !w.run(100, func() bool { return w.idle() && w.all(one) }) {
		t.Fatalf("the first: %+v", w.state.Active)
	}
	two := w.push("two", nil)
	if !w.run(100, func() bool { return w.idle() && w.all(two) }) {
		t.Fatalf("the second: %+v", w.state.Active)
	}
	if w.state.Track.Stable != two || w.state.Track.Outcome(two) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
}

func TestABadReleaseStopsAtTheCanaryAndGoesBack(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w := newWorld(5, policy)
	one := w.push("one", nil)
	w.run(100, func() bool { return w.idle() && w.all(one) })
	bad := w.push("bad", map[string]outcome{"c0": unhealthy, "c1": unhealthy})
	if !w.run(100, func() bool { return len(w.ended) == 2 && w.all(one) }) {
		t.Fatalf("%+v", w.state.Active)
	}
	touched := map[string]bool{}
	for _, p := range w.pins {
		if p.release == bad {
			touched[p.cluster] = true
		}
	}
	if len(touched) != 1 || !touched["id-c0"] {
		t.Errorf("the bad Release was given to %v", touched)
	}
	if w.state.Track.Stable != one || w.state.Track.Outcome(bad) != rollout.Bad {
		t.Errorf("track %+v", w.state.Track)
	}
	if w.run(20, func() bool { return w.state.Active != nil }) {
		t.Errorf("it began again: %+v", w.state.Active)
	}
}
