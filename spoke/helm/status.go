package helm

import (
	"encoding/json"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Status is what is known of an App in the cluster, now.
type Status struct {
	// Objects of the release, how many are not ready, and a few of those.
	Objects         int
	ObjectsNotReady int
	NotReady        []fleet.ObjectStatus
	Healthy         fleet.Condition
	// Failed says that waiting for health does not help.
	Failed bool
	// Applied is the release that the cluster runs (zero: none is known), Bound the binding.
	Applied, Bound fleet.Digest
	// Wakes counts the changes of what the App depends on that call for a pass.
	Wakes            uint64
	DriftCorrections uint64
	// ManagedByFlux says that a Flux in the cluster manages the App, unsuspended: Deploy refuses it.
	ManagedByFlux bool
	// Ready is the condition in Flux's words when all is well, or what is being done (Unknown); zero: neither.
	Ready fleet.Condition
	// Detail is a fleet.HelmStatus as JSON.
	Detail json.RawMessage
}

// Status returns what is known of an App.
func (e *Engine) Status(key fleet.Key) Status {
	unknown := fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "nothing is released yet"}
	a := e.known(key)
	if a == nil {
		return Status{Healthy: unknown}
	}
	s := a.status(e.tracker.Left)
	s.Healthy = unknown
	s.ManagedByFlux, _ = e.flux.Manages(key)
	e.heal(a, &s)
	return s
}

// status is what the record says, and what is under way.
func (a *app) status(left func(fleet.ObjectRef) bool) Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.stored.record
	s := Status{Applied: r.Applied, Bound: r.Bound, Wakes: a.wakes}
	var spec flux.HelmReleaseSpec
	if a.plan != nil {
		spec = a.plan.Spec
	}
	switch is := ready(r.Status, spec); {
	case a.doing != "":
		s.Ready = fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: a.doing}
	case is.Status == fleet.True:
		s.Ready = is
	}
	if drifts := a.driftCondition(left); a.detail == nil || a.drifts != drifts {
		status := r.Status
		status.Drifted = drifts
		a.drifts = drifts
		a.detail, _ = json.Marshal(status) // strings and times always encode
	}
	s.Detail = a.detail
	return s
}
