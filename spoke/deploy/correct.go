package deploy

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/inventory"
)

// correct puts an object back to what was last applied. It is drift.Config.Correct.
func (e *Engine) correct(ctx context.Context, f drift.Finding) (drift.Correction, error) {
	a := e.owner(f.Ref)
	if a == nil {
		return drift.Correction{Outcome: drift.Ignored}, nil
	}
	from, ref, outcome := e.lastApplied(a, f.Ref)
	if from.source.Digest.IsZero() {
		return drift.Correction{Outcome: outcome}, nil
	}
	if !a.turns.Take(f.Ref) {
		return drift.Correction{Outcome: drift.Postponed}, nil
	}
	defer a.turns.End(e.tracker)
	data, err := from.content(ctx, e.config.Blob)
	if err != nil {
		return drift.Correction{}, err
	}
	mapping, err := e.mapper.Map(ctx, ref)
	if err != nil {
		return drift.Correction{}, fmt.Errorf("%s: %w", f.Ref, err)
	}
	object, err := e.marks.Prepare(data, ref, mapping, a.owner())
	if err != nil {
		return drift.Correction{}, err
	}
	object.Sealed = from.secret
	terms := e.agreed(a)
	object, by := object.Leaving(terms.ignore), terms.by
	if skip, err := e.exempt(ctx, f, by, object, data); skip || err != nil {
		return drift.Correction{Outcome: drift.Ignored}, e.blame(ctx, a, err)
	}
	meta, before, err := e.settle(ctx, by.Corrector, object, f)
	if meta == nil && apply.Immutable(err) {
		var live *metav1.PartialObjectMetadata
		var leave bool
		switch live, leave, err = e.refused(ctx, a, by.Corrector, object, err); {
		case leave:
			return drift.Correction{Outcome: drift.Ignored}, nil
		case err == nil:
			if err = e.clear(ctx, a, by.Corrector, object, live, goneSoon); err == nil {
				meta, err = by.Corrector.Apply(ctx, object, nil)
				before = seen{live: f.Live}
			}
		}
	}
	if err != nil {
		return drift.Correction{}, e.blame(ctx, a, err)
	}
	// Saved with the next pass; until then the labels tell.
	a.inventory().Edit(ref, func(entry *inventory.Entry) { entry.UID = string(meta.UID) })
	wrote := f.Verdict == drift.Missing || e.wrote(f.Known, ref, meta, before)
	if wrote {
		e.health.Applied(ref, meta)
		e.corrected(a, f.Ref, f.Live)
	}
	return drift.Correction{Outcome: drift.Corrected, Meta: meta, Wrote: wrote}, nil
}

// lastApplied returns what the content is made of that an object should have, and its full reference, or what to do
// without.
func (e *Engine) lastApplied(a *app, id fleet.ObjectRef) (from origin, ref fleet.ObjectRef, otherwise drift.Outcome) {
	managed, known := e.flux.Manages(a.key)
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, has := a.inv.Get(id)
	switch {
	case !has:
		return from, ref, drift.Ignored
	case a.stale[id], entry.Going, a.manifest == nil, a.suspended, managed, !known, entry.Applied.IsZero():
		return from, ref, drift.Postponed
	}
	from = a.origins[id] // none of a Secret, or of what was resolved: it is applied with the next pass
	if !entry.Resolved && !isSecret(id) {
		from = origin{source: manifest.Entry{Ref: entry.Ref, Digest: entry.Applied}}
	}
	return from, entry.Ref, drift.Postponed
}

// exempt reports whether the object stays as it is all the same.
func (e *Engine) exempt(ctx context.Context, f drift.Finding, by *account.Account, object apply.Object, content []byte) (bool, error) {
	switch {
	case object.Mode.Untouched():
		return true, nil
	case f.Verdict != drift.Missing:
		left := object.Mode.SSA == manifest.SSAIfNotPresent
		if left {
			e.tracker.Leave(f.Ref) // even where the live object does not say so any more
		}
		return left, nil
	case apply.TTL(f.Ref, content):
		e.health.Forget(f.Ref) // it has done its work and removed itself
		return true, nil
	case f.Left:
		// It may have lost our label only, and still say that it is not to be touched.
		preview, err := by.Corrector.DryRun(ctx, object)
		return preview.Leave, err
	}
	return false, nil
}

// corrected counts and tells a write that undid what others did.
func (e *Engine) corrected(a *app, ref fleet.ObjectRef, live *metav1.PartialObjectMetadata) {
	a.mu.Lock()
	a.corrections++
	a.mu.Unlock()
	e.metrics.corrections.Inc()
	text := ref.String() + " was not as applied and is put back"
	if who := lastWriter(live, e.marks.Manager); who != "" {
		text += "; last written by " + who
	}
	e.event(a, ref, false, reasonDrift, text)
	e.log.Info("drift corrected", "app", a.key.String(), "object", ref.String())
	e.config.Changed(a.key)
}

// lastWriter is the manager other than ours with the newest entry.
func lastWriter(live *metav1.PartialObjectMetadata, ours string) string {
	if live == nil {
		return ""
	}
	var newest *metav1.ManagedFieldsEntry
	for i := range live.ManagedFields {
		entry := &live.ManagedFields[i]
		if entry.Manager == ours || entry.Subresource == "status" || entry.Time == nil {
			continue
		}
		if newest == nil || newest.Time.Before(entry.Time) {
			newest = entry
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Manager
}

// facts reads metadata in the terms of the drift rule. It is drift.Config.Facts.
func (e *Engine) facts(meta *metav1.PartialObjectMetadata) drift.Facts {
	f := drift.FactsOf(meta, e.marks.Entry(meta.ManagedFields))
	mode := manifest.ModeOf(meta.Labels, meta.Annotations)
	f.Left = mode.Untouched() || mode.SSA == manifest.SSAIfNotPresent
	f.Disowned = e.marks.Disowned(meta)
	return f
}

// watchable is drift.Config.Map.
func (e *Engine) watchable(ctx context.Context, ref fleet.ObjectRef) (drift.Kind, error) {
	mapping, err := e.mapper.Served(ctx, ref)
	return drift.Kind{Resource: mapping.Resource, Trusted: drift.Trusted(ref, mapping.Custom)}, err
}

// seen passes an event on to health. It is drift.Config.Seen.
func (e *Engine) seen(ref fleet.ObjectRef, live *metav1.PartialObjectMetadata, ready bool) {
	if e.owner(ref) != nil {
		e.health.Seen(ref, live, ready)
	}
}

// read returns an App's own object. The spoke reads it, since the App's account has written it. It is health.Config.Read.
func (e *Engine) read(ctx context.Context, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	a := e.owner(ref)
	if a == nil {
		return nil, fleet.ErrNotFound
	}
	if entry, has := a.inventory().Get(ref); has {
		ref = entry.Ref
	}
	return e.readAs(ctx, e.accounts.Self, ref)
}

// readAs returns an object of the cluster that the account may read.
func (e *Engine) readAs(ctx context.Context, by *account.Account, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	mapping, err := e.mapper.Served(ctx, ref)
	if err != nil {
		return nil, errors.New(err.Error()) // a kind that is not served is not an object that is gone
	}
	ref = mapping.Place(ref)
	object, err := by.Dynamic.Resource(mapping.Resource).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	return object, apply.Explain(ref, "get", err)
}

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// watchPods is health.Config.Pods.
func (e *Engine) watchPods(ctx context.Context, of fleet.ObjectRef, selector string) (watch.Interface, error) {
	pods := e.dynamic.Resource(podResource).Namespace(of.Namespace)
	return pods.Watch(ctx, metav1.ListOptions{LabelSelector: selector})
}
