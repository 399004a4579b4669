package apply

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Disowned reports whether live has something that Flux takes over or strips: managers with more than a hold that it takes
// over, or annotations it removes. With ssa: Merge everybody keeps what is theirs; live has that annotation as soon as the
// object was applied.
func (m Marks) Disowned(live *metav1.PartialObjectMetadata) bool {
	if m.ModeOf(live.Labels, live.Annotations).SSA == manifest.SSAMerge {
		return false
	}
	return slices.ContainsFunc(live.ManagedFields, m.takesAny) ||
		slices.ContainsFunc(strippedAnnotations, func(key string) bool { _, has := live.Annotations[key]; return has }) ||
		slices.ContainsFunc(strippedLabels, func(key string) bool { _, has := live.Labels[key]; return has })
}

// takeover returns the JSON patch that makes the fields of others ours, so that the next apply removes those which
// the Manifest does not set. It is bound to live's resourceVersion: managedFields are replaced as a whole.
func (m Marks) takeover(live *metav1.PartialObjectMetadata) ([]byte, error) {
	var kept []metav1.ManagedFieldsEntry
	var ours *metav1.ManagedFieldsEntry
	if entry := m.Entry(live.ManagedFields); entry != nil {
		ours = entry.DeepCopy()
	}
	for _, entry := range live.ManagedFields {
		if entry.Manager == m.Manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "" {
			continue
		}
		taken, left, err := m.part(entry)
		if err != nil {
			return nil, err
		}
		if left != nil {
			kept = append(kept, *left)
		}
		switch {
		case taken == nil:
		case ours == nil:
			ours = taken.DeepCopy()
			ours.Manager, ours.Operation = m.Manager, metav1.ManagedFieldsOperationApply
		default:
			union, err := unite(ours.FieldsV1, taken.FieldsV1)
			if err != nil {
				return nil, fmt.Errorf("unite the fields of %s: %w", entry.Manager, err)
			}
			ours.FieldsV1 = union
		}
	}
	patch := []operation{{Op: "replace", Path: "/metadata/resourceVersion", Value: live.ResourceVersion}}
	if ours != nil {
		patch = append(patch, operation{Op: "replace", Path: "/metadata/managedFields", Value: append(kept, *ours)})
	}
	for _, key := range strippedAnnotations {
		if _, has := live.Annotations[key]; has {
			patch = append(patch, operation{Op: "remove", Path: "/metadata/annotations/" + escape(key)})
		}
	}
	for _, key := range strippedLabels {
		if _, has := live.Labels[key]; has {
			patch = append(patch, operation{Op: "remove", Path: "/metadata/labels/" + escape(key)})
		}
	}
	return json.Marshal(patch)
}

// holdFields are the annotation by which somebody at the cluster puts something on hold, and the map in which it stands.
var holdFields = fieldpath.NewSet(
	fieldpath.MakePathOrDie("metadata", "annotations"), fieldpath.MakePathOrDie("metadata", "annotations", fleet.HoldAnnotation),
)

// takesAny reports whether anything of an entry is taken over.
func (m Marks) takesAny(entry metav1.ManagedFieldsEntry) bool {
	taken, _, err := m.part(entry)
	return taken != nil || err != nil
}

// part parts an entry into what is taken over of it and what is left to its manager, nil where that is nothing. A hold is
// left to whoever set it, by whatever client: it would go with the next apply otherwise, and is nobody else's to end.
func (m Marks) part(entry metav1.ManagedFieldsEntry) (taken, left *metav1.ManagedFieldsEntry, err error) {
	switch {
	case !m.TakesOver(entry):
		return nil, &entry, nil
	case entry.FieldsV1 == nil:
		return &entry, nil, nil
	}
	var fields fieldpath.Set
	if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, nil, fmt.Errorf("fields of %s: %w", entry.Manager, err)
	}
	rest := fields.Difference(holdFields)
	switch {
	case rest.Empty() && !fields.Empty():
		return nil, &entry, nil
	case !fields.Has(fieldpath.MakePathOrDie("metadata", "annotations", fleet.HoldAnnotation)):
		return &entry, nil, nil
	}
	if taken, err = withFields(entry, rest); err != nil {
		return nil, nil, err
	}
	left, err = withFields(entry, fields.Intersection(holdFields))
	return taken, left, err
}

// withFields is an entry of other fields.
func withFields(entry metav1.ManagedFieldsEntry, fields *fieldpath.Set) (*metav1.ManagedFieldsEntry, error) {
	raw, err := fields.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("fields of %s: %w", entry.Manager, err)
	}
	entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return &entry, nil
}

func unite(a, b *metav1.FieldsV1) (*metav1.FieldsV1, error) {
	if a == nil || b == nil {
		if a == nil {
			return b, nil
		}
		return a, nil
	}
	var x, y fieldpath.Set
	if err := x.FromJSON(a.GetRawReader()); err != nil {
		return nil, err
	}
	if err := y.FromJSON(b.GetRawReader()); err != nil {
		return nil, err
	}
	raw, err := x.Union(&y).ToJSON()
	return metav1.NewFieldsV1(string(raw)), err
}

// escape writes a key as a token of a JSON pointer (RFC 6901).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
