package apply

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"flotilla.dev/flotilla/pkg/manifest"
)

// Compare returns an object as it is, nil when it does not exist, and as an apply would make it, by a dry-run: it writes
// nothing, unlike DryRun not even managedFields. What is not to be touched would stay as it is.
func (a *Applier) Compare(ctx context.Context, o Object) (live, applied *unstructured.Unstructured, err error) {
	ctx, release, err := a.slot(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	resource := a.full.Resource(o.Mapping.Resource).Namespace(o.Ref.Namespace)
	live, err = resource.Get(ctx, o.Ref.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		live, err = nil, nil
	}
	if err != nil {
		return nil, nil, o.explain("get", err)
	}
	body := o.data
	if live != nil && len(o.ignored) > 0 {
		if body, err = a.reserve(o, live.Object, live.GetManagedFields()); err != nil {
			return nil, nil, err
		}
	}
	force := true
	applied, err = persist(ctx, len(o.ignored) == 0, func() (*unstructured.Unstructured, error) {
		return resource.Patch(ctx, o.Ref.Name, types.ApplyPatchType, body,
			metav1.PatchOptions{FieldManager: a.Manager, Force: &force, DryRun: []string{metav1.DryRunAll}})
	})
	switch {
	case live != nil && outdated(err):
		return nil, nil, fmt.Errorf("%w; the next pass moves its managedFields to %s, and a diff can say more then", o.explain("dry-run", err), o.Ref.APIVersion())
	case err != nil:
		return nil, nil, o.explain("dry-run", err)
	}
	if live == nil {
		return nil, applied, nil
	}
	// As in Applier.DryRun: the answer has the annotations that people set, and ours.
	mode := a.ModeOf(applied.GetLabels(), applied.GetAnnotations())
	switch {
	case mode.Untouched(), mode.SSA == manifest.SSAIfNotPresent:
		return live, live, nil
	case mode.SSA == manifest.SSAMerge:
		return live, applied, nil
	}
	if err := a.takeAway(applied, live); err != nil {
		return nil, nil, fmt.Errorf("%s: take over fields: %w", o.Ref, err)
	}
	return live, applied, nil
}

// takeAway removes from the answer of a dry-run what an apply would remove by its takeover: the fields that only
// managers have that Flux takes over, and what Flux strips.
func (m Marks) takeAway(applied, live *unstructured.Unstructured) error {
	var taken, kept fieldpath.Set
	for _, entry := range live.GetManagedFields() {
		if theirs, _, err := m.part(entry); err != nil {
			return err
		} else if err := addFields(&taken, theirs); err != nil {
			return err
		}
	}
	for _, entry := range applied.GetManagedFields() {
		if entry.Subresource != "" {
			continue
		}
		if _, left, err := m.part(entry); err != nil {
			return err
		} else if err := addFields(&kept, left); err != nil {
			return err
		}
	}
	taken.Difference(&kept).Iterate(func(path fieldpath.Path) {
		if !holds(&kept, path) { // whoever keeps a part of a field keeps the field
			remove(applied.Object, path)
		}
	})
	labels := applied.GetLabels()
	for _, key := range strippedLabels {
		delete(labels, key)
	}
	if labels != nil {
		applied.SetLabels(labels)
	}
	annotations := applied.GetAnnotations()
	for _, key := range strippedAnnotations {
		delete(annotations, key)
	}
	if annotations != nil {
		applied.SetAnnotations(annotations)
	}
	return nil
}

// addFields adds those of an entry; nil has none.
func addFields(to *fieldpath.Set, entry *metav1.ManagedFieldsEntry) error {
	if entry == nil || entry.FieldsV1 == nil {
		return nil
	}
	var fields fieldpath.Set
	if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return fmt.Errorf("fields of %s: %w", entry.Manager, err)
	}
	*to = *to.Union(&fields)
	return nil
}

// holds reports whether the set has anything below a path.
func holds(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, element := range path {
		set = set.WithPrefix(element)
	}
	return !set.Empty()
}

// remove takes what a path leads to out of a value, and returns the value that is left.
func remove(value any, path fieldpath.Path) any {
	head, rest := path[0], path[1:]
	switch v := value.(type) {
	case map[string]any:
		if head.FieldName == nil {
			return v
		}
		child, has := v[*head.FieldName]
		switch {
		case !has:
		case len(rest) == 0:
			delete(v, *head.FieldName)
		default:
			v[*head.FieldName] = remove(child, rest)
		}
		return v
	case []any:
		i := slices.IndexFunc(v, func(item any) bool { return isItem(item, head) })
		switch {
		case i < 0:
		case len(rest) == 0:
			return slices.Delete(slices.Clone(v), i, i+1)
		default:
			v[i] = remove(v[i], rest)
		}
		return v
	}
	return value
}

// isItem reports whether an item of a list is the one that an element of a path names.
func isItem(item any, element fieldpath.PathElement) bool {
	switch {
	case element.Value != nil:
		return fmt.Sprint((*element.Value).Unstructured()) == fmt.Sprint(item)
	case element.Key != nil:
		keys := make(map[string]any, len(*element.Key))
		for _, key := range *element.Key {
			keys[key.Name] = key.Value.Unstructured()
		}
		fits, _ := fitsKeys(item, keys)
		return fits
	}
	return false
}
