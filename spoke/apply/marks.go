package apply

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/manifest"
)

// Marks are the names by which an object shows who applied it. They are Flux's, so that Flux and Flotilla can take
// over from each other without a change to any object.
type Marks struct {
	// Manager is the field manager.
	Manager string
	// NameLabel and NamespaceLabel are the owner labels.
	NameLabel      string
	NamespaceLabel string
}

// Kustomize are the marks of a Kustomization's objects.
var Kustomize = Marks{
	Manager:        "kustomize-controller",
	NameLabel:      "kustomize.toolkit.fluxcd.io/name",
	NamespaceLabel: "kustomize.toolkit.fluxcd.io/namespace",
}

// Owner is the App on whose behalf an object is applied: the values of the owner labels.
type Owner struct {
	Name      string
	Namespace string
}

// Owns reports whether labels name owner.
func (m Marks) Owns(labels map[string]string, owner Owner) bool {
	return labels[m.NameLabel] == owner.Name && labels[m.NamespaceLabel] == owner.Namespace
}

// Entry returns our Apply entry of an object's managedFields, or nil.
func (m Marks) Entry(fields []metav1.ManagedFieldsEntry) *metav1.ManagedFieldsEntry {
	for i := range fields {
		f := &fields[i]
		if f.Manager == m.Manager && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" {
			return f
		}
	}
	return nil
}

// TakesOver reports whether Flux takes over the fields of that entry: what kubectl set, what was there before
// the first apply, and what our own name set otherwise than by Apply (kustomize-controller, FieldManagers).
func (m Marks) TakesOver(entry metav1.ManagedFieldsEntry) bool {
	switch {
	case entry.Subresource != "":
		return false
	case strings.HasPrefix(entry.Manager, "kubectl"):
		return true
	case entry.Operation != metav1.ManagedFieldsOperationUpdate:
		return false
	}
	return strings.HasPrefix(entry.Manager, "before-first-apply") || strings.HasPrefix(entry.Manager, m.Manager)
}

// Mode is what an object's own annotations, or labels, say about how it is treated.
type Mode struct {
	SSA               manifest.SSA
	ReconcileDisabled bool
	PruneDisabled     bool
}

// ModeOf reads the mode of an object, desired or live.
func ModeOf(labels, annotations map[string]string) Mode {
	says := func(key, value string) bool {
		return strings.EqualFold(labels[key], value) || strings.EqualFold(annotations[key], value)
	}
	mode := Mode{
		ReconcileDisabled: says(manifest.AnnotationReconcile, "disabled"),
		PruneDisabled:     says(manifest.AnnotationPrune, "disabled"),
	}
	switch { // label and annotation may disagree: what does least wins
	case says(manifest.AnnotationSSA, "Ignore"):
		mode.SSA = manifest.SSAIgnore
	case says(manifest.AnnotationSSA, "IfNotPresent"):
		mode.SSA = manifest.SSAIfNotPresent
	case says(manifest.AnnotationSSA, "Merge"):
		mode.SSA = manifest.SSAMerge
	}
	return mode
}

// Untouched reports whether the object is neither applied nor pruned.
func (m Mode) Untouched() bool { return m.ReconcileDisabled || m.SSA == manifest.SSAIgnore }

// Kept reports whether the object is never pruned.
func (m Mode) Kept() bool { return m.Untouched() || m.PruneDisabled }
