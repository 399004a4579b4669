package deploy

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/diff"
	"flotilla.dev/flotilla/spoke/inventory"
)

// Comparison is what an App is compared with.
type Comparison struct {
	Target
	// Blob has the content of the Manifest.
	Blob func(fleet.Digest) ([]byte, error)
	// Drift leaves out all but what was applied as the Manifest has it.
	Drift bool
}

// Diff says what a pass would change, by dry-runs. It writes nothing, and no pass or correction waits for it. What
// cannot be compared is said of the object; an error is of the whole. No value of a Secret is in it, wherever in an object
// it stands.
func (e *Engine) Diff(ctx context.Context, c Comparison) (fleet.Diff, error) {
	if err := e.awaitReady(ctx); err != nil {
		return fleet.Diff{}, err
	}
	stand := newApp(c.App, c.Blob)
	stand.aside = true
	if a := e.known(c.App); a != nil {
		stand.inv = a.inventory()
	}
	if _, err := e.agree(stand, c.Release); err != nil {
		return fleet.Diff{}, fmt.Errorf("compare %s: %w: %w", c.App.Words(), fleet.ErrInvalid, err)
	}
	agreed := e.agreed(stand)
	defer e.accounts.Dismiss(agreed.by)
	d := &differ{engine: e, app: stand, terms: agreed, Comparison: c, inv: stand.inv, namespaces: map[string]bool{}, defines: map[kindName]bool{}}
	results, err := d.run(ctx)
	if err != nil {
		return fleet.Diff{}, fmt.Errorf("compare %s: %w", c.App.Words(), err)
	}
	answer := fleet.Diff{Release: c.Release.Digest(), Objects: []fleet.ObjectDiff{}}
	for _, result := range results {
		if result.Change == "" && result.Error == "" {
			answer.Unchanged++
			continue
		}
		answer.Objects = append(answer.Objects, result)
	}
	answer.Bound(fleet.MaxAnswer)
	return answer, nil
}

// differ is one run of Diff.
type differ struct {
	Comparison
	engine *Engine
	app    *app
	terms  terms
	inv    *inventory.Inventory
	// namespaces and kinds come with the Manifest itself: what is in them may have nowhere to be dry-run yet.
	namespaces map[string]bool
	defines    map[kindName]bool
}

func (d *differ) run(ctx context.Context) ([]fleet.ObjectDiff, error) {
	materials, err := d.engine.resolve(ctx, d.app, d.Target)
	if err != nil {
		return nil, err
	}
	for _, m := range materials {
		if err := d.comes(ctx, m); err != nil {
			return nil, err
		}
	}
	desired := map[fleet.ObjectRef]bool{}
	var compared []*fleet.ObjectDiff
	var compare []func(context.Context)
	for _, m := range materials {
		result := &fleet.ObjectDiff{Object: m.Ref}
		if d.hides(m) {
			result.Object = m.source.Ref
			result.Error = m.source.Ref.String() + ": a value of a Secret is in what names it, so it is not compared before it is applied"
			for _, ref := range anywhere(m.Ref) {
				desired[ref.ID()] = true
			}
			if !d.Drift {
				compared = append(compared, result)
			}
			continue
		}
		mapping, err := d.engine.mapper.Map(ctx, m.Ref)
		if err != nil {
			if errors.Is(err, fleet.ErrNotFound) && d.defines[kindName{m.Ref.Group, m.Ref.Kind}] {
				d.created(ctx, result, m.Ref, m.origin)
			} else {
				result.Error = m.Ref.String() + ": " + err.Error()
			}
			for _, ref := range anywhere(m.Ref) {
				desired[ref.ID()] = true
			}
			compared = append(compared, result)
			continue
		}
		w := d.engine.wish(m, mapping)
		desired[w.Ref.ID()] = true
		have, has := d.inv.Get(w.Ref)
		if w.Untouched() || d.Drift && !(has && have.Applied == w.Stamp && !have.Going) {
			continue
		}
		result.Object = w.Ref
		compared = append(compared, result)
		compare = append(compare, func(ctx context.Context) { d.compare(ctx, result, w) })
	}
	_ = each(ctx, compare, func(ctx context.Context, do func(context.Context)) error { // each result tells its own error
		do(ctx)
		return nil
	})
	if !d.Drift && d.Release.Prune {
		compared = append(compared, d.deleted(ctx, desired)...)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	results := make([]fleet.ObjectDiff, len(compared))
	for i, result := range compared {
		results[i] = *result
	}
	return results, nil
}

// comes notes the namespaces and kinds that the Manifest brings.
func (d *differ) comes(ctx context.Context, m material) error {
	switch {
	case m.Ref.Group == "" && m.Ref.Kind == "Namespace":
		d.namespaces[m.Ref.Name] = true
	case m.Ref.Group == apply.CRDs.Group && m.Ref.Kind == "CustomResourceDefinition":
		content, err := m.content(ctx, d.Blob)
		if err != nil {
			return err
		}
		var crd struct {
			Spec struct {
				Group string                `json:"group"`
				Names struct{ Kind string } `json:"names"`
			} `json:"spec"`
		}
		if yaml.Unmarshal(content, &crd) == nil { // else its dry-run says so
			d.defines[kindName{crd.Spec.Group, crd.Spec.Names.Kind}] = true
		}
	}
	return nil
}

// hides reports whether values of Secrets may have named an object, and made a name that the inventory does not have
// yet: whoever asks with documents of his own could read them there.
func (d *differ) hides(m material) bool {
	if !m.secret || m.Ref == m.source.Ref {
		return false
	}
	for _, ref := range anywhere(m.Ref) {
		if d.inv.Has(ref) {
			return false
		}
	}
	return true
}

// sealed reports whether an object may have values of Secrets in it, those that go into it now, or went into what is
// there: by the keys that can be shown of it.
func (d *differ) sealed(ref fleet.ObjectRef, o origin) diff.Keys {
	if !o.secret && !d.engine.holdsSecrets(ref) {
		return nil
	}
	keys := diff.Keys{d.engine.marks.NameLabel: true, d.engine.marks.NamespaceLabel: true}
	d.addKeys(keys, o, d.Blob)
	if a := d.engine.owner(ref); a != nil {
		a.mu.Lock()
		before := a.origins[ref.ID()]
		a.mu.Unlock()
		d.addKeys(keys, before, d.engine.config.Blob)
	}
	return keys
}

// addKeys adds the keys of a document as it was before it was resolved. One that was built of decrypted files has none
// that are anybody's to know.
func (d *differ) addKeys(keys diff.Keys, o origin, blobs func(fleet.Digest) ([]byte, error)) {
	if o.source.Digest.IsZero() || o.inputs != nil && o.inputs.built != nil {
		return
	}
	blob, err := blobs(o.source.Digest)
	if err != nil {
		return // the cache may have let it go: less is shown
	}
	var document any
	if yaml.Unmarshal(blob, &document) == nil {
		keys.Add(document)
	}
}

// holdsSecrets reports whether values of Secrets may have gone into an object of an App as it is in the cluster.
func (e *Engine) holdsSecrets(ref fleet.ObjectRef) bool {
	a := e.owner(ref)
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, has := a.inv.Get(ref)
	from, known := a.origins[ref.ID()]
	return has && (entry.Secret || entry.Resolved && (!known || from.secret))
}

// compare fills in what would become of one object.
func (d *differ) compare(ctx context.Context, result *fleet.ObjectDiff, w wish) {
	content, err := w.origin.content(ctx, d.Blob)
	if err != nil {
		result.Error = err.Error()
		return
	}
	sealed := d.sealed(w.Ref, w.origin)
	object, err := d.engine.marks.Prepare(content, w.Ref, w.Mapping, d.app.owner())
	if err != nil {
		result.Error = err.Error()
		return
	}
	object.Sealed = sealed != nil
	live, applied, err := d.terms.by.Applier.Compare(ctx, object.Leaving(d.terms.ignore))
	switch {
	case errors.Is(err, fleet.ErrNotFound) && d.namespaces[w.Ref.Namespace]:
		d.created(ctx, result, w.Ref, w.origin)
		return
	case errors.Is(err, fleet.ErrDenied):
		result.Error = d.terms.by.Blame(ctx, d.engine.client, err).Error() + "; a diff is a dry-run, which needs the same rights as the apply, and get"
		return
	case err != nil:
		result.Error = err.Error()
		return
	}
	change := fleet.ChangeChange
	if live == nil {
		change = fleet.ChangeCreate
	}
	show(result, change, live, applied, sealed)
}

// created shows an object that has no place to be dry-run yet, as it is declared.
func (d *differ) created(ctx context.Context, result *fleet.ObjectDiff, ref fleet.ObjectRef, o origin) {
	content, err := o.content(ctx, d.Blob)
	if err != nil {
		result.Error = err.Error()
		return
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(content); err != nil {
		result.Error = ref.String() + ": its content cannot be read" // the decoder's words may quote it
		return
	}
	show(result, fleet.ChangeCreate, nil, object, d.sealed(ref, o))
}

// deleted are the objects that would go: what the inventory has and the Manifest has not.
func (d *differ) deleted(ctx context.Context, desired map[fleet.ObjectRef]bool) []*fleet.ObjectDiff {
	var leaving []inventory.Entry
	for _, entry := range d.inv.Entries() {
		if !desired[entry.Ref.ID()] && !entry.Kept {
			leaving = append(leaving, entry)
		}
	}
	lives := make([]*unstructured.Unstructured, len(leaving))
	results := make([]*fleet.ObjectDiff, len(leaving))
	numbers := make([]int, len(leaving))
	for i := range numbers {
		numbers[i], results[i] = i, &fleet.ObjectDiff{Object: leaving[i].Ref}
	}
	_ = each(ctx, numbers, func(ctx context.Context, i int) error { // each result tells its own error
		meta, mapping, err := d.engine.live(ctx, d.terms.by, leaving[i].Ref)
		if err == nil && meta != nil && d.engine.ours(d.app, leaving[i], meta) {
			ref := leaving[i].Ref
			lives[i], err = d.engine.dynamic.Resource(mapping.Resource).Namespace(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
			err = apply.Explain(ref, "get", err)
		}
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			results[i].Error = err.Error()
		}
		return nil
	})
	var going []inventory.Entry
	var shown []*fleet.ObjectDiff
	for i, entry := range leaving {
		if lives[i] != nil {
			going = append(going, entry)
		}
		if lives[i] != nil || results[i].Error != "" {
			shown = append(shown, results[i])
		}
	}
	guard := fleet.ParsePruneGuard(d.Release.PruneGuard)
	held := withhold(going, d.inv.Entries(), len(desired), guard, d.ApprovedPrune)
	for i := range leaving {
		if lives[i] == nil {
			continue
		}
		change := fleet.ChangeDelete
		if held != nil && !leaving[i].Going {
			change = fleet.ChangeHeld
		}
		show(results[i], change, lives[i], nil, d.sealed(leaving[i].Ref, origin{}))
	}
	return shown
}

// show fills in the diff of an object before and after; what is sealed has no values in it.
func show(result *fleet.ObjectDiff, change string, before, after *unstructured.Unstructured, sealed diff.Keys) {
	text, err := diff.Objects(before, after, sealed)
	switch {
	case err != nil:
		result.Error = result.Object.String() + ": it cannot be shown as YAML" // the encoder's words may quote it
	case text != "":
		result.Change, result.Diff = change, text
	}
}
