package deploy

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/diff"
	"flotilla.dev/flotilla/spoke/inventory"
)

// Comparison is what an App is compared with.
type Comparison struct {
	App fleet.Key
	// Release says what is pruned and guarded; Manifest are the objects, and Blob has their content.
	Release  fleet.Release
	Manifest *manifest.Manifest
	Blob     func(fleet.Digest) ([]byte, error)
	// Drift leaves out all but what was applied as the Manifest has it.
	Drift bool
	// ApprovedPrune is the digest of the set of deletions that a person approved.
	ApprovedPrune fleet.Digest
}

// maxDiff bounds the diffs of one answer together, so that it stays below fleet.MaxAnswer in JSON.
const maxDiff = fleet.MaxAnswer / 2

// Diff says what a pass would change, by dry-runs. It writes nothing, and no pass or correction waits for it. What
// cannot be compared is said of the object; an error is of the whole.
func (e *Engine) Diff(ctx context.Context, c Comparison) (fleet.Diff, error) {
	if err := e.awaitReady(ctx); err != nil {
		return fleet.Diff{}, err
	}
	a := e.known(c.App)
	if a == nil {
		a = newApp(c.App) // nothing is applied yet
	}
	d := &differ{engine: e, app: a, Comparison: c, inv: a.inventory(), namespaces: map[string]bool{}, defines: map[kindName]bool{}}
	results, err := d.run(ctx)
	if err != nil {
		return fleet.Diff{}, fmt.Errorf("compare %s: %w", c.App.Words(), err)
	}
	answer := fleet.Diff{Release: c.Release.Digest(), Objects: []fleet.ObjectDiff{}}
	room := maxDiff
	for _, result := range results {
		if result.Change == "" && result.Error == "" {
			answer.Unchanged++
			continue
		}
		if room -= len(result.Diff); room < 0 {
			result.Diff, result.Cut, room = "", true, 0
		}
		answer.Objects = append(answer.Objects, result)
	}
	return answer, nil
}

// differ is one run of Diff.
type differ struct {
	Comparison
	engine *Engine
	app    *app
	inv    *inventory.Inventory
	// namespaces and kinds come with the Manifest itself: what is in them may have nowhere to be dry-run yet.
	namespaces map[string]bool
	defines    map[kindName]bool
}

func (d *differ) run(ctx context.Context) ([]fleet.ObjectDiff, error) {
	desired := map[fleet.ObjectRef]bool{}
	var compared []*fleet.ObjectDiff
	var wishes []wish
	for _, entry := range d.Manifest.Entries {
		if err := d.comes(entry); err != nil {
			return nil, err
		}
	}
	for _, entry := range d.Manifest.Entries {
		result := &fleet.ObjectDiff{Object: entry.Ref}
		mapping, err := d.engine.mapper.Map(ctx, entry.Ref)
		switch {
		case errors.Is(err, fleet.ErrNotFound) && d.defines[kindName{entry.Ref.Group, entry.Ref.Kind}]:
			d.created(result, entry)
		case err != nil:
			result.Error = entry.Ref.String() + ": " + err.Error()
		}
		if result.Change != "" || result.Error != "" {
			for _, ref := range anywhere(entry.Ref) {
				desired[ref.ID()] = true
			}
			compared = append(compared, result)
			wishes = append(wishes, wish{})
			continue
		}
		w := d.engine.wish(entry, mapping)
		desired[w.Ref.ID()] = true
		have, has := d.inv.Get(w.Ref)
		if w.Untouched() || d.Drift && !(has && have.Applied == w.Stamp && !have.Going) {
			continue
		}
		result.Object = w.Ref
		compared = append(compared, result)
		wishes = append(wishes, w)
	}
	numbers := make([]int, len(wishes))
	for i := range numbers {
		numbers[i] = i
	}
	_ = each(ctx, numbers, func(ctx context.Context, i int) error { // each result tells its own error
		if compared[i].Change == "" && compared[i].Error == "" {
			d.compare(ctx, compared[i], wishes[i])
		}
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
func (d *differ) comes(entry manifest.Entry) error {
	switch {
	case entry.Ref.Group == "" && entry.Ref.Kind == "Namespace":
		d.namespaces[entry.Ref.Name] = true
	case entry.Ref.Group == apply.CRDs.Group && entry.Ref.Kind == "CustomResourceDefinition":
		content, err := d.Blob(entry.Digest)
		if err != nil {
			return fmt.Errorf("%s: %w", entry.Ref, err)
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

// compare fills in what would become of one object.
func (d *differ) compare(ctx context.Context, result *fleet.ObjectDiff, w wish) {
	content, err := d.Blob(w.Digest)
	if err != nil {
		result.Error = fmt.Sprintf("%s: content %s: %s", w.Ref, w.Digest, err)
		return
	}
	object, err := d.engine.marks.Prepare(content, w.Ref, w.Mapping, d.app.owner())
	if err != nil {
		result.Error = err.Error()
		return
	}
	live, applied, err := d.engine.marks.Compare(ctx, d.engine.dynamic, object)
	switch {
	case errors.Is(err, fleet.ErrNotFound) && d.namespaces[w.Ref.Namespace]:
		d.created(result, w.Entry)
		return
	case errors.Is(err, fleet.ErrDenied):
		result.Error = err.Error() + "; a diff is a dry-run, which needs the same rights as the apply"
		return
	case err != nil:
		result.Error = err.Error()
		return
	}
	change := fleet.ChangeChange
	if live == nil {
		change = fleet.ChangeCreate
	}
	show(result, change, live, applied)
}

// created shows an object that has no place to be dry-run yet, as it is declared.
func (d *differ) created(result *fleet.ObjectDiff, entry manifest.Entry) {
	content, err := d.Blob(entry.Digest)
	object := &unstructured.Unstructured{}
	if err == nil {
		err = object.UnmarshalJSON(content)
	}
	if err != nil {
		result.Error = fmt.Sprintf("%s: content %s cannot be read", entry.Ref, entry.Digest) // the decoder's words may quote it
		return
	}
	show(result, fleet.ChangeCreate, nil, object)
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
		meta, mapping, err := d.engine.live(ctx, leaving[i].Ref)
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
		show(results[i], change, lives[i], nil)
	}
	return shown
}

// show fills in the diff of an object before and after.
func show(result *fleet.ObjectDiff, change string, before, after *unstructured.Unstructured) {
	text, err := diff.Objects(before, after)
	switch {
	case err != nil:
		result.Error = result.Object.String() + ": it cannot be shown as YAML" // the encoder's words may quote it
	case text != "":
		result.Change, result.Diff = change, text
	}
}
