package manifest

import (
	"fmt"
	"strings"
)

// SSA says how an object is applied.
type SSA uint8

// The values of annotation kustomize.toolkit.fluxcd.io/ssa.
const (
	SSAOverride     SSA = iota // the default: full ownership, kubectl's changes undone
	SSAMerge                   // other managers' fields are left alone
	SSAIfNotPresent            // created once, never changed
	SSAIgnore                  // neither applied nor pruned
)

// The annotations, or labels, of an object that say how it is treated.
const (
	AnnotationPrune     = "kustomize.toolkit.fluxcd.io/prune"
	AnnotationReconcile = "kustomize.toolkit.fluxcd.io/reconcile"
	AnnotationSSA       = "kustomize.toolkit.fluxcd.io/ssa"
	AnnotationProtect   = "fleet.flotilla.dev/protect"
	annotationDecrypt   = "kustomize.toolkit.fluxcd.io/decrypt"
)

// flag sets the entry's flags from the object's metadata.
func (e *Entry) flag(metadata map[string]any) {
	e.PruneDisabled = says(metadata, AnnotationPrune, "disabled")
	e.ReconcileDisabled = says(metadata, AnnotationReconcile, "disabled")
	e.Protected = says(metadata, AnnotationProtect, "true")
	switch { // label and annotation may disagree: what does least wins
	case says(metadata, AnnotationSSA, "Ignore"):
		e.SSA = SSAIgnore
	case says(metadata, AnnotationSSA, "IfNotPresent"):
		e.SSA = SSAIfNotPresent
	case says(metadata, AnnotationSSA, "Merge"):
		e.SSA = SSAMerge
	}
}

// unsupported are annotations, or labels, of Flux that would change how an object is treated and are not honoured yet, by
// the value that does; empty: any.
var unsupported = []struct{ key, value string }{
	{"kustomize.toolkit.fluxcd.io/force", "enabled"},
	{"kustomize.toolkit.fluxcd.io/substitute", ""},
}

// refuseUnsupported returns an error that names the first of the unsupported ones that the metadata has.
func refuseUnsupported(metadata map[string]any) error {
	for _, field := range places {
		pairs, _ := metadata[field].(map[string]any)
		for _, u := range unsupported {
			if have, _ := pairs[u.key].(string); have != "" && (u.value == "" || strings.EqualFold(have, u.value)) {
				return fmt.Errorf("metadata.%s[%s]: not supported yet", field, u.key)
			}
		}
	}
	return nil
}

// refuseEncrypted returns an error for an object that SOPS has encrypted: as it is it would be applied as ciphertext, or be
// refused by the API server for a reason that nobody understands. As in Flux the annotation lets it pass, for one that
// the cluster decrypts by itself.
func refuseEncrypted(object, metadata map[string]any) error {
	sops, _ := object["sops"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	wanted, _ := annotations[annotationDecrypt].(string)
	if mac, _ := sops["mac"].(string); mac == "" || strings.EqualFold(wanted, "disabled") {
		return nil
	}
	return fmt.Errorf("it is SOPS-encrypted: decryption is not supported yet; to apply it as it is, annotate it with %s: disabled", annotationDecrypt)
}

// places are the fields of an object's metadata in which Flux looks for its annotations.
var places = []string{"labels", "annotations"}

// says reports whether a label or annotation has the value, whatever its case: Flux's rule (ssa, AnyInMetadata).
func says(metadata map[string]any, key, value string) bool {
	for _, field := range places {
		pairs, _ := metadata[field].(map[string]any)
		if have, _ := pairs[key].(string); strings.EqualFold(have, value) {
			return true
		}
	}
	return false
}
