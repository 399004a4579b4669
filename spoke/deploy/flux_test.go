package deploy_test

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/spoke/deploy"
)

var kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}

const fluxDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"kustomizations.kustomize.toolkit.fluxcd.io"},
	"spec":{"group":"kustomize.toolkit.fluxcd.io","scope":"Namespaced","names":{"plural":"kustomizations","singular":"kustomization","kind":"Kustomization"},
	"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

func TestAnAppThatFluxManagesIsRefusedUntilItIsSuspended(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1")) // no Flux so far
	if err := b.create(crds, fluxDefinition); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
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
