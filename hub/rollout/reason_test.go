package rollout_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
)

// told is the first event of a type about a cluster that somebody had happen, from the given place in the log.
func (w *world) told(t *testing.T, from int, event, cluster string) rollout.Event {
	t.Helper()
	for _, e := range w.log[from:] {
		if e.Type == event && e.Cluster == cluster && e.Actor != "" {
			return e
		}
	}
	t.Fatalf("nobody had %s happen: %+v", event, w.log[from:])
	return rollout.Event{}
}

func TestWhyARolloutWasStartedIsToldWithItsBeginning(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(3, policy)
	one := w.push("one", nil)
	w.say(t, rollout.Start{Actor: "user:a", Reason: "ticket 12"})
	want := rollout.Event{Rollout: w.state.Active.ID, Type: "Started", Actor: "user:a", Message: one.String() + ": 3 clusters in 2 waves; reason: ticket 12"}
	if got := w.told(t, 0, "Started", ""); got != want {
		t.Errorf("told %+v, not %+v", got, want)
	}
}

func TestWhyARolloutGoesBackIsToldWithItsBeginning(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.brought(t, "two")
	before := len(w.log)
	w.say(t, rollout.Rollback{Actor: "user:a", Reason: "incident 4711"})
	want := rollout.Event{Rollout: w.state.Active.ID, Type: "Started", Actor: "user:a", Message: one.String() + ": 3 clusters in 1 wave; reason: incident 4711"}
	if got := w.told(t, before, "Started", ""); got != want {
		t.Errorf("told %+v, not %+v", got, want)
	}
}

func TestABeginningWithoutAReasonNamesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(3, canaryThenRest())
	one := w.push("one", nil)
	w.run(1, func() bool { return false })
	if got, want := w.told(t, 0, "Started", ""), one.String()+": 3 clusters in 2 waves"; got.Message != want {
		t.Errorf("told %q, not %q", got.Message, want)
	}
}

func TestWhyClustersAreTriedAgainIsToldOfEachAndIsNotWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	two := w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	w.truth[two] = nil
	before := len(w.log)
	w.say(t, rollout.RetryCluster{Actor: "user:a", Reason: "the disk is mended", AllFailed: true})
	want := rollout.Event{Rollout: w.state.Active.ID, Type: "ClusterPending", Cluster: "c0", Actor: "user:a", Message: "the disk is mended"}
	if got := w.told(t, before, "ClusterPending", "c0"); got != want {
		t.Errorf("told %+v, not %+v", got, want)
	}
	if m := w.member("c0"); m.Message == want.Message {
		t.Errorf("the cluster waits for %q", m.Message)
	}
}

func TestWhoHasAClusterCatchUpOnceMoreIsToldAndWhy(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.cluster("c2").Connected = false
	two := w.push("two", map[string]outcome{"c2": refused})
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	w.until(t, "it has not caught up", func() bool { return w.state.Track.CatchingUp["id-c2"].Failed })
	w.truth[two] = nil
	before := len(w.log)
	w.say(t, rollout.RetryCluster{Actor: "user:a", Reason: "the disk is mended", Clusters: []string{"c2"}})
	want := rollout.Event{Rollout: w.over(two).ID, Type: "CatchUp", Cluster: "c2", Actor: "user:a", Message: "it is to be tried again; reason: the disk is mended"}
	if got := w.told(t, before, "CatchUp", "c2"); got != want {
		t.Errorf("told %+v, not %+v", got, want)
	}
	w.until(t, "c2 has caught up", func() bool { return w.all(two) })
}

func TestARolloutKeepsWhyAPersonBeganItToItsEnd(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	w := newWorld(3, policy)
	for _, test := range []struct {
		push         string
		command      rollout.Command
		actor, cause string
	}{
		{"one", rollout.Start{Actor: "user:a", Reason: "ticket 12"}, "user:a", "ticket 12"}, // it is queued before
		{"two", rollout.Start{Actor: "user:a"}, "user:a", ""},
		{"", rollout.Rollback{Actor: "user:b", Reason: "incident 4711"}, "user:b", "incident 4711"},
	} {
		if test.push != "" {
			w.push(test.push, nil)
		}
		w.say(t, test.command)
		id := w.state.Active.ID
		w.until(t, "it is over", func() bool { return w.idle() && w.ended[id] != nil })
		if ro := w.ended[id]; ro.Phase != rollout.Succeeded || ro.Actor != test.actor || ro.ChangeCause != test.cause {
			t.Errorf("%s, begun by %q because of %q, not by %q because of %q", ro.Phase, ro.Actor, ro.ChangeCause, test.actor, test.cause)
		}
	}
}

func TestWhyARolloutWasTakenBackIsKeptAlthoughAClusterIsNotBack(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	two := w.push("two", nil)
	w.until(t, "c1 is updated", func() bool { return w.state.Active != nil && w.member("c1").Moved })
	w.spokes["id-c1"].held = true
	w.say(t, rollout.Rollback{Actor: "user:a", Reason: "incident 4711"})
	w.until(t, "it is over", func() bool { return w.over(two) != nil })
	if ro := w.over(two); ro.Phase != rollout.RollbackFailed || !strings.HasPrefix(ro.Message, "1 cluster is not back: c1: ") || !strings.HasSuffix(ro.Message, "; incident 4711") {
		t.Errorf("%s: %s", ro.Phase, ro.Message)
	}
}
