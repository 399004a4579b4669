package helm

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/drift"
)

// look is what an object is looked at by.
type look struct {
	object object
	of     *objects
	terms  *terms
}

// begin returns what an object is looked at by, or what to do without: while an action is under way, or it is not certain that
// the version which is known is the one that the cluster has, nothing is done. What is begun is ended by end.
func (a *app) begin(ref fleet.ObjectRef) (*look, drift.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.objects.Has(ref) {
		return nil, drift.Ignored
	}
	if a.terms == nil {
		return nil, drift.Postponed
	}
	if a.terms.mode == flux.HelmDriftDisabled {
		return nil, drift.Corrected
	}
	current, has := a.stored.record.current()
	switch {
	case a.stored.record.Intent != nil, a.suspended, a.disturbed, !a.objects.settled, !has || current.Version != a.objects.of.Version:
		return nil, drift.Postponed
	}
	if a.correcting++; a.idle == nil {
		a.idle = make(chan struct{})
	}
	return &look{a.objects.all[ref.ID()], a.objects, a.terms}, 0
}

func (a *app) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.correcting--; a.correcting == 0 {
		close(a.idle)
		a.idle = nil
	}
}

// still waits until nothing of the App is corrected any more. With an intent noted, nothing new is begun.
func (a *app) still(ctx context.Context) error {
	for {
		a.mu.Lock()
		idle := a.idle
		a.mu.Unlock()
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
