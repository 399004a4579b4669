package diff

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Objects returns the unified diff of an object before and after; nil: it is not there. It is empty when nothing differs
// that a person wrote. Of a Secret the values are masked, of a sealed object all that its kind, name and namespace do
// not say: values of Secrets may stand anywhere in it, as keys of maps too, but for those that it is sealed with. Nil: it
// is not sealed.
func Objects(before, after *unstructured.Unstructured, sealed Keys) (string, error) {
	old, new := shown(before), shown(after)
	switch {
	case sealed != nil:
		old, new = sealed.seal(old, new)
	case isSecret(before) || isSecret(after):
		mask(old, new)
	}
	a, err := text(old)
	if err != nil {
		return "", err
	}
	b, err := text(new)
	if err != nil {
		return "", err
	}
	return unified(a, b), nil
}

// Texts returns the unified diff of two texts; empty when they are the same.
func Texts(before, after string) string { return unified(before, after) }

// kept are metadata fields that are the API server's business.
var kept = []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// shown is what is compared of an object: a copy without what is the API server's business, its status, and kubectl's
// copy of it, which would show a Secret's values.
func shown(object *unstructured.Unstructured) map[string]any {
	if object == nil {
		return nil
	}
	content := maps.Clone(object.Object)
	delete(content, "status")
	metadata, isMap := content["metadata"].(map[string]any)
	if !isMap {
		return content
	}
	metadata = maps.Clone(metadata)
	content["metadata"] = metadata
	for _, field := range kept {
		delete(metadata, field)
	}
	if annotations, isMap := metadata["annotations"].(map[string]any); isMap {
		annotations = maps.Clone(annotations)
		delete(annotations, fleet.LastAppliedAnnotation)
		metadata["annotations"] = annotations
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	return content
}

func isSecret(object *unstructured.Unstructured) bool {
	return object != nil && object.GetKind() == "Secret" && object.GroupVersionKind().Group == ""
}

// What stands in the place of a value, as in Flux's client.
const (
	masked       = "***"
	maskedBefore = "*** (before)"
	maskedAfter  = "*** (after)"
)

// mask hides the values of a Secret: a key shows by its name whether its value is another one.
func mask(old, new map[string]any) {
	for _, field := range []string{"data", "stringData"} {
		a, b := values(old, field), values(new, field)
		for key, x := range a {
			y, inBoth := b[key]
			a[key] = masked
			if inBoth && x != y {
				a[key], b[key] = maskedBefore, maskedAfter
			} else if inBoth {
				b[key] = masked
			}
		}
		for key := range b {
			if _, inBoth := a[key]; !inBoth {
				b[key] = masked
			}
		}
	}
}

// values makes a field of its own of a map of an object, and returns it. What is no map is masked as a whole.
func values(object map[string]any, field string) map[string]any {
	value, has := object[field]
	if !has {
		return nil
	}
	fields, isMap := value.(map[string]any)
	if !isMap {
		object[field] = masked
		return nil
	}
	fields = maps.Clone(fields)
	for key, value := range fields {
		if _, isText := value.(string); !isText {
			fields[key] = masked // not comparable, and not valid
		}
	}
	object[field] = fields
	return fields
}

func text(content map[string]any) (string, error) {
	if content == nil {
		return "", nil
	}
	data, err := yaml.Marshal(content)
	return string(data), err
}
