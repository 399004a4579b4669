package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestARevertGoesToClustersThatDoNotServe(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.push("bad", map[string]outcome{"c0": unhealthy})
	w.until(t, "c0 does not serve", func() bool { return w.state.Active != nil && !w.member("c0").Unhealthy.IsZero() })
	w.say(t, rollout.Cancel{Actor: "user:a"}) // nothing is inherited, and nothing known to be bad
	w.push("one", nil)
	w.say(t, nil)
	if ro := w.state.Active; ro == nil || ro.Kind != rollout.Backward || len(ro.Waves) != 1 {
		t.Fatalf("%+v", ro)
	}
	w.until(t, "the revert is everywhere", func() bool { return w.idle() && w.all(one) })
	if w.heardOf("ClusterDeferred", "c0") {
		t.Error("c0 was passed over for what is to be mended")
	}
}

func TestAFixGoesToClustersThatDoNotServeBecauseOfABadRelease(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.push("bad", map[string]outcome{"c0": unhealthy})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.say(t, rollout.Cancel{Actor: "user:a"}) // nothing is inherited
	fix := w.push("fix", nil)
	w.until(t, "the fix is everywhere", func() bool { return w.idle() && w.all(fix) })
	if w.heardOf("ClusterDeferred", "c0") {
		t.Error("c0 was passed over for what is to be mended")
	}
}

func TestARollbackEndsAlthoughAClusterIsHeld(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c1 is updated", func() bool { return w.state.Active != nil && w.member("c1").Moved })
	w.spokes["id-c1"].held = true
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || !strings.Contains(ro.Message, "c1") {
		t.Errorf("%+v", ro)
	}
	w.spokes["id-c1"].held = false
	w.until(t, "c1 is back when it is released", func() bool { r := w.row("id-c1").Report; return w.all(one) && r.Release == one && r.Converged })
}

// failedGoBack updates all at once, and takes those back that fail.
func failedGoBack() fleet.RolloutPolicy {
	return fleet.RolloutPolicy{
		Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}, MaxUnavailable: fleet.Percent(100),
		OnFailure: fleet.OnFailure{Action: fleet.RollbackOnFailure, Scope: fleet.ScopeFailed},
	}
}

func TestARollbackOfTheFailedLeavesTheOthersAsTheyAre(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 4, failedGoBack())
	two := w.push("two", map[string]outcome{"c0": refused, "c3": unhealthy})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	w.run(100, func() bool { return false })
	for id, release := range map[string]fleet.Digest{"id-c0": one, "id-c1": two, "id-c2": two, "id-c3": one} {
		if got := w.row(id).Release; got != release {
			t.Errorf("%s has %s, not %s", id, got, release)
		}
	}
}

func TestARollbackOfTheFailedWaitsForWhatIsBeingUpdatedAndMayFailYet(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, failedGoBack())
	two := w.push("two", map[string]outcome{"c0": refused, "c2": never})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RolledBack || w.row("id-c0").Release != one || w.row("id-c1").Release != two || w.row("id-c2").Release != one {
		t.Errorf("it is %s: %s; c0 has %s, c1 %s, c2 %s", ro.Phase, ro.Message, w.row("id-c0").Release, w.row("id-c1").Release, w.row("id-c2").Release)
	}
}

func TestWhatHadFailedIsCountedStillOnceItIsTakenBack(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 4, failedGoBack())
	two := w.push("two", map[string]outcome{"c0": refused, "c3": unhealthy})
	w.until(t, "they go back", w.is(rollout.RollingBack, ""))
	if n := w.state.Active.Totals(); n.Failed+n.HadFailed != 1 {
		t.Errorf("on the way: %+v", n)
	}
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if n, want := w.over(two).Totals(), (rollout.Totals{Size: 4, Succeeded: 2, RolledBack: 2, HadFailed: 2}); n != want {
		t.Errorf("%+v, not %+v", n, want)
	}
	why := map[string]rollout.Failure{"c0": rollout.FailureApply, "c3": rollout.FailureUnhealthy, "c1": "", "c2": ""}
	for _, m := range w.over(two).Members {
		if m.Failure != why[m.Name] {
			t.Errorf("%s is %s by %q, not %q", m.Name, m.Phase, m.Failure, why[m.Name])
		}
	}
}

func TestWhatWasPassedOverHadNotFailedOnceItIsTakenBack(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.OnLost = fleet.LostDefer
	w, _ := settled(t, 2, policy)
	two := w.push("two", nil)
	w.until(t, "c0 is updated", func() bool { return w.state.Active != nil && w.member("c0").Moved })
	w.cluster("c0").Connected = false
	w.until(t, "it is passed over", func() bool { return w.member("c0").Failure == rollout.DeferredLost })
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.cluster("c0").Connected = true
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RolledBack || ro.Totals().RolledBack != 1 || ro.Totals().HadFailed != 0 || ro.Members[0].Failure != "" {
		t.Errorf("%+v", ro)
	}
}

func TestWhatWasGoodIsNotBadBecauseAClusterDoesNotGoBack(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure.Action = fleet.RollbackOnFailure
	w, one := settled(t, 2, policy)
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	w.truth[one] = map[string]outcome{"c1": refused}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if w.state.Track.Outcome(one) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
	w.truth[one] = nil
	w.say(t, rollout.RetryCluster{AllFailed: true})
	w.say(t, rollout.Resume{})
	if w.state.Track.Outcome(one) != rollout.Good {
		t.Errorf("track %+v", w.state.Track)
	}
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestWhatCannotBeTakenBackIsNotTakenBackByHandEither(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	w.state.App.NoRollback = true
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	if err := w.step(rollout.Rollback{}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), rollout.NoRollbackAnnotation) {
		t.Errorf("%v", err)
	}
	w.state.App.NoRollback = false
	w.say(t, rollout.Rollback{})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestAFreezeKeepsNothingFromGoingBack(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	w.state.Freeze = "holidays"
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestARollbackGoesOnAlthoughTheBudgetIsUsedUpByWhatDoesNotComeBack(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves = []fleet.Wave{{Name: "all"}}
	w, one := settled(t, 3, policy)
	two := w.push("two", nil)
	w.until(t, "c1 has it", func() bool { return w.state.Active != nil && w.member("c1").Phase == rollout.MemberSucceeded })
	w.truth[one] = map[string]outcome{"c1": never}
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || w.row("id-c0").Release != one {
		t.Errorf("%+v", ro)
	}
}

// everywhere is a policy of one wave that goes to all at once.
func everywhere() fleet.RolloutPolicy {
	return fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}, MaxUnavailable: fleet.Percent(100)}
}

func TestARollbackGoesToNothingThatWasNeverGood(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	bad := w.push("bad", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.say(t, rollout.Cancel{Actor: "user:a"})
	w.refused(t, rollout.Rollback{Actor: "user:a", To: bad}, "was never good")
}

func TestARollbackTakesNoAppAwayUnlessThatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		policy := canaryThenRest()
		policy.OnFailure = fleet.OnFailure{Action: fleet.RollbackOnFailure, AllowUninstall: allowed}
		w := newWorld(2, policy)
		bad := w.push("bad", map[string]outcome{"c0": refused})
		w.until(t, "it has failed", func() bool { return w.is(rollout.Halted, "")() || w.is(rollout.RollingBack, "")() })
		row := w.row("id-c0")
		switch {
		case allowed && (row.Assignment.State != fleet.Removed || !w.is(rollout.RollingBack, "")()):
			t.Errorf("it may be taken away, and is %+v: %+v", row.Assignment, w.state.Active)
		case !allowed && (row.Assignment.State != fleet.Active || row.Release != bad || !strings.Contains(w.state.Active.Message, "allowUninstall is not set")):
			t.Errorf("it may not be taken away, and is %+v: %+v", row.Assignment, w.state.Active)
		}
	}
}

func TestARollbackTakesTheLastFirstAndNoMoreThanSoManyAtATime(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.Waves[0].MaxConcurrent = fleet.Clusters(1)
	policy.OnFailure = fleet.OnFailure{Action: fleet.RollbackOnFailure, MaxConcurrent: fleet.Clusters(1)}
	w, one := settled(t, 4, policy)
	two := w.push("two", map[string]outcome{"c2": refused})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	var order []string
	for _, p := range w.pins {
		if p.release == one && p.at.After(w.over(two).Started) {
			order = append(order, p.cluster+" "+p.at.Sub(w.over(two).Started).String())
		}
	}
	if got := strings.Join(order, ", "); got != "id-c2 1m30s, id-c1 2m0s, id-c0 2m30s" {
		t.Errorf("taken back: %s", got)
	}
}

func TestARollbackOfAWaveLeavesThoseBefore(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnFailure = fleet.OnFailure{Action: fleet.RollbackOnFailure, Scope: fleet.ScopeWave}
	w, one := settled(t, 3, policy)
	two := w.push("two", map[string]outcome{"c1": refused})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	w.run(50, func() bool { return false })
	for id, release := range map[string]fleet.Digest{"id-c0": two, "id-c1": one, "id-c2": one} {
		if got := w.row(id).Release; got != release {
			t.Errorf("%s has %s, not %s", id, got, release)
		}
	}
}

func TestARollbackTakesNoMoreClustersThatServeThanMayBeAway(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.MaxUnavailable = fleet.Clusters(2)
	w, one := settled(t, 6, policy)
	w.push("two", nil)
	w.until(t, "most have it", func() bool { return w.state.Active != nil && w.state.Active.Totals().Succeeded >= 4 })
	w.say(t, rollout.Rollback{Actor: "user:a"})
	most := 0
	w.until(t, "it is back", func() bool {
		if w.state.Active != nil {
			most = max(most, w.state.Active.Totals().Unavailable)
		}
		return w.idle() && w.all(one)
	})
	if most != 2 {
		t.Errorf("%d were away at a time", most)
	}
}

// What is being updated counts as unavailable already: that it goes back instead makes no more so.
func TestARollbackTakesBackAtOnceWhatIsBeingUpdated(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.MaxUnavailable = fleet.Clusters(2)
	w, one := settled(t, 6, policy)
	two := w.push("two", map[string]outcome{"c0": slow, "c1": slow})
	w.until(t, "both are being updated, and serve", func() bool {
		return w.state.Active != nil && w.member("c0").Phase == rollout.MemberApplying && w.member("c1").Phase == rollout.MemberApplying
	})
	w.say(t, rollout.Rollback{Actor: "user:a"})
	for _, id := range []string{"id-c0", "id-c1"} {
		if got := w.row(id).Release; got != one {
			t.Errorf("%s has %s, not %s: %+v", id, got, one, w.state.Active)
		}
	}
	w.until(t, "it is over", func() bool { return w.over(two) != nil && w.all(one) })
}

func TestARollbackEndsAlthoughAClusterIsOutOfReach(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c0 has it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded })
	w.cluster("c0").Connected = false
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || !strings.Contains(ro.Message, "c0") {
		t.Errorf("%+v", ro)
	}
	w.cluster("c0").Connected = true
	w.until(t, "it goes back when it returns", func() bool { return w.all(one) && w.row("id-c0").Report.Release == one })
}

func TestAWindowKeepsNothingFromGoingBack(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	policy := canaryThenRest()
	policy.Windows = []fleet.Window{{Cron: "0 20 * * *", Duration: fleet.Lasting(time.Hour)}} // it is noon
	w.policy(policy)
	w.say(t, rollout.Rollback{Actor: "user:a"})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(one) })
}

func TestARolloutWhoseReleaseIsNotThereAnyMoreIsNotTakenBack(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
	three := w.push("three", nil)
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(three) })
	w.refused(t, rollout.At{ID: w.over(two).ID, Command: rollout.Rollback{Actor: "user:a"}}, "what clusters run is not of it any more")
	w.say(t, rollout.At{ID: w.over(three).ID, Command: rollout.Rollback{Actor: "user:a"}})
	w.until(t, "it is back", func() bool { return w.idle() && w.all(two) })
}
