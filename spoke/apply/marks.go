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
	// Beside says that what others set beside what is applied stays theirs, kubectl's fields too, and that of what an object
	// says of its treatment only the label or annotation Off counts, of value "disabled".
	Beside bool
	Off    string
}

// Kustomize are the marks of a Kustomization's objects.
var Kustomize = Marks{
	Manager:        "kustomize-controller",
	NameLabel:      "kustomize.toolkit.fluxcd.io/name",
	NamespaceLabel: "kustomize.toolkit.fluxcd.io/namespace",
}

// Helm are the marks of a Helm release's objects.
var Helm = Marks{
	Manager:        "helm-controller",
	NameLabel:      "helm.toolkit.fluxcd.io/name",
	NamespaceLabel: "helm.toolkit.fluxcd.io/namespace",
	Beside:         true,
	Off:            "helm.toolkit.fluxcd.io/driftDetection",
}

// ModeOf reads how an object, desired or live, is to be treated.
func (m Marks) ModeOf(labels, annotations map[string]string) manifest.Mode {
	if !m.Beside {
		return manifest.ModeOf(labels, annotations)
	}
	off := strings.EqualFold(labels[m.Off], "disabled") || strings.EqualFold(annotations[m.Off], "disabled")
	return manifest.Mode{SSA: manifest.SSAMerge, ReconcileDisabled: off}
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
// the first apply, and what our own name set otherwise than by Apply (kustomize-controller, FieldManagers). Of these a hold
// is left to its manager all the same: see part.
func (m Marks) TakesOver(entry metav1.ManagedFieldsEntry) bool {
	switch {
	case entry.Subresource != "", m.Beside:
		return false
	case strings.HasPrefix(entry.Manager, "kubectl"):
		return true
	case entry.Operation != metav1.ManagedFieldsOperationUpdate:
		return false
	}
	return strings.HasPrefix(entry.Manager, "before-first-apply") || strings.HasPrefix(entry.Manager, m.Manager)
}
