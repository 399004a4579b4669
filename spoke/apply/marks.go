package apply

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
