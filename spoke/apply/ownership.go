package apply

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"flotilla.dev/flotilla/pkg/manifest"
)

// operation is one step of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Disowned reports whether live has something that Flux takes over or strips: managers that it takes over, or
// annotations it removes. With ssa: Merge everybody keeps what is theirs; live has that annotation as soon as the
// object was applied.
func (m Marks) Disowned(live *metav1.PartialObjectMetadata) bool {
	if m.ModeOf(live.Labels, live.Annotations).SSA == manifest.SSAMerge {
		return false
	}
	return slices.ContainsFunc(live.ManagedFields, m.TakesOver) ||
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
		switch {
		case entry.Manager == m.Manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "":
		case !m.TakesOver(entry):
			kept = append(kept, entry)
		case ours == nil:
			ours = entry.DeepCopy()
			ours.Manager, ours.Operation = m.Manager, metav1.ManagedFieldsOperationApply
		default:
			union, err := unite(ours.FieldsV1, entry.FieldsV1)
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
