package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

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

// refused has somebody say something that is refused, in those words.
func (w *world) refused(t *testing.T, c rollout.Command, words string) {
	t.Helper()
	if err := w.step(c); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), words) {
		t.Errorf("%+v: %v, want %q", c, err, words)
	}
}

func TestStartTakesABadReleaseOnlyWhereSomebodyAllowsIt(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	bad := w.push("bad", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.refused(t, rollout.Start{Actor: "user:a", Target: bad}, "--allow-bad")
	w.truth[bad] = nil
	w.say(t, rollout.Start{Actor: "user:a", Target: bad, AllowBad: true})
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(bad) })
}

func TestStartTakesThePlaceOfWhatIsUnderWayOnlyWhereThatIsSaid(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	two := w.push("two", nil)
	w.say(t, nil)
	w.refused(t, rollout.Start{Actor: "user:a", Target: one}, "--supersede")
	w.say(t, rollout.Start{Actor: "user:a", Target: one, Supersede: true})
	if ro := w.state.Active; ro == nil || ro.Target != one || w.over(two).Phase != rollout.Superseded {
		t.Errorf("under way is %+v", ro)
	}
}

func TestStartBeginsThePlanThatIsExpectedOrNone(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(2, policy)
	w.push("one", nil)
	preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := rollout.Start{Actor: "user:a", Plan: preview.Rollout.Plan}
	w.join("c9", nil)
	w.refused(t, start, "the plan is")
	w.leave("c9")
	w.say(t, start)
	if ro := w.state.Active; ro == nil || ro.Plan != start.Plan {
		t.Errorf("under way is %+v", ro)
	}
}

func TestWhatWasQueuedAndIsCancelledDoesNotBeginByItself(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(2, policy)
	w.push("one", nil)
	w.say(t, nil)
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.policy(canaryThenRest())
	if w.run(20, func() bool { return w.state.Active != nil || w.state.Queued != nil }) {
		t.Errorf("under way is %+v, queued %+v", w.state.Active, w.state.Queued)
	}
}

func TestWhatWouldBeTriedAgainIsNotWhenAnotherTakesItsPlaceInThatStep(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnNewRevision = fleet.SupersedeOld
	policy.Cluster.Retries = 1
	w, _ := settled(t, 3, policy)
	w.push("two", map[string]outcome{"c0": refused})
	w.say(t, nil)
	w.pass(time.Second) // c0 takes it in,
	w.pass(time.Minute) // and refuses it
	three := w.push("three", nil)
	w.watch = func(_ rollout.State, step rollout.Step) {
		if len(step.Requests) > 0 {
			t.Errorf("asked of spokes: %v", step.Requests)
		}
	}
	w.say(t, nil)
	w.until(t, "the last one is everywhere", func() bool { return w.idle() && w.all(three) })
}

func TestAPolicyThatIsNewFindsWhatMostClustersRun(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 4, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c0 has it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded })
	w.say(t, rollout.Pause{})
	w.truth[two] = map[string]outcome{"c1": never}
	*w.row("id-c1") = *w.row("id-c0") // as somebody left it, and not converged
	row := w.row("id-c1")
	row.Report = with1(row.Report, func(r *rollout.Report) { r.Converged = false })
	three := releaseOf("three")
	row = w.row("id-c3")
	row.Assignment = with1(row.Assignment, func(a *fleet.Assignment) { a.Release = three })
	row.Release, row.Report = three.Digest(), nil
	for _, name := range []string{"c4", "c5"} {
		w.join(name, nil)
		*w.row("id-" + name) = *w.row("id-c2")
	}
	w.state.Track, w.state.Active = nil, nil
	w.state.App.Release = nil
	step, err := rollout.Act(w.state, nil)
	if err != nil {
		t.Fatal(err)
	}
	track := step.Track
	if track == nil || track.Stable != one || track.Outcome(one) != rollout.Good || track.Outcome(two) != rollout.Good || track.Outcome(three.Digest()) != "" {
		t.Errorf("of %s, %s and %s the track is %+v", one, two, three.Digest(), track)
	}
}

func TestWhatWaitsIsLookedAtAsSoonAsItsTurnHasCome(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.say(t, nil)
	w.push("three", nil)
	w.until(t, "the first is over", func() bool { return w.over(two) != nil })
	if w.state.Active != nil || w.state.Queued == nil || w.wake.IsZero() || w.wake.Sub(w.state.Now) > time.Second {
		t.Errorf("it is looked at again at %s, and it is %s: queued %+v", w.wake, w.state.Now, w.state.Queued)
	}
}

func TestEachReleaseIsShuffledAnew(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.Waves[0].Order = fleet.WaveOrder{By: fleet.ByShuffle}
	w := newWorld(20, policy)
	orders := map[string]bool{}
	for _, text := range []string{"one", "two", "one"} {
		w.push(text, nil)
		preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, m := range preview.Rollout.Members {
			order = append(order, m.Name)
		}
		orders[strings.Join(order, " ")] = true
	}
	if len(orders) != 2 {
		t.Errorf("two Releases have %d orders", len(orders))
	}
}

func TestARolloutThatNoClusterIsForBeginsOnceThereIsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(0, canaryThenRest())
	one := w.push("one", nil)
	w.say(t, nil)
	if w.state.Active != nil || w.state.Queued != nil || len(w.ended) > 0 {
		t.Errorf("under way is %+v, over %v", w.state.Active, w.ended)
	}
	w.join("c0", nil)
	w.until(t, "it is there", func() bool { return w.idle() && w.all(one) })
}

func TestWhatIsQueuedEndsWithTheApp(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	w.push("two", nil)
	w.say(t, nil)
	three := w.push("three", nil)
	w.say(t, nil)
	if w.state.Queued == nil {
		t.Fatalf("%+v", w.state.Active)
	}
	w.state.App, w.state.Deletion = nil, &rollout.Deletion{}
	w.say(t, nil)
	if w.state.Active != nil || w.state.Queued != nil || w.over(three) == nil {
		t.Errorf("under way is %+v, queued %+v", w.state.Active, w.state.Queued)
	}
}

func TestABadReleaseThatComesAgainDoesNotBegin(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	bad := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	w.push("one", nil)
	w.until(t, "one is everywhere", func() bool { return w.idle() && w.all(one) })
	w.push("two", nil)
	w.run(10, func() bool { return false })
	if w.state.Active != nil || !w.all(one) || w.state.Track.Outcome(bad) != rollout.Bad || !w.heardOf("CandidateIsBad", "") {
		t.Errorf("under way %+v, track %+v", w.state.Active, w.state.Track)
	}
}
