package rollout_test

import (
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestARolloutOfASuspendedAppGoesNowhereAndNoDeadlineCounts(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	suspend := func(on bool) { w.state.App = with1(w.state.App, func(a *rollout.App) { a.Controls.Suspend = on }) }
	suspend(true)
	two := w.push("two", map[string]outcome{"c0": never})
	w.run(20, func() bool { return false })
	if !w.is(rollout.Running, rollout.ReasonSuspended)() || w.row("id-c0").Release != one {
		t.Fatalf("%+v", w.state.Active)
	}
	suspend(false)
	w.until(t, "c0 is at it", func() bool { return w.member("c0").Phase == rollout.MemberVerifying })
	suspend(true)
	w.run(200, func() bool { return false })
	if m := w.member("c0"); m.Phase != rollout.MemberVerifying {
		t.Errorf("suspended for half an hour: %+v", m)
	}
	suspend(false)
	w.until(t, "its time is up", func() bool { return w.member("c0").Failure == rollout.FailureDeadline })
	w.truth[two] = nil
	w.until(t, "it works after all", func() bool { return w.member("c0").Phase == rollout.MemberSucceeded })
}

func TestADeadlineStandsStillWhileTheSpokeWaits(t *testing.T) {
	t.Parallel()
	for waiting, want := range map[fleet.Waiting]string{fleet.WaitingDependency: "a dependency", fleet.WaitingPruneHeld: "a held prune to be approved"} {
		w, _ := settled(t, 2, canaryThenRest())
		two := w.push("two", map[string]outcome{"c0": never})
		w.wire.waits = map[fleet.Digest]fleet.Waiting{two: waiting}
		for range 60 {
			w.pass(time.Minute)
			w.say(t, nil)
		}
		if m := w.member("c0"); !m.Phase.InFlight() || m.Message != want+": waits for its Pods" {
			t.Errorf("after an hour %+v", m)
		}
		w.wire.waits = nil
		w.until(t, "its time is up, now that it counts", func() bool { return w.member("c0").Failure == rollout.FailureDeadline })
	}
}

func TestWhatHoldsAClusterDefersItUntilItIsGone(t *testing.T) {
	t.Parallel()
	hold := func(w *world, on bool) { w.cluster("c1").Held = map[bool]string{true: "hands off"}[on] }
	there := func(w *world, on bool) { w.spokes["id-c1"].held = on }
	for what, set := range map[string]func(*world, bool){"at the hub": hold, "where it is": there} {
		policy := canaryThenRest()
		policy.Waves[1].MinUpdated = fleet.Percent(100)
		policy.MaxUnavailable = fleet.Clusters(1)
		w, one := settled(t, 3, policy)
		set(w, true)
		two := w.push("two", nil)
		w.until(t, "the others have it: "+what, func() bool {
			return w.row("id-c2").Release == two && w.member("c2").Phase == rollout.MemberSucceeded
		})
		if m := w.member("c1"); m.Phase != rollout.MemberDeferred || m.Failure != rollout.DeferredHeld {
			t.Errorf("%s: %+v", what, m)
		}
		if got := w.row("id-c1").Release; what == "at the hub" && got != one {
			t.Errorf("%s: it has %s", what, got)
		}
		set(w, false)
		w.until(t, "it is everywhere: "+what, func() bool { return w.idle() && w.all(two) })
	}
}

func TestAClusterThatDidNotServeBeforeIsWaitedForOrUpdatedAsThePolicySays(t *testing.T) {
	t.Parallel()
	for action, want := range map[fleet.PreexistingUnhealthy]rollout.Member{
		fleet.UnhealthyBlock: {Phase: rollout.MemberPending}, fleet.UnhealthyDefer: {Phase: rollout.MemberDeferred, Failure: rollout.DeferredUnhealthy},
		fleet.UnhealthyUpdate: {Phase: rollout.MemberDeferred, Failure: rollout.DeferredStillUnhealthy},
	} {
		policy := canaryThenRest()
		policy.Cluster.PreexistingUnhealthy = action
		w, one := settled(t, 3, policy)
		w.spokes["id-c0"].sick = true
		w.run(5, func() bool { return false })
		two := w.push("two", nil)
		w.run(100, func() bool { return false })
		if m := w.member("c0"); m.Phase != want.Phase || m.Failure != want.Failure {
			t.Errorf("%s: %+v", action, m)
		}
		if got := w.row("id-c0").Release; (got == two) != (action == fleet.UnhealthyUpdate) || w.row("id-c1").Release != one {
			t.Errorf("%s: c0 has %s, c1 %s", action, got, w.row("id-c1").Release)
		}
		w.spokes["id-c0"].sick = false
		w.until(t, "it is everywhere: "+string(action), func() bool { return w.idle() && w.all(two) })
	}
}

func TestARolloutWaitsInEachClusterForADependency(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 2, canaryThenRest())
	database := releaseOf("database").Digest()
	rows := map[string]fleet.Digest{"id-c0": one, "id-c1": database}
	w.state.App = with1(w.state.App, func(a *rollout.App) { a.Prerequisites = []rollout.Prerequisite{{Release: database, Rows: rows}} })
	two := w.push("two", nil)
	w.run(50, func() bool { return false })
	if m := w.member("c0"); m.Phase != rollout.MemberPending || !strings.HasPrefix(m.Message, "waits for ") {
		t.Errorf("%+v", m)
	}
	rows["id-c0"] = database
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}
