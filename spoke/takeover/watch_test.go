package takeover

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
)

// An event can be under way when the definition goes.
func TestAnEventAfterTheDefinitionWentIsNotTakenIn(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	watching, stop := context.WithCancel(t.Context())
	w.stop = stop
	w.Absent()
	w.event(watching, watch.Added, &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": "apps", "name": "app"}}})
	if managed, _ := w.Manages(fleet.Key{Namespace: "apps", Name: "app"}); managed {
		t.Error("Flux manages what it has no kind for")
	}
}

// A definition can be gone before its Kustomizations were ever listed.
func TestADefinitionThatComesAndGoesLeavesNoAppWaiting(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	w.Present()
	w.Absent()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Await(ctx); err != nil {
		t.Errorf("it is waited for what Flux manages: %v", err)
	}
}
