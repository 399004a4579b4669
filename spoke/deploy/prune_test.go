package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func (b *bundle) configMapsNamed(names ...string) []string {
	objects := make([]string, len(names))
	for i, name := range names {
		objects[i] = b.configMap(name, "1")
	}
	return objects
}

// numbered returns n names.
func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	return names
}

func TestAManifestWithoutObjectsIsHeldUntilThatSetIsApproved(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed("a", "b")...)
	empty := b.target()
	if err := b.try(empty); err != nil {
		t.Fatal(err)
	}
	held := b.status().HeldPrune
	if held == nil || held.Count != 2 || held.Digest != fleet.PruneDigest(b.engine.Held(b.app)) {
		t.Fatalf("held is %+v of %v", held, b.engine.Held(b.app))
	}
	if len(b.owned(configMaps)) != 2 {
		t.Fatal("something was deleted")
	}
	if n := len(b.eventsOf(fleet.ReasonPruneHeld)); n != 1 {
		t.Errorf("%d events", n)
	}

	// The approval of another set does nothing; it is held across a restart.
	b.start()
	empty.ApprovedPrune = fleet.PruneDigest(b.engine.Held(b.app))
	if err := b.try(empty); err != nil || b.status().HeldPrune == nil || len(b.owned(configMaps)) != 2 {
		t.Fatalf("held is %+v, error %v", b.status().HeldPrune, err)
	}

	// Held objects are left alone: not corrected, not deleted.
	empty.ApprovedPrune = held.Digest
	if err := b.try(empty); err != nil {
		t.Fatal(err)
	}
	if b.status().HeldPrune != nil || len(b.owned(configMaps)) != 0 || len(b.inventory()) != 0 {
		t.Errorf("held %+v, objects %v, %d shards", b.status().HeldPrune, b.owned(configMaps), len(b.inventory()))
	}
}

func TestAnApprovalLapsesWhenTheSetChanges(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed(append(numbered("gone", 7), "stays", "goes-later")...)...)
	if err := b.try(b.target(b.configMapsNamed("stays", "goes-later")...)); err != nil {
		t.Fatal(err)
	}
	held := b.status().HeldPrune
	if held == nil || held.Count != 7 {
		t.Fatalf("held is %+v", held)
	}
	target := b.target(b.configMapsNamed("stays")...)
	target.ApprovedPrune = held.Digest
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	if now := b.status().HeldPrune; now == nil || now.Count != 8 || now.Digest == held.Digest || len(b.owned(configMaps)) != 9 {
		t.Errorf("held is %+v, objects %v", now, b.owned(configMaps))
	}
}

func TestPruneGuardRows(t *testing.T) {
	many := numbered("cm", 30)
	hashed := func(suffix string) (names []string) {
		for _, name := range numbered("gen", 8) {
			names = append(names, name+"-"+suffix)
		}
		return append(names, "stays")
	}
	for _, test := range []struct {
		name     string
		guard    string
		old, new []string
		held     int
	}{
		{name: "five of six may go", old: numbered("cm", 6), new: numbered("cm", 1)},
		{name: "six of seven may not", old: numbered("cm", 7), new: numbered("cm", 1), held: 6},
		{name: "a fifth may go", old: many, new: many[:24]},
		{name: "more than a fifth may not", old: many, new: many[:23], held: 7},
		{name: "objects created in their place do not count", old: many, new: slices.Concat(numbered("other", 9), many[:23]), held: 7},
		{name: "a new content hash is no loss", old: hashed("2456789bcd"), new: hashed("tmkhgfdcb9")},
		{name: "N allows N", guard: "2", old: numbered("cm", 9), new: numbered("cm", 7)},
		{name: "N holds more", guard: "2", old: numbered("cm", 9), new: numbered("cm", 6), held: 3},
		{name: "N% allows that much", guard: "50%", old: many, new: many[:15]},
		{name: "N% holds more", guard: "50%", old: many, new: many[:14], held: 16},
		{name: "off lets everything go", guard: "off", old: many, new: nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBundle(t).start()
			b.release.PruneGuard = test.guard
			b.deploy(b.configMapsNamed(test.old...)...)
			target := b.deploy(b.configMapsNamed(test.new...)...)
			for range 2 { // a retry must not make it lapse
				held := b.status().HeldPrune
				if test.held == 0 && held != nil || test.held != 0 && (held == nil || held.Count != test.held) {
					t.Fatalf("held is %+v, not %d", held, test.held)
				}
				if err := b.try(target); err != nil {
					t.Fatal(err)
				}
			}
			owned := b.owned(configMaps)
			if test.held == 0 && len(owned) != len(test.new) {
				t.Errorf("there are %v", owned)
			}
			for _, name := range slices.Concat(test.new, test.old[:min(test.held, 1)]) {
				if !owned["ConfigMap/"+name] {
					t.Errorf("%s is gone", name)
				}
			}
		})
	}
}

func TestHalfOfACommitIsUndoneWithoutAsking(t *testing.T) {
	b := newBundle(t)
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" && strings.HasSuffix(r.URL.Path, "/refused") {
			return http.StatusForbidden
		}
		return 0
	})
	b.start()
	first := b.deploy(b.configMapsNamed("a", "b")...)
	if err := b.try(b.target(append(b.configMapsNamed(append(numbered("new", 8), "a", "b")...), b.deployment("refused", ""))...)); err == nil {
		t.Fatal("nothing was refused")
	}
	if n := len(b.owned(configMaps)); n != 10 {
		t.Fatalf("there are %d", n)
	}
	if err := b.try(first); err != nil {
		t.Fatal(err)
	}
	if held := b.status().HeldPrune; held != nil || len(b.owned(configMaps)) != 2 {
		t.Errorf("held is %+v, there are %v", held, b.owned(configMaps))
	}
}

func TestWhatLeavesAndCannotBeLookedAtDoesNotUndoThePass(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("stays", "1"))
	b.cutAfter(1, true) // the inventory
	b.start()
	if err := b.try(b.target(b.configMap("stays", "1"), b.configMap("intended", "1"))); err == nil {
		t.Fatal("nothing was cut")
	}
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/intended") {
			return http.StatusForbidden
		}
		return 0
	})
	b.start()
	target := b.target(b.configMap("stays", "2"))
	if err := b.try(target); !errors.Is(err, deploy.ErrPrune) || !strings.Contains(err.Error(), "/intended") {
		t.Errorf("error %v", err)
	}
	if b.status().Applied != target.Release.Digest() {
		t.Errorf("status %+v", b.status())
	}
}

func TestPreciousAndProtectedObjectsAreHeld(t *testing.T) {
	b := newBundle(t).start()
	namespace := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%s-extra"}}`, b.namespace)
	t.Cleanup(func() {
		_ = b.typed.CoreV1().Namespaces().Delete(context.Background(), b.namespace+"-extra", metav1.DeleteOptions{}) // it may be gone
	})
	b.deploy(namespace, b.configMap("stays", "1"), b.configMap("safe", "1", annotations("fleet.flotilla.dev/protect", "true")))
	b.deploy(b.configMap("stays", "1"), b.configMap("safe", "1", annotations("fleet.flotilla.dev/protect", "true")))
	if held := b.status().HeldPrune; held == nil || !strings.Contains(held.Reason, "Namespace/") {
		t.Errorf("held is %+v", held)
	}
	b.deploy(namespace, b.configMap("stays", "1"))
	if held := b.status().HeldPrune; held == nil || !strings.Contains(held.Reason, "protected") {
		t.Errorf("held is %+v", held)
	}
	if !b.owned(configMaps)["ConfigMap/safe"] {
		t.Error("the protected object is gone")
	}
}

func TestPruneSpares(t *testing.T) {
	for _, test := range []struct {
		name  string
		prune bool
		meta  string
		edit  string
	}{
		{name: "everything when the App does not prune"},
		{name: "prune: disabled in the Manifest", prune: true, meta: annotations("kustomize.toolkit.fluxcd.io/prune", "Disabled")},
		{name: "prune: disabled set in the cluster", prune: true, edit: `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/prune":"disabled"}}}`},
		{name: "reconcile: disabled set in the cluster", prune: true, edit: `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}}}`},
		{name: "ssa: Ignore set in the cluster", prune: true, edit: `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/ssa":"ignore"}}}`},
		{name: "another App's object", prune: true, edit: `{"metadata":{"labels":{"kustomize.toolkit.fluxcd.io/name":"other"}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBundle(t).start()
			b.release.Prune = test.prune
			b.deploy(b.configMap("stays", "1"), b.configMap("spared", "1", test.meta))
			if test.edit != "" {
				b.engine.SetSuspended(b.app, true) // so that it is not put back
				b.patch(configMaps, "spared", "someone", test.edit)
			}
			b.deploy(b.configMap("stays", "1"))
			if b.get(configMaps, "spared") == nil {
				t.Fatal("it was deleted")
			}
			for _, shard := range b.inventory() {
				if strings.Contains(shard.Data["objects"], "spared") {
					t.Error("it is still in the inventory")
				}
			}
			made := b.requests(func() { b.deploy(b.configMap("stays", "1")) })
			if len(made) != 0 {
				t.Errorf("the next pass asked %v", made)
			}
		})
	}
}

func TestAStuckFinalizerDoesNotBlockThePass(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("stays", "1"), b.configMap("stuck", "1"))
	b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":["test.flotilla.dev/stuck"]}}`)
	b.deploy(b.configMap("stays", "2"))
	if object := b.get(configMaps, "stuck"); object == nil || object.GetDeletionTimestamp() == nil {
		t.Errorf("it is %v", object)
	}
	b.value(configMaps, "stays", "2", "data", "key")
	b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":null}}`)
	b.eventually("it is gone and stays so", func() error {
		if b.get(configMaps, "stuck") != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
	b.canary()
	if b.get(configMaps, "stuck") != nil {
		t.Error("it came back")
	}
}
