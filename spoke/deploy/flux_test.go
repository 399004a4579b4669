package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

var kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}

const fluxDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"kustomizations.kustomize.toolkit.fluxcd.io"},
	"spec":{"group":"kustomize.toolkit.fluxcd.io","scope":"Namespaced","names":{"plural":"kustomizations","singular":"kustomization","kind":"Kustomization"},
	"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

func TestAnAppThatFluxManagesIsRefusedUntilItIsSuspended(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1")) // no Flux so far
	b.underFlux()
	if err := b.try(b.target(b.configMap("a", "2"))); !errors.Is(err, deploy.ErrManagedByFlux) {
		t.Fatalf("error %v", err)
	}
	b.value(configMaps, "a", "1", "data", "key")
	b.patch(configMaps, "a", "kustomize-controller", `{"data":{"key":"3"}}`)
	b.moved("a")
	b.canary()
	b.value(configMaps, "a", "3", "data", "key") // nor is drift corrected

	b.start() // known at once after a restart
	if err := b.try(b.target(b.configMap("a", "2"))); !errors.Is(err, deploy.ErrManagedByFlux) {
		t.Errorf("error %v", err)
	}
	b.patch(kustomizations, "app", "kubectl", `{"spec":{"suspend":true}}`)
	b.eventually("it is deployed", func() error { return b.try(b.target(b.configMap("a", "2"))) })
	b.value(configMaps, "a", "2", "data", "key")
	if err := b.client.Resource(kustomizations).Namespace(b.namespace).Delete(b.Context(), "app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("it is deployed again", func() error { return b.try(b.target(b.configMap("a", "3"))) })
}

// defineFlux gives the cluster Flux's Kustomizations, if no other test has.
func (b *bundle) defineFlux() {
	b.Helper()
	if err := b.create(crds, fluxDefinition); err != nil && !apierrors.IsAlreadyExists(err) {
		b.Fatal(err)
	}
}

// underFlux has a Flux manage an App of the test's, and the engine know it.
func (b *bundle) underFlux() {
	b.Helper()
	b.defineFlux()
	b.eventually("the Flux object is there", func() error {
		return b.create(kustomizations, fmt.Sprintf(
			`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":%q},"spec":{"path":"./"}}`, b.namespace))
	})
	b.eventually("it is known", func() error {
		if managed, err := b.engine.ManagedByFlux(b.Context(), b.app); err != nil || !managed {
			return fmt.Errorf("managed %t, error %w", managed, err)
		}
		return nil
	})
}

func TestWhatFluxManagesIsNotDeletedAndMayBeOrphaned(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMapsNamed("a", "b")...)
	b.underFlux()
	if done, err := b.tryRemove(fleet.Tombstone{Delete: true, Confirmed: true}, fleet.Digest{}); done || !errors.Is(err, deploy.ErrManagedByFlux) {
		t.Errorf("done: %t, error %v", done, err)
	}
	if owned := b.owned(configMaps); len(owned) != 2 {
		t.Fatalf("there are %v", owned)
	}
	if !b.remove(fleet.Tombstone{}, fleet.Digest{}) || len(b.owned(configMaps)) != 2 || len(b.inventory()) != 0 {
		t.Errorf("there are %v, the inventory is %s", b.owned(configMaps), b.entries())
	}
}

func TestNothingIsPutBackBeforeItIsKnownWhatFluxManages(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"))
	b.underFlux()
	b.kill()
	b.patch(configMaps, "a", "kustomize-controller", `{"data":{"key":"2"}}`)

	var blocked atomic.Bool
	blocked.Store(true)
	b.intercept(func(r *http.Request) int {
		if strings.HasSuffix(r.URL.Path, "/"+kustomizations.Resource) && blocked.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	sent := b.tap()
	b.start()
	b.load(target)
	b.moved("a")
	b.eventually("it is said why a pass has to wait", func() error {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := b.engine.Deploy(ctx, target); err == nil || !strings.Contains(err.Error(), "Kustomizations") || !strings.Contains(err.Error(), "made up") {
			return fmt.Errorf("the error is %v", err)
		}
		return nil
	})
	b.patch(kustomizations, "app", "kubectl", `{"spec":{"suspend":true}}`)
	if made := sent.all(); len(made) > 0 {
		t.Errorf("before it was known there were %v", made)
	}
	blocked.Store(false)
	b.value(configMaps, "a", "1", "data", "key")
}
