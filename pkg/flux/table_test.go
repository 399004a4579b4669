package flux_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"

	"flotilla.dev/flotilla/pkg/flux"
)

var update = flag.Bool("update", false, "write FIELDS.md anew")

func TestTheWrittenTableOfFieldsIsTheOneOfTheCode(t *testing.T) {
	t.Parallel()
	const name = "FIELDS.md"
	want := written()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s is not what the tables say: go test ./pkg/flux -run %s -update (error %v)", name, t.Name(), err)
	}
}

// written is the table for people.
func written() string {
	acts := map[flux.Place]string{
		flux.AtBuild:   "build: what is built at the hub is another",
		flux.InRelease: "release: rolled out, acts in the clusters",
		flux.Control:   "control: acts in all clusters at once, with no new Release",
		flux.AtHub:     "hub: acts at the hub alone",
	}
	var out strings.Builder
	out.WriteString("# The spec fields of a Kustomization\n\nFlux's `kustomize.toolkit.fluxcd.io/v1`. Written from fields.go by `go test ./pkg/flux -run TheWrittenTable -update`.\n")
	out.WriteString("\n| field | where it acts | proved by |\n|---|---|---|\n")
	row := func(f flux.Field, proof string) {
		fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.Path, acts[f.Place], proof)
	}
	for _, f := range flux.KustomizationFields {
		tests := strings.Fields(f.Test)
		for i, test := range tests {
			tests[i] = "`" + test + "`"
		}
		row(f, strings.Join(tests, ", "))
	}
	return out.String()
}

// The version of Flux's API whose fields these are is that of the module in go.mod.
func TestEveryFieldThatFluxHasStandsInTheTable(t *testing.T) {
	t.Parallel()
	var listed, has []string
	for _, field := range flux.KustomizationFields {
		listed = append(listed, field.Path)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[kustomizev1.KustomizationSpec]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			t.Errorf("field %s has no JSON name: it is inlined, or Flux has changed", field.Name)
		}
		has = append(has, name)
	}
	slices.Sort(listed)
	slices.Sort(has)
	if !slices.Equal(listed, has) {
		t.Errorf("Flux has %v, the table %v", has, listed)
	}
}
