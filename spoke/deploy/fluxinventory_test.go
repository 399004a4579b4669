package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func (b *bundle) clusterRole(name string) string {
	return fmt.Sprintf(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"%s:%s"},"rules":[]}`, b.namespace, name)
}

// suspended makes Flux's object and suspends it, and the engine knows of both.
func (f *fluxOracle) suspended() {
	f.Helper()
	f.declare(false)
	f.eventually("the App is refused", func() error {
		if managed, err := f.engine.ManagedByFlux(f.Context(), f.app); err != nil || !managed {
			return fmt.Errorf("managed %t, error %w", managed, err)
		}
		return nil
	})
	f.patch(kustomizations, "app", "flux", `{"spec":{"suspend":true}}`)
	f.eventually("the App is not refused any more", func() error {
		if managed, err := f.engine.ManagedByFlux(f.Context(), f.app); err != nil || managed {
			return fmt.Errorf("managed %t, error %w", managed, err)
		}
		return nil
	})
}

func TestTheRefusalSaysHowToSuspend(t *testing.T) {
	b := newBundle(t).start()
	b.underFlux()
	err := b.try(b.target(b.configMap("a", "1")))
	want := "deploy Kustomization/" + b.namespace + "/app: conflict: a Flux Kustomization of this name in the cluster is not suspended; " +
		"to let Flotilla take over: flux suspend kustomization app -n " + b.namespace
	if !errors.Is(err, deploy.ErrManagedByFlux) || err.Error() != want {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatFluxHasAndTheManifestHasNotIsPruned(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	objects := append(b.configMapsNamed("stays", "goes", "other"), b.clusterRole("read:all"))
	kept := numbered("kept", 6) // so many that the guard would hold their deletion
	for _, name := range kept {
		objects = append(objects, b.configMap(name, "1", annotations("kustomize.toolkit.fluxcd.io/prune", "disabled")))
	}
	flux.reconcile(objects...)
	b.patch(configMaps, "other", "someone", `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":"other"}}}`)
	flux.inventory = append(flux.inventory, fluxEntry{b.namespace + "_never-there__ConfigMap", "v1"}, fluxEntry{"_x_nowhere.example.com_Widget", "v1"})
	flux.suspended()

	b.deploy(b.configMap("stays", "1"))
	if held := b.status().HeldPrune; held != nil {
		t.Fatalf("held is %+v", held)
	}
	if b.get(configMaps, "goes") != nil || b.getIn("", clusterRoles, b.namespace+":read:all") != nil {
		t.Error("what Git has no more is there")
	}
	for _, name := range append(kept, "stays", "other") {
		if b.get(configMaps, name) == nil {
			t.Errorf("%s is gone", name)
		}
	}
	if lines := strings.Split(strings.TrimSpace(b.entries()), "\n"); len(lines) != 1 {
		t.Errorf("the inventory is %q", lines)
	}
	if n := len(b.eventsOf("TakenOver")); n != 1 {
		t.Errorf("%d events say what was taken over", n)
	}
	b.delete(kustomizations, "app")
	if err := b.try(b.target(b.configMap("stays", "2"))); err != nil {
		t.Error(err)
	}
	b.value(configMaps, "stays", "2", "data", "key")
}

func TestWhatFluxHadIsUnderTheGuard(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	flux.reconcile(b.configMapsNamed(append(numbered("goes", 6), "stays")...)...)
	flux.suspended()
	target := b.deploy(b.configMap("stays", "1"))
	held := b.status().HeldPrune
	if held == nil || held.Count != 6 || len(b.owned(configMaps)) != 7 {
		t.Fatalf("held is %+v, there are %v", held, b.owned(configMaps))
	}
	b.delete(kustomizations, "app") // what is held does not depend on it
	b.start()
	target.ApprovedPrune = held.Digest
	if err := b.try(target); err != nil || len(b.owned(configMaps)) != 1 {
		t.Errorf("there are %v, error %v", b.owned(configMaps), err)
	}
}

func TestWithoutPruneWhatFluxHadStays(t *testing.T) {
	b := newBundle(t).start()
	b.release.Prune = false
	flux := b.oracle()
	flux.reconcile(b.configMapsNamed("a", "b")...)
	flux.suspended()
	b.deploy(b.configMap("a", "1"))
	if b.get(configMaps, "b") == nil || strings.Contains(b.entries(), `"b"`) {
		t.Fatalf("it is gone, or in the inventory: %s", b.entries())
	}
	// It was let go, so it stays when the App begins to prune, in whatever order things come.
	b.start()
	b.release.Prune = true
	b.deploy(b.configMap("a", "2"))
	if b.get(configMaps, "b") == nil {
		t.Error("what the App had let go is deleted")
	}
}

func TestAFluxObjectWithoutAnInventoryIsTakenOver(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	objects := b.configMapsNamed("a", "b")
	flux.reconcile(objects...)
	flux.inventory = nil
	flux.suspended()
	before := flux.live(objects...)
	b.deploy(objects...)
	for name, now := range flux.live(objects...) {
		if now != before[name] {
			t.Errorf("%s was %s and is %s", name, before[name], now)
		}
	}
	b.deploy(objects[:1]...)
	if b.get(configMaps, "b") != nil {
		t.Error("it is not the App's")
	}
}

// The first pass fails, and the suspended object is deleted meanwhile.
func TestWhatIsTakenOverOutlivesAFailedPassAndTheFluxObject(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	flux.reconcile(b.configMapsNamed("stays", "goes")...)
	flux.suspended()
	bad := fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":%q},"spec":{"ports":[{"port":99999}]}}`, b.namespace)
	if err := b.try(b.target(b.configMap("stays", "1"), bad)); !errors.Is(err, fleet.ErrInvalid) {
		t.Fatalf("error %v", err)
	}
	b.delete(kustomizations, "app")
	b.start()
	b.deploy(b.configMap("stays", "1"))
	if b.get(configMaps, "goes") != nil {
		t.Error("it is without an owner")
	}
}

// A reconciliation that was under way when Flux was suspended ends after the take-over.
func TestWhatFluxNotesAfterTheTakeoverIsTakenInToo(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	flux.reconcile(b.configMap("stays", "1"))
	flux.suspended()
	b.deploy(b.configMap("stays", "1"))
	flux.reconcile(b.configMapsNamed("stays", "late")...)
	b.patch(kustomizations, "app", "kustomize-controller", fmt.Sprintf(
		`{"status":{"inventory":{"entries":[{"id":"%[1]s_stays__ConfigMap","v":"v1"},{"id":"%[1]s_late__ConfigMap","v":"v1"}]}}}`, b.namespace))
	b.eventually("it is in the inventory", func() error {
		if entries := b.entries(); !strings.Contains(entries, `"late"`) {
			return fmt.Errorf("that is %s", entries)
		}
		return nil
	})
	b.delete(kustomizations, "app")
	b.deploy(b.configMap("stays", "1"))
	if b.get(configMaps, "late") != nil {
		t.Error("it is without an owner")
	}
}

func TestAnInventoryThatCannotBeReadSaysHowToGoOn(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	flux.reconcile(b.configMap("a", "1"))
	flux.inventory = []fluxEntry{{"a_ConfigMap", "v1"}}
	flux.suspended()
	target := b.target(b.configMap("a", "2"))
	err := b.try(target)
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "status.inventory.entries[0]") || !strings.Contains(err.Error(), "delete the suspended Kustomization") {
		t.Fatalf("error %v", err)
	}
	b.value(configMaps, "a", "1", "data", "key")
	b.delete(kustomizations, "app")
	b.eventually("it goes on", func() error { return b.try(target) })
	b.value(configMaps, "a", "2", "data", "key")
}

// Beside the drift watch's, the requests of a take-over are dry-runs, applies and no other.
func TestATakeoverAsksForDryRunsAndApplies(t *testing.T) {
	b := newBundle(t).start()
	flux := b.oracle()
	objects := b.configMapsNamed(numbered("cm", 20)...)
	flux.reconcile(objects...)
	flux.suspended()
	target := b.target(objects...)
	made := b.requests(func() {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	}).Where(func(r labRequest) bool { return r.Verb != "list" && r.Verb != "watch" })
	dry := made.Where(func(r labRequest) bool { return r.DryRun })
	if len(made) != 40 || len(dry) != 20 || slices.ContainsFunc(made, func(r labRequest) bool { return r.Verb != "patch" || r.FieldManager != "kustomize-controller" }) {
		t.Errorf("the requests are %v", made)
	}
}
