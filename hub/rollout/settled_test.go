package rollout_test

import (
	"testing"

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
