package rollout

import (
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

// closed says why no cluster may be updated now; empty: it may.
func (t *turn) closed() (Reason, string) {
	switch {
	case t.Freeze != "" && t.ro.Kind == Forward: // what goes back is no change that a freeze is against
		return ReasonFrozen, isFrozen + t.Freeze
	case t.App.Controls.Suspend:
		return ReasonSuspended, "the App is suspended"
	}
	return t.outside(t.ro.Policy.Windows)
}

// outside says that no window is open, and when one is; empty: one is. The App is looked at again when that changes.
func (t *turn) outside(policy []fleet.Window) (Reason, string) {
	windows, err := schedule.Parse(policy)
	if err != nil {
		return ReasonNoWindowOpens, "the windows cannot be read: " + err.Error()
	}
	open, changes := windows.Open(t.Now)
	if !changes.IsZero() {
		t.due(changes)
	}
	switch {
	case open:
		return "", ""
	case changes.IsZero():
		return ReasonNoWindowOpens, noWindow + ", and none will be"
	}
	return ReasonWindowClosed, noWindow + "; the next one opens at " + clockOf(changes)
}

// What begins the reasons why nothing goes to a cluster now; Waits says the same as what is waited for.
const (
	isFrozen       = "the fleet is frozen: "
	noWindow       = "no window is open"
	isAway         = "is not connected"
	isHeld         = "is held: "
	wasUnavailable = "was not available before"
	isUnavailable  = "is not available"
	lacksFirst     = "waits for "
)

// ineligible says why a member is not to be updated now; empty: it is. One that defers for a reason is not waited for.
func (t *turn) ineligible(m *Member) (why string, defers Failure) {
	cluster := t.at(m).Cluster
	switch {
	case !cluster.Connected:
		return isAway, DeferredOffline
	case cluster.Held != "":
		return isHeld + cluster.Held, DeferredHeld
	case m.Moved, t.serves(m), t.spoilt(m):
	case t.ro.Policy.Cluster.PreexistingUnhealthy == fleet.UnhealthyDefer:
		return wasUnavailable, DeferredUnhealthy
	case t.ro.Policy.Cluster.PreexistingUnhealthy == fleet.UnhealthyBlock:
		return isUnavailable + ": spec.cluster.preexistingUnhealthy is Block", ""
	}
	if t.newest == t.ro.Target {
		if lacks := t.State.lacks(cluster); lacks != "" {
			return lacksFirst + lacks, ""
		}
	}
	return "", ""
}

// serves reports whether the cluster serves with what it has, or has not got the App yet.
func (t *turn) serves(m *Member) bool {
	s := t.at(m)
	return !s.has || s.serves
}

// spoilt reports whether the cluster has a Release that is known to be bad: that it does not serve is no reason to leave it
// as it is.
func (t *turn) spoilt(m *Member) bool {
	s := t.at(m)
	return s.has && t.track.Outcome(s.row.Release) == Bad
}
