package rollout_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// brought has a Release go to all clusters.
func (w *world) brought(t *testing.T, text string) fleet.Digest {
	t.Helper()
	release := w.push(text, nil)
	w.until(t, text+" is everywhere", func() bool { return w.idle() && w.all(release) })
	return release
}

func TestARollbackAfterOneGoesNoFurther(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, _ := settled(t, 3, policy)
	two := w.brought(t, "two")
	w.push("three", map[string]outcome{"c0": unhealthy})
	w.until(t, "three is taken back", func() bool { return w.idle() && w.heardOf("RolledBack", "") && w.all(two) })
	err := w.step(rollout.Rollback{Actor: "user:a"})
	if !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), two.String()) || !strings.Contains(err.Error(), "--to") {
		t.Errorf("it goes on back: %v", err)
	}
}

func TestARollbackOfWhatWasCancelledBringsBackWhatIsStable(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	two := w.brought(t, "two")
	w.push("three", nil)
	w.until(t, "c0 has it", func() bool {
		return w.heardOf("ClusterSucceeded", "c0") && w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded
	})
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.say(t, rollout.Rollback{Actor: "user:a"})
	if ro := w.state.Active; ro == nil || ro.Target != two || ro.Kind != rollout.Backward {
		t.Fatalf("%+v begins", ro)
	}
	w.until(t, "two is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestARollbackThatIsAskedForAgainIsTheSame(t *testing.T) {
	t.Parallel()
	w, first := settled(t, 3, canaryThenRest())
	w.brought(t, "two")
	for _, again := range []rollout.Rollback{{Actor: "user:a"}, {Actor: "user:a", To: first}} {
		w.say(t, rollout.At{Command: again})
		if ro := w.state.Active; ro == nil || ro.Target != first || ro.Phase != rollout.Running {
			t.Fatalf("after %+v %+v is under way", again, ro)
		}
	}
	id := w.state.Active.ID
	w.say(t, rollout.At{Command: rollout.Rollback{Actor: "user:a"}})
	if ro := w.state.Active; ro.ID != id || ro.Phase != rollout.Running {
		t.Fatalf("it is taken back: %+v", ro)
	}
	w.say(t, rollout.At{ID: id, Command: rollout.Rollback{Actor: "user:a"}})
	if ro := w.state.Active; ro == nil || ro.Phase != rollout.RollingBack {
		t.Errorf("who names it does not have it taken back: %+v", ro)
	}
}

func TestARollbackThatIsHaltedSaysHowItGoesOn(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.brought(t, "two")
	w.truth[one] = map[string]outcome{"c0": refused}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	for _, again := range []rollout.Rollback{{}, {To: one}} {
		if err := w.step(rollout.At{Command: again}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "rollout resume") {
			t.Errorf("%+v: %v", again, err)
		}
	}
}

func TestWhyNothingIsTakenBackIsToldWithTheHalt(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, _ := settled(t, 2, policy)
	w.state.App.NoRollback = true
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	for _, e := range w.log {
		if e.Type == "Halted" && !strings.Contains(e.Message, rollout.NoRollbackAnnotation) {
			t.Errorf("told as %+v", e)
		}
	}
}
