package manifest

import (
	"errors"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/sops"
)

// Mode is what an object's own annotations, or labels, say about how it is treated.
type Mode struct {
	// SSA is the annotation kustomize.toolkit.fluxcd.io/ssa.
	SSA SSA `json:"ssa,omitempty"`
	// PruneDisabled and ReconcileDisabled are the annotations of those names with value "disabled".
	PruneDisabled     bool `json:"pruneDisabled,omitempty"`
	ReconcileDisabled bool `json:"reconcileDisabled,omitempty"`
	// Force is the annotation of that name with value "enabled": where it cannot become what it should be, the object is
	// deleted and made anew.
	Force bool `json:"force,omitempty"`
	// Protected objects are never pruned without an approval (annotation fleet.flotilla.dev/protect: "true").
	Protected bool `json:"protected,omitempty"`
}

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
	AnnotationForce     = "kustomize.toolkit.fluxcd.io/force"
	AnnotationProtect   = "fleet.flotilla.dev/protect"
	// annotationSubstitute of value "disabled", in this case only, keeps an object's text as it is.
	annotationSubstitute = "kustomize.toolkit.fluxcd.io/substitute"
)

// ModeOf reads the mode of an object, desired or live. The case of a value does not count: Flux's rule (ssa,
// AnyInMetadata).
func ModeOf(labels, annotations map[string]string) Mode {
	says := func(key, value string) bool {
		return strings.EqualFold(labels[key], value) || strings.EqualFold(annotations[key], value)
	}
	mode := Mode{
		PruneDisabled:     says(AnnotationPrune, "disabled"),
		ReconcileDisabled: says(AnnotationReconcile, "disabled"),
		Force:             says(AnnotationForce, "enabled"),
		Protected:         says(AnnotationProtect, "true"),
	}
	switch { // label and annotation may disagree: what does least wins
	case says(AnnotationSSA, "Ignore"):
		mode.SSA = SSAIgnore
	case says(AnnotationSSA, "IfNotPresent"):
		mode.SSA = SSAIfNotPresent
	case says(AnnotationSSA, "Merge"):
		mode.SSA = SSAMerge
	default:
		mode.SSA = SSAOverride
	}
	return mode
}

// Untouched reports whether the object is neither applied nor pruned.
func (m Mode) Untouched() bool { return m.ReconcileDisabled || m.SSA == SSAIgnore }

// Kept reports whether the object is never pruned.
func (m Mode) Kept() bool { return m.Untouched() || m.PruneDisabled }

// Exempt reports whether an object says that no variable is to be substituted in it.
func Exempt(object map[string]any) bool {
	metadata, _ := object["metadata"].(map[string]any)
	return slices.ContainsFunc(places, func(field string) bool {
		return texts(metadata, field)[annotationSubstitute] == "disabled"
	})
}

// errEncrypted is why an encrypted object of an App without decryption is refused: as it is it would be applied as
// ciphertext, or be refused by the API server for a reason that nobody understands.
var errEncrypted = errors.New("it is encrypted with SOPS, and the App has no spec.decryption: set it, or, to apply the object as it is, annotate it with " +
	sops.DecryptAnnotation + ": disabled")

// places are the fields of an object's metadata in which Flux looks for its annotations.
var places = []string{"labels", "annotations"}

// texts are the entries of a field of an object's metadata that are strings, as all should be.
func texts(metadata map[string]any, field string) map[string]string {
	pairs, _ := metadata[field].(map[string]any)
	found := make(map[string]string, len(pairs))
	for key, value := range pairs {
		if text, ok := value.(string); ok {
			found[key] = text
		}
	}
	return found
}
