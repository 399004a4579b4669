package spoke

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/worker"
)

// engines are those of the App kinds, as the workers know them.
type engines map[string]interface {
	worker.Engine
	holder
}

func newEngines(kustomize *deploy.Engine, release *helm.Engine) engines {
	return engines{flux.KustomizationKind: kustomizations{kustomize}, flux.HelmReleaseKind: releases{release}}
}

// of is the engine of an App.
func (e engines) of(app fleet.Key) (worker.Engine, error) {
	engine, has := e[app.Kind]
	if !has {
		return nil, fmt.Errorf("%w: this version of the spoke does not know what a %s is", fleet.ErrInvalid, app.Kind)
	}
	return engine, nil
}

func (e engines) Ready(ctx context.Context, app fleet.Key) error {
	engine, err := e.of(app)
	if err != nil {
		return err
	}
	return engine.Ready(ctx, app)
}

func (e engines) Deploy(ctx context.Context, t worker.Target) error {
	engine, err := e.of(t.App)
	if err != nil {
		return err
	}
	return engine.Deploy(ctx, t)
}

func (e engines) Remove(ctx context.Context, r worker.Removal) (bool, error) {
	engine, err := e.of(r.App)
	if err != nil {
		return false, err
	}
	return engine.Remove(ctx, r)
}

func (e engines) Load(ctx context.Context, app fleet.Key, m *manifest.Manifest, release fleet.Release, binding fleet.Binding) error {
	engine, err := e.of(app)
	if err != nil {
		return err
	}
	return engine.Load(ctx, app, m, release, binding)
}

func (e engines) SetSuspended(app fleet.Key, suspended bool) {
	if engine, err := e.of(app); err == nil {
		engine.SetSuspended(app, suspended)
	}
}

func (e engines) Status(app fleet.Key) worker.Status {
	engine, err := e.of(app)
	if err != nil {
		return worker.Status{}
	}
	return engine.Status(app)
}

func (e engines) AppliedBlobs(app fleet.Key) []fleet.Digest {
	engine, err := e.of(app)
	if err != nil {
		return nil
	}
	return engine.AppliedBlobs(app)
}

// Apps are those of all kinds.
func (e engines) Apps(ctx context.Context) ([]fleet.Key, error) {
	var all []fleet.Key
	for _, engine := range e {
		apps, err := engine.Apps(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, apps...)
	}
	slices.SortFunc(all, fleet.Key.Compare)
	return all, nil
}

// kustomizations is the engine of Kustomizations.
type kustomizations struct{ *deploy.Engine }

func (a kustomizations) Ready(ctx context.Context, _ fleet.Key) error {
	if err := a.Engine.Ready(ctx); err != nil {
		return &worker.Failure{Err: err, Transient: true}
	}
	return nil
}

func (a kustomizations) Deploy(ctx context.Context, t worker.Target) error {
	return explain(a.Engine.Deploy(ctx, deploy.Target{
		App: t.App, Release: t.Release, Manifest: t.Manifest, Binding: t.Binding, ApprovedPrune: t.ApprovedPrune, Verify: t.Verify,
	}))
}

func (a kustomizations) Remove(ctx context.Context, r worker.Removal) (bool, error) {
	done, err := a.Engine.Remove(ctx, deploy.Removal{
		App: r.App, Tombstone: r.Tombstone, Release: r.Release, ApprovedPrune: r.ApprovedPrune, Timeout: r.Timeout,
	})
	return done, explain(err)
}

func (a kustomizations) Status(app fleet.Key) worker.Status {
	s := a.Engine.Status(app)
	return worker.Status{
		Objects: s.Objects, ObjectsNotReady: s.ObjectsNotReady, NotReady: s.NotReady, Healthy: s.Healthy, Failed: s.Failed,
		Checks: s.Checks, HeldPrune: s.HeldPrune, Applied: s.Applied, Bound: s.Bound, Wakes: s.Wakes, DriftCorrections: s.DriftCorrections, ManagedByFlux: s.ManagedByFlux,
	}
}

// explain says of an engine's error what it is in Flux's vocabulary, and whether it may pass by itself.
func explain(err error) error {
	if err == nil {
		return nil
	}
	failure := &worker.Failure{Err: err, Transient: isTransient(err)}
	switch {
	case errors.Is(err, deploy.ErrManagedByFlux):
		failure.Reason, failure.Transient = fleet.ReasonManagedByFlux, false
	case errors.Is(err, deploy.ErrExpression):
		failure.Reason = fleet.ReasonInvalidExpression
	case errors.Is(err, deploy.ErrResolve):
		failure.Reason = fleet.ReasonBuildFailed // in Flux it is a part of the build
	case errors.Is(err, deploy.ErrPrune):
		failure.Reason = fleet.ReasonPruneFailed
	}
	return failure
}

// releases is the engine of HelmReleases.
type releases struct{ *helm.Engine }

func (r releases) Ready(ctx context.Context, _ fleet.Key) error {
	if err := r.Engine.Ready(ctx); err != nil {
		return &worker.Failure{Err: err, Transient: true}
	}
	return nil
}

func (r releases) Deploy(ctx context.Context, t worker.Target) error {
	return explainHelm(r.Engine.Deploy(ctx, helm.Target{
		App: t.App, Release: t.Release, Manifest: t.Manifest, Binding: t.Binding, Controls: t.Controls, Verify: t.Verify,
		Within: t.Within, Waits: t.Waits,
	}))
}

func (r releases) Remove(ctx context.Context, removal worker.Removal) (bool, error) {
	done, err := r.Engine.Remove(ctx, helm.Removal{
		App: removal.App, Tombstone: removal.Tombstone, Controls: removal.Controls, Waits: removal.Waits,
	})
	return done, explainHelm(err)
}

func (r releases) Status(app fleet.Key) worker.Status {
	s := r.Engine.Status(app)
	return worker.Status{
		Objects: s.Objects, ObjectsNotReady: s.ObjectsNotReady, NotReady: s.NotReady, Healthy: s.Healthy, Failed: s.Failed,
		Applied: s.Applied, Bound: s.Bound, Wakes: s.Wakes, DriftCorrections: s.DriftCorrections, ManagedByFlux: s.ManagedByFlux,
		Ready: s.Ready, Detail: s.Detail,
	}
}

// AppliedBlobs are none: what drift is put right from is in Helm's storage.
func (r releases) AppliedBlobs(fleet.Key) []fleet.Digest { return nil }

// explainHelm says of that engine's error what the worker is to know.
func explainHelm(err error) error {
	if err == nil {
		return nil
	}
	if told := (*helm.Failure)(nil); errors.As(err, &told) {
		return &worker.Failure{Err: told.Err, Reason: told.Reason, Transient: told.Transient, Terminal: told.Terminal, RetryAfter: told.RetryAfter}
	}
	return &worker.Failure{Err: err, Transient: isTransient(err)}
}
