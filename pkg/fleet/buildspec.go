package fleet

import (
	"encoding/json"
	"fmt"
)

// BuildSpec is what an App's spec says of its build, by Flux's names (Kustomization v1): kustomize's transformations on
// top of those of the source. Two Apps with the same BuildSpec and the same files have the same objects.
type BuildSpec struct {
	TargetNamespace         string   `json:"targetNamespace,omitempty"`
	NamePrefix              string   `json:"namePrefix,omitempty"`
	NameSuffix              string   `json:"nameSuffix,omitempty"`
	Patches                 []Patch  `json:"patches,omitempty"`
	Images                  []Image  `json:"images,omitempty"`
	Components              []string `json:"components,omitempty"`
	IgnoreMissingComponents bool     `json:"ignoreMissingComponents,omitempty"`
	// BuildMetadata: originAnnotations, transformerAnnotations.
	BuildMetadata []string `json:"buildMetadata,omitempty"`
}

// Patch is a strategic merge or JSON 6902 patch, as YAML, and the objects that it is for.
type Patch struct {
	Patch  string       `json:"patch"`
	Target *PatchTarget `json:"target,omitempty"`
}

// PatchTarget chooses objects as kustomize does: group, version, kind, namespace and name are regular expressions that
// have to match in full, and empty matches all.
type PatchTarget struct {
	Group              string `json:"group,omitempty"`
	Version            string `json:"version,omitempty"`
	Kind               string `json:"kind,omitempty"`
	Namespace          string `json:"namespace,omitempty"`
	Name               string `json:"name,omitempty"`
	AnnotationSelector string `json:"annotationSelector,omitempty"`
	LabelSelector      string `json:"labelSelector,omitempty"`
}

// Image replaces the name, tag or digest of an image.
type Image struct {
	Name    string `json:"name"`
	NewName string `json:"newName,omitempty"`
	NewTag  string `json:"newTag,omitempty"`
	Digest  string `json:"digest,omitempty"`
}

// Encode returns the deterministic encoding of b: JSON with fixed field order.
func (b BuildSpec) Encode() []byte {
	data, err := json.Marshal(b)
	if err != nil {
		panic(fmt.Sprintf("encode build spec: %v", err)) // strings always encode
	}
	return data
}
