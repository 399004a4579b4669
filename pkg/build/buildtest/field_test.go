package buildtest_test

import (
	"reflect"
	"strings"
	"testing"

	"path"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"
	"slices"

	"flotilla.dev/flotilla/pkg/build/buildtest"
)

// A new version of kustomize that has a field more fails this, until trees have it too.
func TestTreesSetEveryFieldOfAKustomizationFile(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{}
	for _, field := range fieldsOf(reflect.TypeFor[types.Kustomization](), "") {
		missing[field] = true
	}
	if len(missing) < 100 {
		t.Fatalf("a kustomization file has %d fields: they are not found", len(missing))
	}
	for seed := 0; seed < 6000 && len(missing) > 0; seed++ {
		for name, content := range buildtest.Seeded(seed).Files {
			var k any
			if slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) && yaml.Unmarshal([]byte(content), &k) == nil {
				strike(missing, k, "")
			}
		}
	}
	for field := range missing {
		t.Errorf("no tree has %s", field)
	}
}

// fieldsOf lists the paths of a type's fields, those of what it holds too.
func fieldsOf(of reflect.Type, at string) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for field := range fields(of) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && (field.Anonymous || strings.Contains(options, "inline")):
			out = append(out, fieldsOf(field.Type, at)...)
		default:
			out = append(out, at+name)
			out = append(out, fieldsOf(field.Type, at+name+".")...)
		}
	}
	return out
}

func fields(of reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range of.NumField() {
			if !yield(of.Field(i)) {
				return
			}
		}
	}
}

// strike takes the fields of a value off the list.
func strike(missing map[string]bool, value any, at string) {
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			delete(missing, at+name)
			strike(missing, child, at+name+".")
		}
	case []any:
		for _, child := range value {
			strike(missing, child, at)
		}
	}
}
