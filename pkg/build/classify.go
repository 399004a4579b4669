package build

import (
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/build/engine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Class is how a tree is built.
type Class string

// Classes, the cheapest first.
const (
	// ClassPlain trees only list resources, at every level: each object is printed as it stands.
	ClassPlain Class = "plain"
	// ClassEngine trees use no field that the engine does not build as kustomize does.
	ClassEngine Class = "engine"
	// ClassKustomize trees are built by kustomize itself.
	ClassKustomize Class = "kustomize"
	// ClassEncrypted trees need files in plain text that only clusters can decrypt: those build them.
	ClassEncrypted Class = "encrypted"
)

// plainFields only say which objects there are.
var plainFields = []string{"apiVersion", "kind", "metadata", "resources", "bases"}

// reason is why a tree is of its class.
type reason struct {
	class             Class
	file, field, text string
}

// classify says how a tree is built whose kustomization files are these. The first field that asks for the dearest class
// is the reason.
func classify(o *overlay, found []reached) reason {
	r := reason{class: ClassPlain, text: "it only lists resources, at every level"}
	dirs := map[string]bool{}
	for _, k := range found {
		switch {
		case k.invalid != nil:
			return reason{class: ClassKustomize, file: k.file, text: "kustomize says what is wrong with the file"}
		case dirs[k.dir]:
			return reason{class: ClassKustomize, file: k.file, text: "kustomize says what is wrong with a second kustomization file in a directory"}
		}
		dirs[k.dir] = true
		for _, field := range engine.FieldsOf(k.kustomization) {
			switch {
			case slices.Contains(plainFields, field):
			case !engine.Builds(field):
				return reason{class: ClassKustomize, file: k.file, field: o.origin(k, field), text: "only kustomize itself builds this field"}
			case r.class == ClassPlain:
				r = reason{class: ClassEngine, file: k.file, field: o.origin(k, field), text: "it changes or makes objects, in ways that the engine knows"}
			}
		}
	}
	return r
}

// specFields are the fields of an App's spec by the field of the kustomization file that they set.
var specFields = map[string]string{
	"namespace": "spec.targetNamespace", "namePrefix": "spec.namePrefix", "nameSuffix": "spec.nameSuffix", "patches": "spec.patches",
	"components": "spec.components", "images": "spec.images", "buildMetadata": "spec.buildMetadata",
}

// origin names the field where a person finds it: in the file, or in the App's spec.
func (o *overlay) origin(k reached, field string) string {
	switch {
	case k.file != o.file, slices.Contains(o.own, field):
		return field
	case field == "buildMetadata" && !o.described:
		return "resources (there are none, which makes objects say where they come from)"
	case field == "namespace" && o.kustomization.Namespace == noNamespace:
		return "resources (there are none)"
	}
	return specFields[field]
}

// shapeOf names trees that are alike: the same directory with the same kustomization files, which set the same fields.
// What those fields say may differ.
func shapeOf(dir string, found []reached) fleet.Digest {
	parts := []string{Version, dir}
	for _, k := range found {
		parts = append(parts, k.file, strings.Join(engine.FieldsOf(k.kustomization), ","))
	}
	return fleet.DigestOf([]byte(strings.Join(parts, "\n")))
}
