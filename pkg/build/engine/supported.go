package engine

import (
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
)

// supported are the fields of kustomization files that the engine builds. A field that does not stand here, also one of a
// later kustomize, is built by kustomize itself.
var supported = []string{
	"apiVersion", "kind", "metadata", "resources", "bases", "components", "namePrefix", "nameSuffix", "namespace", "commonLabels", "labels",
	"commonAnnotations", "patchesStrategicMerge", "patchesJson6902", "patches", "images", "imageTags", "replacements", "replicas",
	"configMapGenerator", "secretGenerator", "generatorOptions", "buildMetadata", "sortOptions",
}

// Builds reports whether the engine builds the field of a kustomization file as kustomize does.
func Builds(field string) bool { return slices.Contains(supported, field) }

// FieldsOf returns the fields that a kustomization file sets, in kustomize's order. It is not nil.
func FieldsOf(k *types.Kustomization) []string {
	fields := []string{}
	value := reflect.ValueOf(k).Elem()
	for _, field := range reflect.VisibleFields(value.Type()) {
		at := value.FieldByIndex(field.Index)
		if field.Anonymous || at.IsZero() || (at.Kind() == reflect.Slice || at.Kind() == reflect.Map) && at.Len() == 0 {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	return fields
}
