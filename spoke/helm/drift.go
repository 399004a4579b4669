package helm

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
)

// correct looks at an object that may not be as its release has it, and puts it right where that is asked for: by an apply of
// this object, not an upgrade. It is drift.Config.Correct.
func (e *Engine) correct(ctx context.Context, f drift.Finding) (drift.Correction, error) {
	a := e.owner(f.Ref)
	if a == nil {
		return drift.Correction{Outcome: drift.Ignored}, nil
	}
	if managed, known := e.flux.Manages(a.key); managed || !known {
		return drift.Correction{Outcome: drift.Postponed}, nil
	}
	if !a.turns.Take(f.Ref) {
		return drift.Correction{Outcome: drift.Postponed}, nil
	}
	defer a.turns.End(e.tracker)
	if f.Live == nil && f.Verdict != drift.Missing {
		if err := e.glance(ctx, &f); err != nil {
			return drift.Correction{}, err
		}
	}
	c, outcome := a.begin(f.Ref)
	switch {
	case c == nil && outcome == drift.Corrected: // nobody asks whether it has drifted: it counts as it is
		return asItIs(f.Live), nil
	case c == nil:
		return drift.Correction{Outcome: outcome}, nil
	}
	defer a.end()
	result, err := e.compare(ctx, a, c, f)
	if errors.Is(err, errChanged) {
		return drift.Correction{Outcome: drift.Postponed}, nil // the pass that is called for looks it up
	}
	return result, c.terms.by.Blame(ctx, e.client, err)
}

// glance reads the metadata of an object that nothing is known of, as for one that is watched since now.
func (e *Engine) glance(ctx context.Context, f *drift.Finding) error {
	known, by, has := e.object(f.Ref)
	if !has {
		return nil
	}
	mapping, err := e.mapper.Map(ctx, known.ref)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Ref, err)
	}
	f.Live, err = by.Corrector.Get(ctx, f.Ref, mapping)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		f.Live, f.Verdict = nil, drift.Missing
	case err != nil:
		return by.Blame(ctx, e.client, err)
	}
	e.health.Seen(f.Ref, f.Live, false)
	return nil
}

// asItIs takes an object for one that is as it should be; nil: it is not there.
func asItIs(live *metav1.PartialObjectMetadata) drift.Correction {
	if live == nil {
		return drift.Correction{Outcome: drift.Ignored}
	}
	return drift.Correction{Outcome: drift.Corrected, Meta: live}
}

// compare asks the API server what an apply would change of an object, and applies it if that is asked for.
func (e *Engine) compare(ctx context.Context, a *app, c *look, f drift.Finding) (drift.Correction, error) {
	data, err := e.open(ctx, a, c.of, c.terms.by, f.Ref)
	if err != nil {
		return drift.Correction{}, err
	}
	mapping, err := e.mapper.Map(ctx, c.object.ref)
	if err != nil {
		return drift.Correction{}, fmt.Errorf("%s: %w", f.Ref, err)
	}
	object, err := apply.Helm.Prepare(data, c.object.ref, mapping, apply.Owner{Name: a.key.Name, Namespace: a.key.Namespace})
	if err != nil {
		return drift.Correction{}, fmt.Errorf("%s: %w: its release has it in a form that cannot be applied", f.Ref, fleet.ErrInvalid)
	}
	if object.Mode.Untouched() {
		e.note(a, c, f.Ref, nil)
		return asItIs(f.Live), nil
	}
	object.Sealed = true // values of Secrets may be anywhere in it
	object = object.Leaving(c.terms.ignore)
	return e.settle(ctx, a, c, f, object, data)
}

// settle compares, then corrects or notes.
func (e *Engine) settle(ctx context.Context, a *app, c *look, f drift.Finding, object apply.Object, data []byte) (drift.Correction, error) {
	live, found, err := preview(ctx, c.terms.by.Corrector, object)
	if err != nil {
		return drift.Correction{}, err
	}
	if !e.plain(a.key, c.of.of.Version) {
		found.paths = sealed(f.Ref, found.paths)
	}
	was := metaOf(live)
	if live != nil {
		if who := foreign(live.GetLabels(), a.key); who != "" {
			e.lose(a, f.Ref, who, e.yield(a, f.Ref, live.GetLabels()))
			return asItIs(was), nil
		}
	}
	e.regain(a, f.Ref)
	switch {
	case live == nil && apply.TTL(f.Ref, data):
		e.health.Forget(f.Ref) // it has done its work and removed itself
		fallthrough
	case found.none():
		e.note(a, c, f.Ref, nil)
		return asItIs(was), nil
	case c.terms.mode == flux.HelmDriftWarn:
		e.note(a, c, f.Ref, &found)
		return asItIs(was), nil
	}
	meta, err := c.terms.by.Corrector.Apply(ctx, object, was)
	if err != nil {
		e.note(a, c, f.Ref, &found)
		err = c.terms.by.Blame(ctx, e.client, err)
		e.failed(a, c, f.Ref, err)
		return drift.Correction{}, err
	}
	e.note(a, c, f.Ref, nil)
	e.health.Applied(f.Ref, meta)
	e.corrected(a, c, f.Ref, found)
	return drift.Correction{Outcome: drift.Corrected, Meta: meta, Wrote: true}, nil
}

// previews bounds how often an object is compared again because somebody wrote it meanwhile.
const previews = 3

// preview says what an apply would change of an object. It writes nothing. Live is nil where there is no such object.
func preview(ctx context.Context, by *apply.Applier, object apply.Object) (live *unstructured.Unstructured, found difference, err error) {
	for range previews {
		var applied *unstructured.Unstructured
		if live, applied, err = by.Compare(ctx, object); err != nil {
			return nil, found, err
		}
		found = differenceOf(live, applied)
		if live == nil || live.GetResourceVersion() == applied.GetResourceVersion() || found.none() {
			break // else what somebody wrote meanwhile may be the difference
		}
	}
	return live, found, nil
}

// metaOf is the metadata of an object, as far as drift goes by it.
func metaOf(live *unstructured.Unstructured) *metav1.PartialObjectMetadata {
	if live == nil {
		return nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: live.GetName(), Namespace: live.GetNamespace(), UID: live.GetUID(), ResourceVersion: live.GetResourceVersion(),
		Generation: live.GetGeneration(), DeletionTimestamp: live.GetDeletionTimestamp(),
		Labels: live.GetLabels(), Annotations: live.GetAnnotations(), ManagedFields: live.GetManagedFields(),
	}}
}

// facts reads metadata in the terms of the drift rule. It is drift.Config.Facts. A release that was applied by the client has
// fields by Update; that nobody has any for it says nothing: what is compared are values.
func (e *Engine) facts(meta *metav1.PartialObjectMetadata) drift.Facts {
	entry := apply.Helm.Entry(meta.ManagedFields)
	for i := range meta.ManagedFields {
		if other := &meta.ManagedFields[i]; entry == nil && other.Manager == apply.Helm.Manager && other.Subresource == "" {
			entry = other
		}
	}
	f := drift.FactsOf(meta, entry)
	f.Ours = true
	f.Left = apply.Helm.ModeOf(meta.Labels, meta.Annotations).Untouched()
	return f
}

// watchable is drift.Config.Map.
func (e *Engine) watchable(ctx context.Context, ref fleet.ObjectRef) (drift.Kind, error) {
	mapping, err := e.mapper.Served(ctx, ref)
	return drift.Kind{Resource: mapping.Resource, Trusted: drift.Trusted(ref, mapping.Custom)}, err
}

// kick has what was postponed looked at.
func (e *Engine) kick(a *app) {
	a.mu.Lock()
	own := a.objects
	a.mu.Unlock()
	e.tracker.Kick(own.Refs()...)
}

// verify has every object of the App looked at, unless nobody asks whether they have drifted: as many at once as corrections
// may be, and without a process of Helm's.
func (e *Engine) verify(a *app) {
	a.mu.Lock()
	own, asked := a.objects, a.terms != nil && a.terms.mode != flux.HelmDriftDisabled
	a.mu.Unlock()
	if asked {
		e.tracker.Doubt(own.Refs()...)
	}
}

// disturbed notes that somebody else has written to what Helm has stored of an App's release: until a pass has looked at that,
// nothing is put back to what may not hold any more.
func (e *Engine) disturbed(key fleet.Key) {
	if a := e.known(key); a != nil {
		a.mu.Lock()
		a.following.disturbed = true
		a.mu.Unlock()
	}
	e.wake(key)
}

// object is what is known of an object of a release, and the account of its App.
func (e *Engine) object(ref fleet.ObjectRef) (found object, by *account.Account, has bool) {
	a := e.owner(ref)
	if a == nil {
		return object{}, nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.terms == nil || !a.objects.Has(ref) {
		return object{}, nil, false
	}
	return a.objects.all[ref.ID()], a.terms.by, true
}
