package rollout_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
)

func TestWhatIsWaitedForIsWhatHasToHappen(t *testing.T) {
	t.Parallel()
	pending := func(message string) rollout.Member {
		return rollout.Member{Phase: rollout.MemberPending, Message: message}
	}
	deferred := func(failure rollout.Failure, message string) rollout.Member {
		return rollout.Member{Phase: rollout.MemberDeferred, Failure: failure, Message: message}
	}
	for _, test := range []struct {
		reason  rollout.Reason
		message string
		member  rollout.Member
		want    string
	}{
		{rollout.ReasonFrozen, "the fleet is frozen: year's end", pending(""), "the fleet to be unfrozen: year's end"},
		{rollout.ReasonSuspended, "the App is suspended", pending(""), "the App to be resumed"},
		{rollout.ReasonWindowClosed, "no window is open; the next one opens at noon", pending(""), "a window to open: the next one opens at noon"},
		{rollout.ReasonNoWindowOpens, "no window is open, and none will be", pending(""), "a window to open: none will be"},
		{rollout.ReasonAvailabilityBudget, "1 cluster is not available, 1 may be: c0", pending(""), "clusters to be available: 1 cluster is not available, 1 may be: c0"},
		{"", "", pending("is not available: spec.cluster.preexistingUnhealthy is Block"), "it to be available: spec.cluster.preexistingUnhealthy is Block"},
		{"", "", pending("waits for ks/db to be there"), "ks/db to be there"},
		{"", "", pending("is held: network"), "its hold to end: network"},
		{"", "", deferred(rollout.DeferredHeld, "is held: network"), "its hold to end"},
		{"", "", deferred(rollout.DeferredOffline, "is not connected"), "it to be connected"},
		{"", "", deferred(rollout.DeferredUnhealthy, "was not available before"), "it to be available"},
	} {
		ro := rollout.Rollout{Phase: rollout.Running, Reason: test.reason, Message: test.message, Waves: []rollout.Wave{{Name: "all", Phase: rollout.WaveUpdating, MaxConcurrent: 1}}, MaxUnavailable: 1}
		if got := ro.Waits(test.member); got != test.want {
			t.Errorf("%s, %+v: %q, not %q", test.reason, test.member, got, test.want)
		}
	}
}
