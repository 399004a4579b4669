package engine

import (
	"reflect"
	"slices"
	"testing"

	"sigs.k8s.io/kustomize/api/types"
)

// What is not built is listed here, so that a new field of kustomize's is looked at before it counts as built.
func TestEveryFieldOfKustomizeIsBuiltOrLeftToIt(t *testing.T) {
	t.Parallel()
	left := []string{"openapi", "crds", "configurations", "vars", "helmCharts", "helmGlobals", "helmChartInflationGenerator", "generators", "transformers", "validators"}
	var all types.Kustomization
	fill(reflect.ValueOf(&all).Elem())
	fields := FieldsOf(&all)
	if len(fields) < len(supported) {
		t.Fatalf("a kustomization file has the fields %q only", fields)
	}
	for _, field := range fields {
		if Builds(field) == slices.Contains(left, field) {
			t.Errorf("%s: built is %t", field, Builds(field))
		}
	}
	for _, field := range supported {
		if !slices.Contains(fields, field) {
			t.Errorf("%s is built, and no field of kustomize's", field)
		}
	}
}

// fill gives every field of a struct something.
func fill(value reflect.Value) {
	for i := range value.NumField() {
		switch at := value.Field(i); at.Kind() {
		case reflect.Struct:
			fill(at)
		case reflect.String:
			at.SetString("x")
		case reflect.Slice:
			at.Set(reflect.MakeSlice(at.Type(), 1, 1))
		case reflect.Map:
			at.Set(reflect.MakeMap(at.Type()))
			at.SetMapIndex(reflect.Zero(at.Type().Key()), reflect.Zero(at.Type().Elem()))
		case reflect.Pointer:
			at.Set(reflect.New(at.Type().Elem()))
		}
	}
}
