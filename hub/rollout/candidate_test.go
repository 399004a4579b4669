package rollout_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

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
