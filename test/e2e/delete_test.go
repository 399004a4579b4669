package e2e

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// A confirmed deletion of an App is one of its objects, whatever goes with it: its Placement, which by itself would leave
// them or end them, and its Source.
func TestDeletedFileTakesItsObjectsOutOfEveryCluster(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	for _, onUnmatch := range []string{"Orphan", "Prune"} {
		t.Run(onUnmatch, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, fleet)
			objects := strings.NewReplacer("NAMESPACE", a.namespace, "URL", a.url).Replace(declared) + "  onUnmatch: " + onUnmatch + "\n"
			a.apply(objects)
			a.settle()
			refused := fleet.FleetctlWith(t.Context(), objects, "delete", "-f", "-")
			if refused.Code != 2 || !strings.Contains(refused.Stderr, "--confirm=3") {
				t.Errorf("without a confirmation: %v", refused.Err())
			}
			out := fleet.FleetctlWith(t.Context(), objects, "delete", "-f", "-", "--wait", "--timeout", patience.String(), "--confirm", fmt.Sprint(len(fleet.Members)), "-n", a.namespace)
			if err := out.Err(); err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				"kustomization.kustomize.toolkit.fluxcd.io/app deleted\nplacement.fleet.flotilla.dev/app deleted\ngitrepository.source.toolkit.fluxcd.io/app deleted\n",
				"kustomization.kustomize.toolkit.fluxcd.io/app condition met\n",
			} {
				if !strings.Contains(out.Stdout, line) {
					t.Errorf("stdout does not say %q:\n%s", line, out.Stdout)
				}
			}
			for _, m := range fleet.Members { // without waiting: fleetctl has
				if got := a.names(m); len(got) > 0 {
					t.Errorf("%s still has %v", m.Name(), got)
				}
			}
			for _, ref := range []string{"ks/app", "placement/app", "gitrepo/app", "ks/app@*"} {
				if out := fleet.Fleetctl(t.Context(), "get", ref, "-n", a.namespace); out.Code != 3 {
					t.Errorf("get %s: exit code %d: %s%s", ref, out.Code, out.Stdout, out.Stderr)
				}
			}
		})
	}
}
