package diff

import (
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Objects returns the unified diff of an object before and after; nil: it is not there. It is empty when nothing differs
// that a person wrote. Of a Secret the values are masked, of a sealed object all that its kind, name and namespace do
// not say: values of Secrets may stand anywhere in it.
func Objects(before, after *unstructured.Unstructured, sealed bool) (string, error) {
	old, new := shown(before), shown(after)
	switch {
	case sealed:
		old, new = seal(old, new)
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

// seal hides every value of an object but what names it.
func seal(old, new map[string]any) (map[string]any, map[string]any) {
	a, b := hide(value(old), value(new))
	sealedOld, _ := a.(map[string]any)
	sealedNew, _ := b.(map[string]any)
	for _, pair := range [2][2]map[string]any{{old, sealedOld}, {new, sealedNew}} {
		from, to := pair[0], pair[1]
		if from == nil {
			continue
		}
		to["apiVersion"], to["kind"] = from["apiVersion"], from["kind"]
		named, _ := from["metadata"].(map[string]any)
		if metadata, isMap := to["metadata"].(map[string]any); isMap {
			for _, field := range []string{"name", "namespace"} {
				if name, has := named[field]; has {
					metadata[field] = name
				}
			}
		}
	}
	return sealedOld, sealedNew
}

// value is a map that may not be there.
func value(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

// hide returns two values with all that they hold masked: by what is the same in both, and what is not.
func hide(a, b any) (any, any) {
	switch {
	case a == nil && b == nil:
		return nil, nil
	case a == nil || b == nil:
		return hidden(a, masked), hidden(b, masked)
	}
	switch x := a.(type) {
	case map[string]any:
		y, isMap := b.(map[string]any)
		if !isMap {
			break
		}
		p, q := map[string]any{}, map[string]any{}
		for key := range x {
			if other, has := y[key]; has {
				p[key], q[key] = hide(x[key], other)
			} else {
				p[key] = hidden(x[key], masked)
			}
		}
		for key := range y {
			if _, has := x[key]; !has {
				q[key] = hidden(y[key], masked)
			}
		}
		return p, q
	case []any:
		y, isList := b.([]any)
		if !isList {
			break
		}
		p, q := make([]any, len(x)), make([]any, len(y))
		for i := range max(len(x), len(y)) {
			switch {
			case i >= len(y):
				p[i] = hidden(x[i], masked)
			case i >= len(x):
				q[i] = hidden(y[i], masked)
			default:
				p[i], q[i] = hide(x[i], y[i])
			}
		}
		return p, q
	default:
		if reflect.DeepEqual(a, b) {
			return masked, masked
		}
	}
	return hidden(a, maskedBefore), hidden(b, maskedAfter)
}

// hidden is a value with a mark in place of whatever it holds.
func hidden(v any, mark string) any {
	switch x := v.(type) {
	case nil:
		return nil
	case map[string]any:
		fields := make(map[string]any, len(x))
		for key, field := range x {
			fields[key] = hidden(field, mark)
		}
		return fields
	case []any:
		items := make([]any, len(x))
		for i, item := range x {
			items[i] = hidden(item, mark)
		}
		return items
	}
	return mark
}

func text(content map[string]any) (string, error) {
	if content == nil {
		return "", nil
	}
	data, err := yaml.Marshal(content)
	return string(data), err
}
