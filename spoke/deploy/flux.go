package deploy

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/spoke/takeover"
)

// ErrManagedByFlux says that a Flux in the cluster manages the App, unsuspended.
var ErrManagedByFlux = fmt.Errorf("%w: a Flux Kustomization of this name in the cluster is not suspended", fleet.ErrConflict)

const (
	fluxGroup      = "kustomize.toolkit.fluxcd.io"
	fluxDefinition = "kustomizations." + fluxGroup
)

// newFluxWatch knows which Kustomizations a Flux in the cluster manages.
func newFluxWatch(e *Engine) *takeover.Watch {
	return takeover.New(takeover.Config{
		Kind:   fleet.ObjectRef{Group: fluxGroup, Version: "v1", Kind: "Kustomization"},
		Client: e.dynamic, Mapper: e.mapper, Origin: originOf, Log: e.log,
		Synced: e.kickAll, Changed: e.fluxChanged,
		Noted: func(string, string) { e.fluxNoted.Set() },
		Held:  hold.Of, HoldChanged: e.config.HoldChanged,
	})
}

// ManagedByFlux reports whether this cluster has a Flux Kustomization of the App's namespace and name that is not
// suspended. Two who apply the same objects would undo each other's work.
func (e *Engine) ManagedByFlux(ctx context.Context, key fleet.Key) (bool, error) {
	if err := e.flux.Await(ctx); err != nil {
		return false, err
	}
	managed, _ := e.flux.Manages(key)
	return managed, nil
}

// AwaitHolds waits until it is known which Kustomizations of Flux's in this cluster are on hold.
func (e *Engine) AwaitHolds(ctx context.Context) error { return e.flux.Await(ctx) }

// OnHold says why nothing new is to be applied of the App; empty: its Flux object, if there is one, is not on hold.
func (e *Engine) OnHold(key fleet.Key) string {
	if why := e.flux.HeldBy(key); why != "" {
		return hold.Say(key.Words(), why)
	}
	return ""
}

func (e *Engine) refuseFlux(ctx context.Context, key fleet.Key) error {
	managed, err := e.ManagedByFlux(ctx, key)
	if err == nil && managed {
		err = managedByFlux(key)
	}
	return err
}

// managedByFlux is ErrManagedByFlux with the way out.
func managedByFlux(key fleet.Key) error {
	return fmt.Errorf("%w; to let Flotilla take over: flux suspend kustomization %s -n %s", ErrManagedByFlux, key.Name, key.Namespace)
}

// fluxChanged has the Apps of that name looked at: to be refused, or to go on.
func (e *Engine) fluxChanged(namespace, name string) {
	e.mu.Lock()
	var concerned []*app
	for key, a := range e.apps {
		if key.Namespace == namespace && key.Name == name {
			concerned = append(concerned, a)
		}
	}
	e.mu.Unlock()
	for _, a := range concerned {
		e.kick(a)
		e.config.Changed(a.key)
	}
}
