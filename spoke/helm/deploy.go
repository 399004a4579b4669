package helm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
)

// Target is what an App should be.
type Target struct {
	App      fleet.Key
	Release  fleet.Release
	Manifest *manifest.Manifest
	// Binding is what this cluster adds to the Release.
	Binding  fleet.Binding
	Controls fleet.Controls
	// Verify asks for a full pass: what is watched is compared with what is there.
	Verify bool
	// Within is how long an action that has begun may go on: when the pass is overtaken it comes to its end. Nil: as long as the
	// pass.
	Within context.Context
	// Waits is called before the pass waits for others, and what it returns after. May be nil.
	Waits func() (over func())
}

// Deploy makes the cluster have the release that t says: one pass, which waits for what Helm waits for. It can be called
// again at any time, after any failure. An error is a Failure, or why the pass was cut short, which is none: the next goes
// on where it was.
func (e *Engine) Deploy(ctx context.Context, t Target) error {
	err := e.deploy(ctx, t)
	if told := (*Failure)(nil); err == nil || errors.As(err, &told) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("deploy %s: %w", t.App.Words(), err)
}

func (e *Engine) deploy(ctx context.Context, t Target) error {
	plan, archive, err := e.parts(t.Manifest)
	if err != nil {
		return err
	}
	a, unlock, err := e.enter(ctx, t.App)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.refuseFlux(ctx, t.App); err != nil {
		return err
	}
	if err := e.takeIn(ctx, a, &plan); err != nil {
		return err
	}
	if err := e.plan(a, &plan); err != nil {
		return &Failure{Err: err, Terminal: true}
	}
	if t.Verify {
		defer e.verify(a)
	}
	p := &pass{
		engine: e, app: a, target: t, plan: plan, archive: archive, names: namesOf(t.App, plan.Spec), basis: basisOf(t),
	}
	if p.unchanged(ctx) {
		return p.stay(ctx)
	}
	done, err := e.turn(ctx, t.App.Namespace, t.Waits)
	if err != nil {
		return err
	}
	defer done()
	err = p.run(ctx)
	p.conclude(err)
	return err
}

// turn waits until a pass of that namespace may have Helm.
func (e *Engine) turn(ctx context.Context, namespace string, waits func() func()) (done func(), err error) {
	defer aside(waits)()
	return e.turns.Take(ctx, namespace)
}

// aside says that a pass waits, until what it returns is called.
func aside(waits func() (over func())) (over func()) {
	if waits == nil {
		return func() {}
	}
	return waits()
}

// Load takes an App up after a restart: what was released of it is known from its record, and how from its Manifest.
func (e *Engine) Load(ctx context.Context, key fleet.Key, m *manifest.Manifest, _ fleet.Release, _ fleet.Binding) error {
	plan, _, err := e.parts(m)
	if err != nil {
		return fmt.Errorf("load %s: %w", key.Words(), err)
	}
	a, unlock, err := e.enter(ctx, key)
	if err != nil {
		return fmt.Errorf("load %s: %w", key.Words(), err)
	}
	defer unlock()
	if err := e.plan(a, &plan); err != nil {
		return fmt.Errorf("load %s: %w", key.Words(), err)
	}
	return nil
}

// plan notes what an App is to be, and has its objects treated accordingly.
func (e *Engine) plan(a *app, plan *flux.HelmPlan) error {
	a.mu.Lock()
	a.plan = plan
	known := a.objects != nil
	before := a.terms
	a.mu.Unlock()
	after, err := e.agree(a)
	if !known || before != after {
		e.refreshes.Add(a.key)
	}
	return err
}

// parts are those of a Manifest: the plan, and by digest the pieces of the chart's archive.
func (e *Engine) parts(m *manifest.Manifest) (flux.HelmPlan, []fleet.Digest, error) {
	return partsOf(m, e.config.Blob)
}

// basisOf names all that the hub said of an App that a pass may come out otherwise by. The version in it is that of the
// rules by which one does.
func basisOf(t Target) fleet.Digest {
	controls := t.Controls.Helm
	controls.ForceAt, controls.ResetAt = "", ""
	data, err := json.Marshal([]any{1, t.Manifest.Digest(), t.Binding.Digest(), controls, timeoutOf(t.Controls)})
	if err != nil {
		panic(fmt.Sprintf("encode what a pass is of: %v", err)) // digests and numbers always encode
	}
	return fleet.DigestOf(data)
}

// defaultTimeout bounds what Helm does where the hub did not say, as in Flux.
const defaultTimeout = 5 * time.Minute

func timeoutOf(c fleet.Controls) time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

// requested reports whether a request counts: where it equals that for a reconciliation, once.
func requested(at, reconcileAt, handled string) bool {
	return at != "" && at == reconcileAt && at != handled
}
