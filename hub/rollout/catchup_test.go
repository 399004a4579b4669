package rollout_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestClustersStayAtWhatEachRolloutLeftThatWasCancelled(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[1].MaxConcurrent = fleet.Clusters(1)
	w, _ := settled(t, 4, policy)
	two := w.push("two", nil)
	w.until(t, "c1 has it", func() bool { return w.state.Active != nil && w.member("c1").Phase == rollout.MemberSucceeded })
	w.say(t, rollout.Cancel{Actor: "user:a"})
	three := w.push("three", nil)
	w.say(t, nil)
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.run(60, func() bool { return false })
	if a, b := w.row("id-c0").Release, w.row("id-c1").Release; a != three || b != two {
		t.Errorf("c0 is at %s, c1 at %s; %s and %s were left there", a, b, three, two)
	}
	four := w.push("four", nil)
	w.until(t, "one that succeeds is everywhere", func() bool { return w.idle() && w.all(four) })
	if len(w.state.Track.Kept) > 0 {
		t.Errorf("something is kept still: %+v", w.state.Track)
	}
}

func TestAClusterThatCannotCatchUpStaysWhereItIsIfNothingCanBeTakenBack(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.state.App.NoRollback = true
	w.cluster("c2").Connected = false
	two := w.push("two", map[string]outcome{"c2": never})
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	w.until(t, "it has not caught up", func() bool { return w.state.Track.CatchingUp["id-c2"].Failed })
	w.run(5, func() bool { return false })
	if u := w.state.Track.CatchingUp["id-c2"]; w.row("id-c2").Release != two || !strings.Contains(u.Message, rollout.NoRollbackAnnotation) {
		t.Fatalf("it is taken back: %+v", u)
	}
	w.truth[two] = nil
	w.until(t, "it is there after all", func() bool { return len(w.state.Track.CatchingUp) == 0 })
}

func TestAClusterThatSaysNothingHasOneDeadlineToCatchUp(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	w, _ := settled(t, 3, policy)
	w.wire.mute = map[string]bool{"id-c9": true}
	w.join("c9", nil)
	w.say(t, nil)
	began := w.state.Now
	w.until(t, "it is given up", func() bool { return w.state.Track.CatchingUp["id-c9"].Failed })
	if took, most := w.state.Now.Sub(began), policy.WithDefaults().Cluster.ProgressDeadline.OrZero(); took > most+tick {
		t.Errorf("after %s, not %s", took, most)
	}
}

// A cluster that comes gets Stable, though what the newest Release of the App depends on is not there: Stable does not.
func TestANewClusterGetsStableWhateverTheNewestReleaseWaitsFor(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	w.state.App.Prerequisites = []rollout.Prerequisite{{Lacks: "the database at its Revision"}}
	w.join("c9", nil)
	w.until(t, "it has Stable", func() bool { return w.row("id-c9").Release == one })
}

func TestWhatCatchesUpChangesInAWindowOnlyAndWhatIsNewDoesNotWait(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	w, _ := settled(t, 3, policy)
	w.cluster("c2").Connected = false
	two := w.push("two", nil)
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	policy.Windows = []fleet.Window{{Cron: "0 20 * * *", Duration: fleet.Lasting(time.Hour)}} // it is noon
	w.policy(policy)
	w.cluster("c2").Connected = true
	w.join("c9", nil)
	w.run(20, func() bool { return false })
	if w.row("id-c2").Release == two || w.row("id-c9").Release != two {
		t.Errorf("%+v", w.state.Rows)
	}
	w.state.Now = time.Date(2026, 3, 2, 20, 1, 0, 0, time.UTC)
	w.until(t, "c2 has caught up", func() bool { return w.all(two) })
}

func TestAClusterThatDidNotCatchUpIsTriedAgainWithoutARollout(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.cluster("c2").Connected = false
	two := w.push("two", map[string]outcome{"c2": refused})
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	w.until(t, "it has not caught up", func() bool { return w.state.Track.CatchingUp["id-c2"].Failed })
	if w.row("id-c2").Release != one {
		t.Errorf("it is not left at what it had: %+v", w.row("id-c2"))
	}
	w.truth[two] = nil
	before := len(w.log)
	w.say(t, rollout.RetryCluster{Clusters: []string{"c2"}})
	w.until(t, "c2 has caught up", func() bool { return w.all(two) && len(w.state.Track.CatchingUp) == 0 })
	want := rollout.Event{Rollout: w.over(two).ID, Type: "CaughtUp", Cluster: "c2", Message: two.String()}
	if !slices.Contains(w.log[before:], want) {
		t.Errorf("nobody is told %+v: %+v", want, w.log[before:])
	}
}

func TestWhatHasCaughtUpIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	if err := w.step(rollout.RetryCluster{Clusters: []string{"c1"}}); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "cluster c1: not found: no Rollout is under way") {
		t.Errorf("it is tried again, or refused for %v", err)
	}
	if err := w.step(rollout.RetryCluster{AllFailed: true}); err != nil {
		t.Errorf("that none has failed is refused: %v", err)
	}
}
