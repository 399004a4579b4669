package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Target is what an App should be.
type Target struct {
	App      fleet.Key
	Release  fleet.Release
	Manifest *manifest.Manifest
	// Binding is what this cluster adds to the Release.
	Binding fleet.Binding
	// ApprovedPrune is the digest of the set of deletions that a person approved.
	ApprovedPrune fleet.Digest
	// Verify asks for a full pass: every object is verified, not only what changed.
	Verify bool
}

// ErrPrune says that everything is applied, but not all that should be deleted could be.
var ErrPrune = errors.New("not all could be deleted")

// Deploy makes the cluster have what t says: one pass, which does not wait for health. It can be called again at any
// time, after any failure. An error names the objects; it wraps fleet.ErrInvalid where the API server refuses what an
// object says, fleet.ErrNotFound where it has no such kind or namespace, ErrManagedByFlux, ErrExpression, or ErrPrune.
// That a prune is held is no error: Status says so. ErrResolve is why nothing was even tried.
func (e *Engine) Deploy(ctx context.Context, t Target) error {
	if err := e.deploy(ctx, t); err != nil {
		return fmt.Errorf("deploy %s: %w", t.App.Words(), err)
	}
	return nil
}

func (e *Engine) deploy(ctx context.Context, t Target) error {
	if t.Manifest == nil || t.App.Kind != "Kustomization" {
		return fmt.Errorf("%w: only a Kustomization with a manifest can be deployed", fleet.ErrInvalid)
	}
	a, unlock, err := e.enter(ctx, t.App)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.refuseFlux(ctx, t.App); err != nil {
		return err
	}
	other, err := e.agree(a, t.Release)
	if err != nil {
		return err
	}
	t.Verify = t.Verify || other
	if err := e.takeIn(ctx, a); err != nil {
		return err
	}
	if err := e.judge(a, t.Release); err != nil {
		return err
	}
	a.ending = time.Time{}
	a.mu.Lock()
	a.manifest = t.Manifest
	a.mu.Unlock()
	p := &pass{
		engine: e, app: a, target: t, terms: e.agreed(a),
		desired: map[fleet.ObjectRef]fleet.ObjectRef{}, defined: map[kindName]bool{}, missing: map[fleet.ObjectRef]error{},
	}
	err = e.blame(ctx, a, p.run(ctx))
	p.conclude(ctx, err)
	return errors.Join(err, p.saveErr)
}

// pass is one run of Deploy.
type pass struct {
	engine *Engine
	app    *app
	target Target
	terms  terms
	// desired has the objects of all stages so far, as the Manifest names them, by reference without version.
	desired map[fleet.ObjectRef]fleet.ObjectRef
	// defined are the kinds whose definitions this pass has applied: they may take a moment to be served.
	defined map[kindName]bool
	// missing says of kinds why they were not found, by a reference with nothing but the kind.
	missing map[fleet.ObjectRef]error
	tally   tally
	saveErr error
}

type kindName struct{ group, kind string }

func (p *pass) run(ctx context.Context) error {
	materials, err := p.engine.resolve(ctx, p.app, p.target)
	if err != nil {
		return err
	}
	p.app.mu.Lock()
	p.app.unknown = nil
	p.app.mu.Unlock()
	for _, entries := range byStage(materials) {
		if err := p.stage(ctx, entries); err != nil {
			return err
		}
	}
	return p.prune(ctx)
}

// conclude saves what is known and tells what was done, however the pass ended.
func (p *pass) conclude(ctx context.Context, err error) {
	e, a := p.engine, p.app
	e.lookOut(a, p.target.Release)
	a.mu.Lock()
	if err == nil || errors.Is(err, ErrPrune) {
		a.applied, a.bound = p.target.Release.Digest(), p.target.Binding.Digest()
	}
	a.mu.Unlock()
	p.saveErr = e.save(ctx, a)
	e.metrics.tally(&p.tally)
	if text := p.tally.String(); text != "" {
		e.event(a, fleet.ObjectRef{}, false, reasonApplied, text)
		e.log.Info("applied", "app", a.key.String(), "release", p.target.Release.Digest().String(), "result", text)
	} else {
		e.log.Debug("nothing to apply", "app", a.key.String())
	}
	e.kick(a)
}

// kick has drift corrections made that waited for the pass.
func (e *Engine) kick(a *app) {
	entries := a.inventory().Entries()
	refs := make([]fleet.ObjectRef, len(entries))
	for i, entry := range entries {
		refs[i] = entry.Ref
	}
	e.tracker.Kick(refs...)
}

// kickAll is kick of all Apps.
func (e *Engine) kickAll() {
	for _, a := range e.all() {
		e.kick(a)
	}
}

// all are the Apps that are known.
func (e *Engine) all() []*app {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.apps))
}

// byStage splits an App's objects, which are in apply order, into its stages.
func byStage(entries []material) (stages [][]material) {
	for len(entries) > 0 {
		n := slices.IndexFunc(entries, func(entry material) bool { return entry.Stage != entries[0].Stage })
		if n < 0 {
			n = len(entries)
		}
		stages = append(stages, entries[:n])
		entries = entries[n:]
	}
	return stages
}

func isConflict(err error) bool { return errors.Is(err, fleet.ErrConflict) }
