package resource_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/resource"
)

// What of a HelmRelease's metadata, and of its chart's, could not be kept is refused when it is declared.
func TestAHelmReleaseSaysWhatIsWrongBesideItsSpec(t *testing.T) {
	t.Parallel()
	of := func(name, annotation, chart string) string {
		return `{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"` + name + `","namespace":"apps","annotations":{` + annotation + `}},
			"spec":{"interval":"1m","chart":{"metadata":{` + chart + `},"spec":{"chart":"web","sourceRef":{"kind":"HelmRepository","name":"charts"}}}}}`
	}
	for name, test := range map[string]struct{ object, want string }{
		"all of it":              {of("web", `"fleet.flotilla.dev/substitute-values":"enabled","fleet.flotilla.dev/depends-on":"Kustomization/apps/db"`, `"labels":{"a":"b"},"annotations":{"example.com/c":"d e"}`), ""},
		"a prune guard":          {of("web", `"fleet.flotilla.dev/prune-guard":"10%"`, ""), "metadata.annotations[fleet.flotilla.dev/prune-guard]: is for a Kustomization"},
		"no way to substitute":   {of("web", `"fleet.flotilla.dev/substitute-values":"yes"`, ""), `metadata.annotations[fleet.flotilla.dev/substitute-values]: "yes" is not enabled or disabled`},
		"no dependency":          {of("web", `"fleet.flotilla.dev/depends-on":"db"`, ""), `metadata.annotations[fleet.flotilla.dev/depends-on]: "db" is not HelmRelease/NAMESPACE/NAME`},
		"a name for no chart":    {of(strings.Repeat("w", 250), "", ""), "metadata.name: is too long for the HelmChart"},
		"no label of its chart":  {of("web", "", `"labels":{"a":"b c"}`), `spec.chart.metadata.labels[a]: "b c" is not a label value`},
		"a request of its chart": {of("web", "", `"annotations":{"reconcile.fluxcd.io/requestedAt":"now"}`), "spec.chart.metadata.annotations[reconcile.fluxcd.io/requestedAt]: is the hub's own"},
		"a mark of the hub":      {of("web", "", `"annotations":{"fleet.flotilla.dev/with-source":"now"}`), "spec.chart.metadata.annotations[fleet.flotilla.dev/with-source]: is the hub's own"},
	} {
		_, err := resource.Decode([]byte(test.object))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
