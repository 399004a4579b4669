package takeover

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// held is an object of Flux's that says why it is on hold; empty: it is not.
func held(name, why string, suspended bool) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": "apps", "name": name, "annotations": map[string]any{"hold": why}}, "spec": map[string]any{"suspend": suspended},
	}}
}

func TestWhateverIsOnHoldIsToldOnceForEachChange(t *testing.T) {
	t.Parallel()
	told := 0
	w := New(Config{
		Origin: func(*unstructured.Unstructured) string { return "" }, Synced: func() {},
		Held: func(o metav1.Object) string { return o.GetAnnotations()["hold"] }, HoldChanged: func() { told++ },
	})
	watching, stop := context.WithCancel(t.Context())
	w.stop = stop
	app := fleet.Key{Namespace: "apps", Name: "app"}
	w.replace(watching, map[objectName]object{})
	for _, step := range []struct {
		what string
		do   func()
		want string
		told int
	}{
		{"one that is suspended is on hold", func() { w.event(watching, watch.Added, held("app", "maintenance", true)) }, "maintenance", 1},
		{"nothing about it changes", func() { w.event(watching, watch.Modified, held("app", "maintenance", true)) }, "maintenance", 1},
		{"it is not suspended any more", func() { w.event(watching, watch.Modified, held("app", "maintenance", false)) }, "maintenance", 1},
		{"the reason is another", func() { w.event(watching, watch.Modified, held("app", "a fair", false)) }, "a fair", 2},
		{"another object is there", func() { w.event(watching, watch.Added, held("other", "", false)) }, "a fair", 2},
		{"it is deleted", func() { w.event(watching, watch.Deleted, held("app", "a fair", false)) }, "", 3},
		{"it is there again", func() { w.event(watching, watch.Added, held("app", "true", false)) }, "true", 4},
		{"its definition goes", w.Absent, "", 5},
	} {
		step.do()
		if got := w.HeldBy(app); got != step.want || told != step.told {
			t.Errorf("%s: on hold by %q, told %d times; want %q, %d", step.what, got, told, step.want, step.told)
		}
	}
}
