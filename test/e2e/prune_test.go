package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestFileDeletedInGitGoesInEveryClusterAndNothingElse(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.push(map[string]string{"deploy/other.yaml": a.configMap("other", "1")})
	a.settle()
	before := map[string]map[string]string{}
	for _, m := range fleet.Members {
		before[m.Name()] = a.objects(m)
	}
	if err := a.repo.Remove("deploy/other.yaml"); err != nil {
		t.Fatal(err)
	}
	a.push(nil)
	a.settle()
	for _, m := range fleet.Members {
		after := a.objects(m)
		if _, there := after["other"]; there || after["app"] != before[m.Name()]["app"] {
			t.Errorf("%s: %v before, %v after", m.Name(), before[m.Name()], after)
		}
	}
}

func TestCommitWithoutObjectsIsHeldUntilThatSetIsApproved(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	a.push(map[string]string{"deploy/kustomization.yaml": "resources: []\n"})
	a.lookNow()
	a.says("ks/app", "PruneHeld", "deletions are held")
	for _, m := range fleet.Members {
		a.says("ks/app@"+m.Name(), "PruneHeld", "2 objects would be deleted")
		if got := a.names(m); !slices.Equal(got, []string{"app"}) {
			t.Errorf("%s has %v", m.Name(), got)
		}
	}
	if described := a.fleetctl("describe", "ks/app"); !strings.Contains(described, "prune") {
		t.Errorf("describe does not speak of the prune:\n%s", described)
	}
	show := a.fleetctl("prune", "show", "ks/app")
	for _, object := range []string{"ConfigMap/" + a.namespace + "/app", "Namespace/" + a.namespace} {
		if !strings.Contains(show, object) {
			t.Errorf("prune show does not name %s:\n%s", object, show)
		}
	}
	if out := fleet.Fleetctl(t.Context(), "prune", "approve", "ks/app", "--confirm", "1", "-n", a.namespace); out.Err() == nil {
		t.Error("approved for one cluster, where three hold it")
	}
	a.fleetctl("prune", "approve", "ks/app", "--confirm", fmt.Sprint(len(fleet.Members)))
	lab.Eventually(t, patience, "the objects go", func() error {
		for _, m := range fleet.Members {
			if got := a.names(m); len(got) > 0 {
				return fmt.Errorf("%s has %v", m.Name(), got)
			}
		}
		return nil
	})
}

func TestPathThatIsGoneIsAnErrorAndTheLastGoodStateStays(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	if err := a.repo.Remove("deploy"); err != nil {
		t.Fatal(err)
	}
	a.push(map[string]string{"readme": "moved"})
	a.lookNow()
	a.says("ks/app", "Ready", "path not found")
	for _, m := range fleet.Members {
		if got := a.names(m); !slices.Equal(got, []string{"app"}) {
			t.Errorf("%s has %v", m.Name(), got)
		}
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "back"), "deploy/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + a.namespace + "\n"})
	a.settle()
	a.data(fleet.Members[0], "app", map[string]string{"value": "back"})
}

func TestDeletedAppFollowsItsPolicy(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	for _, test := range []struct {
		name  string
		args  []string
		stays bool
	}{
		{"as its spec says, which prunes", nil, false},
		{"orphan", []string{"--policy", "orphan"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, fleet)
			a.settle()
			refused := fleet.Fleetctl(t.Context(), append([]string{"delete", "ks/app", "-n", a.namespace}, test.args...)...)
			if !test.stays && refused.Err() == nil {
				t.Error("deleted without a confirmation")
			}
			if !test.stays {
				a.fleetctl(append([]string{"delete", "ks/app", "--wait", "--confirm", fmt.Sprint(len(fleet.Members))}, test.args...)...)
			}
			for _, m := range fleet.Members {
				lab.Eventually(t, patience, "the App is gone from "+m.Name(), func() error {
					out := fleet.Fleetctl(t.Context(), "get", "ks/app@"+m.Name(), "-n", a.namespace)
					if out.Err() == nil {
						return fmt.Errorf("still there: %s", out.Stdout)
					}
					if got := a.names(m); slices.Contains(got, "app") != test.stays {
						return fmt.Errorf("%s has %v", m.Name(), got)
					}
					return nil
				})
			}
		})
	}
}

func TestClusterThatNoLongerMatchesKeepsItsObjectsUnlessThePlacementPrunes(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	left := fleet.Members[0]
	placement := func(onUnmatch string, names ...string) string {
		list, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"app","namespace":%q},
			"spec":{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"names":%s},"onUnmatch":%q}}`, a.namespace, list, onUnmatch)
	}
	all := []string{fleet.Members[0].Name(), fleet.Members[1].Name(), fleet.Members[2].Name()}
	a.fleetctlWith(placement("Orphan", all[1:]...), "apply", "-f", "-")
	gone := func() {
		t.Helper()
		lab.Eventually(t, patience, "the App leaves the cluster", func() error {
			if out := fleet.Fleetctl(t.Context(), "get", "ks/app@"+left.Name(), "-n", a.namespace); out.Err() == nil {
				return fmt.Errorf("still there: %s", out.Stdout)
			}
			return nil
		})
	}
	gone()
	if got := a.names(left); !slices.Equal(got, []string{"app"}) {
		t.Errorf("orphaned cluster has %v", got)
	}
	a.fleetctlWith(placement("Prune", all...), "apply", "-f", "-")
	a.settle()
	a.fleetctlWith(placement("Prune", all[1:]...), "apply", "-f", "-", "--confirm", "1")
	gone()
	lab.Eventually(t, patience, "the objects go", func() error {
		if got := a.names(left); len(got) != 0 {
			return fmt.Errorf("has %v", got)
		}
		return nil
	})
	if got := a.names(fleet.Members[1]); !slices.Equal(got, []string{"app"}) {
		t.Errorf("another cluster has %v", got)
	}
}
