package flux_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

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
	for _, f := range flux.NotYet {
		row(f, "refused by name for now")
	}
	return out.String()
}

// apiFields are the fields of KustomizationSpec in github.com/fluxcd/kustomize-controller/api v1.9.6, as their JSON names.
func apiFields(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/kustomization-v1.9.6.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data))
}

func TestEveryFieldThatFluxHasStandsInTheTable(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, field := range slices.Concat(flux.KustomizationFields, flux.NotYet) {
		listed = append(listed, field.Path)
	}
	has := apiFields(t)
	slices.Sort(listed)
	slices.Sort(has)
	if !slices.Equal(listed, has) {
		t.Errorf("Flux has %v, the table %v", has, listed)
	}
}
