package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestFileDeletedInGitGoesInEveryClusterAndNothingElse(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, bystander := newApp(t, fleet), newApp(t, fleet)
	a.push(map[string]string{"deploy/other.yaml": a.configMap("other", "1")})
	a.settle()
	bystander.settle()
	before, beside, tapes := map[*lab.Member]map[string]string{}, map[*lab.Member]map[string]string{}, map[*lab.Member]tape{}
	for _, m := range fleet.Members {
		before[m], beside[m], tapes[m] = a.objects(m), bystander.objects(m), a.record(m)
		delete(before[m], "other")
	}
	a.remove("deploy/other.yaml")
	a.settle()
	for _, m := range fleet.Members {
		if after := a.objects(m); !maps.Equal(after, before[m]) {
			t.Errorf("%s has %v, want %v", m.Name(), after, before[m])
		}
		if after := bystander.objects(m); !maps.Equal(after, beside[m]) {
			t.Errorf("%s: another App has %v, had %v", m.Name(), after, beside[m])
		}
		if got := tapes[m].deletes(); !slices.Equal(got, []string{"configmaps/other"}) {
			t.Errorf("%s: deleted were %v", m.Name(), got)
		}
	}
}

func TestCommitWithoutObjectsIsHeldUntilThatSetIsApproved(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a := newApp(t, fleet)
	a.settle()
	tapes := map[*lab.Member]tape{}
	for _, m := range fleet.Members {
		tapes[m] = a.record(m)
	}
	a.push(map[string]string{"deploy/kustomization.yaml": "resources: []\n"})
	a.lookNow()
	digest := a.heldEverywhere(2)
	a.saysHeld(digest)
	for _, m := range fleet.Members {
		if got := a.names(m); !slices.Equal(got, []string{"app"}) {
			t.Errorf("%s has %v", m.Name(), got)
		}
		if at := a.namespaceObject(m).DeletionTimestamp; at != nil {
			t.Errorf("%s: the namespace is being deleted", m.Name())
		}
		if got := tapes[m].deletes(); len(got) != 0 {
			t.Errorf("%s: deleted were %v", m.Name(), got)
		}
	}
	a.refused(2, "this has to be confirmed, and there is no terminal to ask at", "prune", "approve", "ks/app")
	a.refused(2, "-y is not enough here: the number of clusters has to be confirmed", "prune", "approve", "ks/app", "-y")
	a.refused(2, "not confirmed: --confirm says 1, and it is 3 clusters", "prune", "approve", "ks/app", "--confirm", "1")
	a.refused(3, "no such set of deletions of ks/app is held", "prune", "approve", "ks/app", "--digest", "sha256:"+strings.Repeat("0", 64), "--confirm", "3")

	a.fleetctl("prune", "approve", "ks/app", "--digest", digest, "--confirm", "3")
	for _, m := range fleet.Members {
		lab.Eventually(t, patience, "the objects go from "+m.Name(), func() error {
			if got := tapes[m].deletes(); !slices.Equal(got, []string{"configmaps/app", "namespaces/" + a.namespace}) {
				return fmt.Errorf("deleted were %v", got)
			}
			return nil
		})
		a.says("ks/app@"+m.Name(), "Ready", "True")
	}
	lab.Eventually(t, patience, "nothing is held any more", func() error {
		if shown := a.get("ks/app"); shown.condition("PruneHeld") != "" || shown.Status.Fleet.Held != 0 {
			return fmt.Errorf("%+v", shown.Status)
		}
		return nil
	})
	a.refused(3, "no such set of deletions of ks/app is held", "prune", "approve", "ks/app", "--digest", digest, "--confirm", "3")
}

// heldEverywhere waits until every cluster holds a prune of so many objects, the same one, and returns its digest.
func (a *app) heldEverywhere(objects int) (digest string) {
	a.t.Helper()
	for _, m := range a.fleet.Members {
		lab.Eventually(a.t, patience, m.Name()+" holds the prune", func() error {
			held := a.get("ks/app@" + m.Name()).Status.Fleet.PruneHeld
			if held == nil || held.Count != objects || digest != "" && held.Digest != digest {
				return fmt.Errorf("held is %+v, want %d objects %s", held, objects, digest)
			}
			digest = held.Digest
			return nil
		})
	}
	a.says("ks/app", "PruneHeld", "deletions are held in canary-1, prod-1, prod-2")
	return digest
}

// saysHeld checks what a person is told of a held prune of two objects: what is held, why, and what to do about it.
func (a *app) saysHeld(digest string) {
	a.t.Helper()
	approve := "fleetctl prune approve ks/app@prod-1 -n " + a.namespace + " --digest " + digest
	for _, test := range []struct {
		args  []string
		words []string
	}{
		{[]string{"get", "ks/app"}, []string{"PRUNE HELD in 3 clusters (fleetctl prune show ks/app -n " + a.namespace + ")"}},
		{[]string{"get", "ks/app@prod-1"}, []string{"PRUNE HELD: 2 objects (fleetctl prune show ks/app@prod-1 -n " + a.namespace + ")"}},
		{[]string{"describe", "ks/app"}, []string{"3 with prunes held", "ks/app@prod-1: prune held: 2 deletions: ", "ks/app@canary-1: prune held: 2 deletions: ", approve}},
		{[]string{"describe", "ks/app@prod-1"}, []string{"prune held: 2 deletions: ", approve}},
		{[]string{"prune", "show", "ks/app"}, []string{digest, "canary-1, prod-1, prod-2", "ConfigMap/" + a.namespace + "/app", "Namespace/" + a.namespace}},
	} {
		out := a.fleetctl(test.args...)
		for _, words := range test.words {
			if !strings.Contains(out, words) {
				a.t.Errorf("fleetctl %s does not say %q:\n%s", strings.Join(test.args, " "), words, out)
			}
		}
	}
}

func TestPathThatIsGoneIsAnErrorAndTheLastGoodStateStays(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	a, other := newApp(t, fleet), newApp(t, fleet)
	a.settle()
	before, tapes := map[*lab.Member]map[string]string{}, map[*lab.Member]tape{}
	for _, m := range fleet.Members {
		before[m], tapes[m] = a.objects(m), a.record(m)
	}
	if err := a.repo.Remove("deploy"); err != nil {
		t.Fatal(err)
	}
	log := since(fleet.Hub)
	a.push(map[string]string{"readme": "moved"})
	a.lookNow()
	a.named("ks/app", "path not found: deploy", log)
	other.goesOn("meanwhile")
	for _, m := range fleet.Members {
		a.patch(m, "app", "kubectl-edit", `{"data":{"value":"edited"}}`)
		a.data(m, "app", map[string]string{"value": "first"})
		after := a.objects(m)
		delete(before[m], "app") // which was put back
		delete(after, "app")
		if !maps.Equal(after, before[m]) {
			t.Errorf("%s has %v, had %v", m.Name(), after, before[m])
		}
		if got := tapes[m].deletes(); len(got) != 0 {
			t.Errorf("%s: deleted were %v", m.Name(), got)
		}
	}
	a.push(map[string]string{"deploy/app.yaml": a.configMap("app", "back"), "deploy/namespace.yaml": a.namespaceFile()})
	a.settle()
	a.data(fleet.Members[0], "app", map[string]string{"value": "back"})
}
