package e2e

import (
	"path/filepath"
	"strings"

	"flotilla.dev/flotilla/test/lab"
)

// byHand has a release forced, suspended and resumed, and one written by fleetctl declared.
func (a *app) byHand(m *lab.Member) {
	a.t.Helper()
	newest := func() int {
		a.t.Helper()
		versions, err := m.HelmVersions(a.t.Context(), a.namespace, "repo")
		if err != nil || len(versions) == 0 {
			a.t.Fatalf("%d versions, error %v", len(versions), err)
		}
		return versions[0].Version
	}
	before := newest()
	a.fleetctl("reconcile", "hr/repo", "--wait", "--timeout", patience.String())
	if now := newest(); now != before {
		a.t.Errorf("a look made version %d of version %d", now, before)
	}
	a.fleetctl("reconcile", "hr/repo", "--force", "--reset", "--wait", "--timeout", patience.String())
	if now := newest(); now != before+1 {
		a.t.Errorf("by force, version %d became version %d", before, now)
	}
	a.fleetctl("suspend", "hr/repo")
	a.refused(8, "it is suspended", "reconcile", "hr/repo", "--force")
	a.fleetctl("resume", "hr/repo", "--wait", "--timeout", patience.String())

	values := a.file(filepath.Join(a.t.TempDir(), "values.yaml"), "value: by hand\n")
	a.apply(a.fleetctl("create", "hr", "made", "--source", "HelmRepository/charts", "--chart", "web", "--values", values, "--export"))
	a.apply(strings.NewReplacer("NAMESPACE", a.namespace, "CLUSTER", m.Name()).Replace(`
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: made, namespace: NAMESPACE}
spec: {apps: [{kind: HelmRelease, name: made}], clusters: {names: [CLUSTER]}}
`))
	a.stands(m, "made", "Ready True", "by hand", "1.1.0")
	a.fleetctl("delete", "hr/made", "--wait", "--timeout", patience.String(), "--confirm", "1")
}
