package flux_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

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
		flux.Silent:    "nowhere: taken, and says nothing, as in Flux",
		flux.Refused:   "nowhere: refused, with what to do instead",
	}
	var out strings.Builder
	out.WriteString("# The spec fields of Flux's kinds\n\nWritten from fields.go by `go test ./pkg/flux -run TheWrittenTable -update`.\n")
	table := func(kind, apiVersion string, fields []flux.Field) {
		fmt.Fprintf(&out, "\n## %s\n\n`%s`\n", kind, apiVersion)
		out.WriteString("\n| field | where it acts | proved by |\n|---|---|---|\n")
		for _, f := range fields {
			tests := strings.Fields(f.Test)
			for i, test := range tests {
				tests[i] = "`" + test + "`"
			}
			where := acts[f.Place]
			if note := flux.Notes[kind+"."+f.Path]; note != "" {
				where += "; " + note
			}
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", f.Path, where, strings.Join(tests, ", "))
		}
	}
	table("Kustomization", flux.KustomizeAPIVersion, flux.KustomizationFields)
	table("HelmRelease", flux.HelmAPIVersion, flux.HelmReleaseFields)
	table("GitRepository", flux.SourceAPIVersion, flux.GitRepositoryFields)
	table("OCIRepository", flux.SourceAPIVersion, flux.OCIRepositoryFields)
	table("Bucket", flux.SourceAPIVersion, flux.BucketFields)
	table("HelmRepository", flux.SourceAPIVersion, flux.HelmRepositoryFields)
	table("HelmChart", flux.SourceAPIVersion, flux.HelmChartFields)
	table("ExternalArtifact", flux.SourceAPIVersion, flux.ExternalArtifactFields)
	table("Receiver", flux.NotificationAPIVersion, flux.ReceiverFields)
	return out.String()
}

func TestEveryNoteIsOfAFieldThatIsWritten(t *testing.T) {
	t.Parallel()
	for field, note := range flux.Notes {
		_, path, _ := strings.Cut(field, ".")
		if n := strings.Count(written(), "| `"+path+"` |"); n == 0 || !strings.Contains(written(), "; "+note+" |") {
			t.Errorf("the note of %s is not in the tables", field)
		}
	}
}

// The version of Flux's API whose fields these are is that of the module in go.mod.
func TestEveryFieldThatFluxHasStandsInTheTable(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		spec  reflect.Type // Flux's
		table []flux.Field
	}{
		{reflect.TypeFor[kustomizev1.KustomizationSpec](), flux.KustomizationFields},
		{reflect.TypeFor[helmv2.HelmReleaseSpec](), flux.HelmReleaseFields},
		{reflect.TypeFor[sourcev1.GitRepositorySpec](), flux.GitRepositoryFields},
		{reflect.TypeFor[sourcev1.OCIRepositorySpec](), flux.OCIRepositoryFields},
		{reflect.TypeFor[sourcev1.BucketSpec](), flux.BucketFields},
		{reflect.TypeFor[sourcev1.HelmRepositorySpec](), flux.HelmRepositoryFields},
		{reflect.TypeFor[sourcev1.HelmChartSpec](), flux.HelmChartFields},
		{reflect.TypeFor[sourcev1.ExternalArtifactSpec](), flux.ExternalArtifactFields},
	} {
		var listed, has []string
		for _, field := range kind.table {
			listed = append(listed, field.Path)
		}
		for _, field := range reflect.VisibleFields(kind.spec) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name == "" {
				t.Errorf("field %s of %s has no JSON name: it is inlined, or Flux has changed", field.Name, kind.spec.Name())
			}
			has = append(has, name)
		}
		slices.Sort(listed)
		slices.Sort(has)
		if !slices.Equal(listed, has) {
			t.Errorf("%s: Flux has %v, the table %v", kind.spec.Name(), has, listed)
		}
	}
}

// Below the fields of a spec are others: ref.semver, verify.trustedRootSecretRef, include[].toPath.
func TestEveryFieldBelowASpecsIsOneOfFluxs(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct{ theirs, ours reflect.Type }{
		{reflect.TypeFor[helmv2.HelmReleaseSpec](), reflect.TypeFor[flux.HelmRelease]()},
		{reflect.TypeFor[sourcev1.GitRepositorySpec](), reflect.TypeFor[flux.GitRepository]()},
		{reflect.TypeFor[sourcev1.OCIRepositorySpec](), reflect.TypeFor[flux.OCIRepository]()},
		{reflect.TypeFor[sourcev1.BucketSpec](), reflect.TypeFor[flux.Bucket]()},
		{reflect.TypeFor[sourcev1.HelmRepositorySpec](), reflect.TypeFor[flux.HelmRepository]()},
		{reflect.TypeFor[sourcev1.HelmChartSpec](), reflect.TypeFor[flux.HelmChart]()},
		{reflect.TypeFor[sourcev1.ExternalArtifactSpec](), reflect.TypeFor[flux.ExternalArtifact]()},
	} {
		theirs, ours := paths(kind.theirs, "spec"), paths(kind.ours, "spec")
		if kind.ours.Name() == "HelmRelease" { // which shares types that have more with its HelmChart and its upgrades, and refuses that
			ours = slices.DeleteFunc(ours, func(path string) bool {
				return strings.HasPrefix(path, "spec.chart.spec.verify.matchOIDCIdentity") || path == "spec.chart.spec.verify.trustedRootSecretRef.name" ||
					path == "spec.install.remediation.strategy"
			})
			theirs = slices.Replace(theirs, slices.Index(theirs, "spec.values"), slices.Index(theirs, "spec.values")+1, "spec.values[]") // of any JSON
			slices.Sort(theirs)
		}
		if kind.ours.Name() == "HelmChart" { // which shares a type with OCIRepository, and refuses this
			ours = slices.DeleteFunc(ours, func(path string) bool { return path == "spec.verify.trustedRootSecretRef.name" })
		}
		if len(theirs) == 0 || !slices.Equal(theirs, ours) {
			t.Errorf("%s: Flux has\n%s\nand there are\n%s", kind.ours.Name(), strings.Join(theirs, "\n"), strings.Join(ours, "\n"))
		}
	}
}

// paths are those of all fields of a type, sorted. What encodes itself, a duration say, has none.
func paths(of reflect.Type, at string) []string {
	encoder := reflect.TypeFor[json.Marshaler]()
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
		if of.Kind() != reflect.Pointer {
			at += "[]"
		}
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.Implements(encoder) || reflect.PointerTo(of).Implements(encoder) {
		return []string{at}
	}
	var all []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			all = append(all, paths(field.Type, at)...)
		} else {
			all = append(all, paths(field.Type, at+"."+name)...)
		}
	}
	slices.Sort(all)
	return all
}
