package rollout_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestARetryForcesNothingAnew(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.Retries = 1
	w, _ := settled(t, 2, policy)
	id, forced := "id-c0", w.state.Now.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
	row := w.row(id)
	row.RequestedAt, row.Force, row.Reset = forced, true, true
	w.say(t, nil)
	if c := w.row(id).Assignment.Controls; c.Helm.ForceAt != forced || c.Helm.ResetAt != forced {
		t.Fatalf("controls %+v", c)
	}
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is tried again", func() bool { return w.row(id).Assignment.RequestedAt != forced })
	if c := w.row(id).Assignment.Controls; c.Helm.ForceAt != "" || c.Helm.ResetAt != "" {
		t.Errorf("what somebody forced once is forced again: %+v", c)
	}
}

func TestARequestThatIsOnItsWayIsNotTakenBackByARetry(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	id, forced := "id-c0", w.state.Now.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
	row := w.row(id)
	row.RequestedAt, row.Force = forced, true
	asked := *row
	w.say(t, rollout.RetryCluster{AllFailed: true})
	*w.row(id) = asked // somebody asks while it goes on
	w.say(t, rollout.Resume{})
	if row := w.row(id); row.RequestedAt != forced || row.Assignment.Controls.Helm.ForceAt != forced {
		t.Errorf("the request is lost: %+v, %+v", row, row.Assignment.Controls)
	}
}

func TestARetryInTheInstantOfTheRequestBeforeIsAnotherOne(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 2, canaryThenRest())
	w.push("two", map[string]outcome{"c0": refused})
	w.until(t, "it is halted", w.is(rollout.Halted, ""))
	id, asked := "id-c0", fleet.RequestAt("", w.state.Now)
	row := w.row(id)
	row.RequestedAt = asked
	w.say(t, nil)
	if got := w.row(id).Assignment.RequestedAt; got != asked {
		t.Fatalf("it is asked %q, not %q", got, asked)
	}
	w.say(t, rollout.RetryCluster{AllFailed: true})
	w.say(t, rollout.Resume{})
	if m, got := w.member("c0"), w.row(id).Assignment.RequestedAt; m.Phase != rollout.MemberDispatched || got == asked {
		t.Errorf("it is %s, and asked %q as before", m.Phase, got)
	}
}
