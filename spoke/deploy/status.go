package deploy

import (
	"maps"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// Status is what is known of an App in the cluster, now.
type Status struct {
	// Objects the App has, how many are not ready, and at most fleet.MaxNotReady of those, the worst first.
	Objects         int
	ObjectsNotReady int
	NotReady        []fleet.ObjectStatus
	// Healthy is True when every applied object is, and every one that spec.healthChecks names; False when one has
	// failed, else Unknown.
	Healthy fleet.Condition
	// Failed says that an object is called failed, by kstatus or by the App's expressions: waiting does not help.
	Failed bool
	// Checks is Healthy of the objects alone that spec.healthChecks names; zero: Ready does not wait for them.
	Checks fleet.Condition
	// HeldPrune is set while deletions wait for an approval.
	HeldPrune *fleet.HeldPrune
	// Applied is the release whose objects are all applied (zero: none is known), Bound the binding.
	Applied, Bound fleet.Digest
	// Wakes counts the changes of what the App refers to that call for a pass.
	Wakes uint64
	// Conflicts are objects that others keep changing, or that cannot be put right. They are among NotReady too.
	Conflicts []fleet.ObjectStatus
	// DriftCorrections counts writes that undid what others did, since the start.
	DriftCorrections uint64
	// ManagedByFlux says that a Flux in the cluster manages the App, unsuspended: Deploy refuses it.
	ManagedByFlux bool
}

// Status returns what is known of an App.
func (e *Engine) Status(key fleet.Key) Status {
	a := e.known(key)
	if a == nil {
		return Status{Healthy: fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "nothing is applied yet"}}
	}
	a.mu.Lock()
	s := Status{Applied: a.applied, Bound: a.bound, Wakes: a.wakes, DriftCorrections: a.corrections}
	s.ManagedByFlux, _ = e.flux.Manages(key)
	if a.held != nil {
		held := a.held.HeldPrune
		s.HeldPrune = &held
	}
	taken := a.manifest != nil
	if taken {
		s.Objects = a.objects
	}
	lost := maps.Clone(a.lost)
	own, checks, unknown := a.inv, a.checks, a.unknown
	a.mu.Unlock()

	conflicts := e.tracker.Conflicts(own)
	for ref := range lost {
		conflicts[ref] = "another App has it too"
	}
	for ref, conflict := range conflicts {
		if a.counts(e, ref) {
			s.Conflicts = append(s.Conflicts, fleet.ObjectStatus{Object: ref, Status: health.Conflict, Message: conflict})
		}
	}
	var sick []fleet.ObjectStatus
	for _, status := range e.health.NotReady(own) {
		if _, fought := conflicts[status.Object]; !fought && a.counts(e, status.Object) {
			sick = append(sick, status)
			s.Failed = s.Failed || status.Status == health.Failed
		}
	}
	for _, status := range e.lookout.NotReady(key) {
		sick = append(sick, status)
		s.Failed = s.Failed || status.Status == health.Failed
	}
	slices.SortFunc(s.Conflicts, func(a, b fleet.ObjectStatus) int { return a.Object.Compare(b.Object) })
	sick = slices.Concat(s.Conflicts, sick)
	health.Sort(sick)
	s.ObjectsNotReady = len(sick)
	s.NotReady = sick[:min(len(sick), fleet.MaxNotReady)]
	s.Healthy = health.Sum(sick, s.Objects, taken)
	if unknown != nil && s.Healthy.Status == fleet.True {
		s.Healthy = fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "not all objects are known: " + unknown.Error()}
	}
	if len(checks) > 0 {
		s.Checks = health.Sum(a.checked(e, checks, sick), len(checks), taken)
	}
	return s
}

// checked are those of the objects that are not ready which spec.healthChecks names.
func (a *app) checked(e *Engine, checks []fleet.ObjectRef, sick []fleet.ObjectStatus) (found []fleet.ObjectStatus) {
	named := make(map[fleet.ObjectRef]bool, len(checks))
	for _, ref := range checks {
		named[ref] = true // as who looks out for it tells
		if own, is := a.own(e, ref); is {
			named[own] = true
		}
	}
	for _, status := range sick {
		if named[status.Object] {
			found = append(found, status)
		}
	}
	return found
}

// counts reports whether the state of an object is the App's concern. As in Flux, that of what is not to be touched is
// not.
func (a *app) counts(e *Engine, id fleet.ObjectRef) bool {
	if e.tracker.Left(id) {
		return false
	}
	owner := e.owner(id)
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, has := a.inv.Get(id)
	return has && entry.UID != "" && !a.stale[id] && (owner == a || a.lost[id])
}

// Held returns the deletions that are held.
func (e *Engine) Held(key fleet.Key) []fleet.ObjectRef {
	a := e.known(key)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		return nil
	}
	return slices.Clone(a.held.refs)
}

// SetSuspended stops or resumes the correction of an App's drift. What drifted meanwhile is put right on resuming.
func (e *Engine) SetSuspended(key fleet.Key, suspended bool) {
	a := e.app(key)
	a.mu.Lock()
	before := a.suspended
	a.suspended = suspended
	a.mu.Unlock()
	if before && !suspended {
		e.kick(a)
	}
}
