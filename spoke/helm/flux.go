package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/spoke/takeover"
)

// ErrManagedByFlux says that a Flux in the cluster manages the App, unsuspended.
var ErrManagedByFlux = fmt.Errorf("%w: a Flux HelmRelease of this name in the cluster is not suspended", fleet.ErrConflict)

const (
	fluxGroup      = "helm.toolkit.fluxcd.io"
	fluxDefinition = "helmreleases." + fluxGroup
)

// newFluxWatch knows which HelmReleases a Flux in the cluster manages.
func newFluxWatch(e *Engine) *takeover.Watch {
	return takeover.New(takeover.Config{
		Kind:   fleet.ObjectRef{Group: fluxGroup, Version: "v2", Kind: "HelmRelease"},
		Client: e.dynamic, Mapper: e.mapper, Origin: originOf, Log: e.log,
		Synced:  e.kickAll,
		Changed: func(namespace, name string) { e.fluxed(namespace, name, e.fluxChanged) },
		Noted:   func(namespace, name string) { e.fluxed(namespace, name, e.wake) },
		Held:    hold.Of, HoldChanged: e.config.HoldChanged,
	})
}

// fluxChanged has an App looked at: to be refused, or to go on.
func (e *Engine) fluxChanged(key fleet.Key) {
	if a := e.known(key); a != nil {
		e.kick(a)
	}
	e.config.Changed(key)
}

// kickAll has drift corrections made that waited until it was known what Flux manages.
func (e *Engine) kickAll() {
	e.mu.Lock()
	apps := slices.Collect(maps.Values(e.apps))
	e.mu.Unlock()
	for _, a := range apps {
		e.kick(a)
	}
}

// fluxed tells of the Apps of that name.
func (e *Engine) fluxed(namespace, name string, tell func(fleet.Key)) {
	e.mu.Lock()
	var concerned []fleet.Key
	for key := range e.apps {
		if key.Namespace == namespace && key.Name == name {
			concerned = append(concerned, key)
		}
	}
	e.mu.Unlock()
	for _, key := range concerned {
		tell(key)
	}
}

// watchDefinitions finds out, from the first App on, whether the cluster has Flux's HelmReleases, and which kinds have another
// schema.
func (e *Engine) watchDefinitions(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-e.concerned:
	}
	definitions := &drift.Definitions{
		Resource: e.meta.Resource(apply.CRDs), Tracker: e.tracker, Forget: e.mapper.Forget, Flux: fluxDefinition,
		Present: e.flux.Present, Absent: e.flux.Absent, Failed: e.flux.Failed, Log: e.log,
	}
	return definitions.Run(ctx)
}

// AwaitHolds waits until it is known which HelmReleases of Flux's in this cluster are on hold.
func (e *Engine) AwaitHolds(ctx context.Context) error {
	e.concern.Do(func() { close(e.concerned) })
	return e.flux.Await(ctx)
}

// OnHold says why nothing new is to be applied of the App; empty: its Flux object, if there is one, is not on hold.
func (e *Engine) OnHold(key fleet.Key) string {
	if why := e.flux.HeldBy(key); why != "" {
		return hold.Say(key.Words(), why)
	}
	return ""
}

// refuseFlux refuses an App that a Flux manages. Two who release the same would undo each other's work.
func (e *Engine) refuseFlux(ctx context.Context, key fleet.Key) error {
	if err := e.flux.Await(ctx); err != nil {
		return &Failure{Err: err, Transient: true}
	}
	if managed, _ := e.flux.Manages(key); managed {
		return managedByFlux(key)
	}
	return nil
}

// managedByFlux is ErrManagedByFlux with the way out.
func managedByFlux(key fleet.Key) error {
	return &Failure{Reason: fleet.ReasonManagedByFlux, Err: fmt.Errorf(
		"%w; to let Flotilla take over: flux suspend helmrelease %s -n %s", ErrManagedByFlux, key.Name, key.Namespace)}
}

// takeIn makes the App's what a suspended Flux object of its name says of its release, so that the pass finds it for what it
// is: nothing is to be done for it. From then on the Flux object can be deleted while it is suspended. Each state of it is
// taken in once, unless what is recorded here is newer.
//
// Who may write that object must not thereby say what is uninstalled, and as whom: it is taken in only of the release that the
// plan names, whose account acts for the App.
func (e *Engine) takeIn(ctx context.Context, a *app, plan *flux.HelmPlan) error {
	r := a.record()
	if r.Intent != nil {
		return nil // what came of that is to be found out first
	}
	if origin := e.flux.OriginOf(a.key); origin == "" || origin == r.Origin {
		return nil
	}
	object, active, err := e.flux.Read(ctx, a.key)
	switch {
	case err != nil:
		return &Failure{Err: err, Transient: true}
	case object == nil:
		return nil
	case active:
		return managedByFlux(a.key)
	}
	status, err := fluxStatus(object)
	if err != nil {
		return &Failure{Err: fmt.Errorf("take over from Flux: HelmRelease/%s/%s: status: %w: %w; delete the suspended HelmRelease to go on without: "+
			"the release is then taken up by an upgrade", a.key.Namespace, a.key.Name, fleet.ErrInvalid, err)}
	}
	origin := originOf(object)
	if len(status.History) == 0 || newest(r.Status.History) > newest(status.History) {
		a.update(func(r *record) { r.Origin = origin })
		return e.save(ctx, a)
	}
	latest, want := status.History[0], namesOf(a.key, plan.Spec)
	if is := (names{latest.Name, latest.Namespace, status.StorageNamespace}); is != want {
		return &Failure{Err: fmt.Errorf("take over from Flux: %w: the suspended HelmRelease/%s/%s has the release %s, and the App's is %s; "+
			"give the App the same spec.releaseName, targetNamespace and storageNamespace until it is taken over, or delete the suspended HelmRelease: its release stays then",
			fleet.ErrConflict, a.key.Namespace, a.key.Name, is, want)}
	}
	a.update(func(r *record) {
		*r = record{Status: status, Origin: origin, Target: &target{
			names: want, ServiceAccount: plan.Spec.ServiceAccountName,
		}}
	})
	if err := e.save(ctx, a); err != nil {
		return &Failure{Err: err, Transient: true}
	}
	e.event(a, fleet.Event{Reason: reasonTakenOver, Message: fmt.Sprintf(
		"release %s of the suspended Flux HelmRelease is taken over; once the App is ready, that can be deleted: Flux leaves the release of a suspended one",
		releaseOf(latest))})
	e.log.Info("taken over from Flux", "app", a.key.String(), "version", latest.Version)
	return nil
}

// fluxStatus reads the status of a HelmRelease of Flux's, whose fields have the names of ours.
func fluxStatus(object *unstructured.Unstructured) (s fleet.HelmStatus, err error) {
	encoded, err := json.Marshal(object.Object["status"])
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(encoded, &s); err != nil {
		return s, err
	}
	var more struct {
		Conditions []struct {
			Type string `json:"type"`
			fleet.Condition
		} `json:"conditions"`
	}
	if err := json.Unmarshal(encoded, &more); err != nil {
		return s, err
	}
	for _, c := range more.Conditions {
		c.Message = cut(c.Message)
		if c.Type != "Released" || c.Status != fleet.True { // a failure is told as Helm and the API server did, who may quote values of Secrets
			c.Message = "This is how Flux left the release; what it said of it is in the suspended HelmRelease"
		}
		switch c.Type {
		case "Released":
			s.Released = c.Condition
		case "TestSuccess":
			s.TestSuccess = c.Condition
		case "Remediated":
			s.Remediated = c.Condition
		}
	}
	if s.StorageNamespace == "" {
		s.StorageNamespace = object.GetNamespace()
	}
	return s, nil
}

// originOf names a state of what a Flux object says of its release; empty: it says nothing.
func originOf(object *unstructured.Unstructured) string {
	history, _, _ := unstructured.NestedSlice(object.Object, "status", "history")
	if len(history) == 0 {
		return ""
	}
	encoded, err := json.Marshal(history)
	if err != nil {
		return ""
	}
	return "flux/" + string(object.GetUID()) + "/" + fleet.DigestOf(encoded).String()
}
