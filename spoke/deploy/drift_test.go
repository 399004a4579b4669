package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/spoke/apply"
)

// TestDriftCases plays the cases that every kind has, on each kind, on an object of its own. The whole table of cases,
// with the tests of the others, is in spoke/drift/DESIGN.md.
func TestDriftCases(t *testing.T) {
	b := newBundle(t)
	cases := []struct {
		name string
		only string // a kind
		do   func(b *bundle, k driftKind)
	}{
		{name: "an owned field changed by a patch is put back", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "someone", k.edit)
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "an owned field changed with kubectl is put back", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "kubectl-edit", k.edit)
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "an owned field removed is put back", do: func(b *bundle, k driftKind) {
			remove := fmt.Sprintf("%q:null", k.owned[len(k.owned)-1])
			for i := len(k.owned) - 2; i >= 0; i-- {
				remove = fmt.Sprintf("%q:{%s}", k.owned[i], remove)
			}
			b.patch(k.resource, "it", "someone", "{"+remove+"}")
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "an owned field taken by a forced apply of another manager is put back", do: func(b *bundle, k driftKind) {
			object := b.skeleton(k, k.edit)
			if err := b.apply(k.resource, "it", "someone", object, true); err != nil {
				b.Fatal(err)
			}
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "an apply of another manager that is not forced is refused, and nothing is done", do: func(b *bundle, k driftKind) {
			before := b.entry(k)
			if err := b.apply(k.resource, "it", "someone", b.skeleton(k, k.edit), false); !apierrors.IsConflict(err) {
				b.Fatalf("error %v", err)
			}
			b.stays(k, b.get(k.resource, "it"), k.want, k.owned...)
			b.sameEntry(k, before)
		}},
		{name: "an apply of another manager with our values shares them", do: func(b *bundle, k driftKind) {
			before := b.entry(k)
			if err := b.apply(k.resource, "it", "someone", b.sameWith(k, `{}`), false); err != nil {
				b.Fatal(err)
			}
			b.stays(k, b.get(k.resource, "it"), k.want, k.owned...)
			b.sameEntry(k, before)
			if !slices.ContainsFunc(b.get(k.resource, "it").GetManagedFields(), managedBy("someone")) {
				b.Error("they do not own it too")
			}
		}},
		{name: "a field set with kubectl that we do not set goes", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "kubectl-patch", k.extra)
			b.value(k.resource, "it", nil, k.path...)
		}},
		{name: "a field set by another manager stays", do: func(b *bundle, k driftKind) {
			b.stays(k, b.patch(k.resource, "it", "someone", k.extra), k.value, k.path...)
		}},
		{name: "a field set as flux-client-side-apply stays", do: func(b *bundle, k driftKind) {
			b.stays(k, b.patch(k.resource, "it", "flux-client-side-apply", k.extra), k.value, k.path...)
		}},
		{name: "an annotation set by another manager stays", do: func(b *bundle, k driftKind) {
			b.stays(k, b.patch(k.resource, "it", "someone", `{"metadata":{"annotations":{"x":"y"}}}`), "y", "metadata", "annotations", "x")
		}},
		{name: "an owned label changed is put back", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "someone", fmt.Sprintf(`{"metadata":{"labels":{%q:"other"}}}`, ownerName))
			b.value(k.resource, "it", "app", "metadata", "labels", ownerName)
		}},
		{name: "the label that the watch selects by is put back", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "someone", fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, ownerName))
			b.value(k.resource, "it", "app", "metadata", "labels", ownerName)
		}},
		{name: "a deleted object comes back", do: func(b *bundle, k driftKind) {
			before := b.get(k.resource, "it").GetUID()
			b.delete(k.resource, "it")
			b.eventually("it is there again", func() error {
				if object := b.get(k.resource, "it"); object == nil || object.GetUID() == before {
					return fmt.Errorf("it is %v", object)
				}
				return nil
			})
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "an object deleted and made anew is ours again", do: func(b *bundle, k driftKind) {
			b.delete(k.resource, "it")
			_ = b.create(k.resource, b.skeleton(k, k.edit)) // we may have been faster
			b.value(k.resource, "it", k.want, k.owned...)
			b.value(k.resource, "it", "app", "metadata", "labels", ownerName)
		}},
		{name: "managedFields removed is made good", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "someone", `{"metadata":{"managedFields":[{}]}}`)
			b.ours(k)
		}},
		{name: "our own name used by an update is put back", do: func(b *bundle, k driftKind) {
			b.patch(k.resource, "it", "kustomize-controller", k.edit)
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "our own name used by an apply with other values is put back", do: func(b *bundle, k driftKind) {
			if err := b.apply(k.resource, "it", "kustomize-controller", b.sameWith(k, k.edit), true); err != nil {
				b.Fatal(err)
			}
			b.value(k.resource, "it", k.want, k.owned...)
		}},
		{name: "our own name used by an apply with fewer fields is put back", do: func(b *bundle, k driftKind) {
			if err := b.apply(k.resource, "it", "kustomize-controller", b.skeleton(k, `{}`), true); err != nil && !apierrors.IsInvalid(err) {
				b.Fatal(err)
			}
			b.value(k.resource, "it", k.want, k.owned...)
			b.value(k.resource, "it", "app", "metadata", "labels", ownerName)
		}},
		{name: "a list put in another order is put back", only: "Deployment", do: func(b *bundle, k driftKind) {
			path := []string{"spec", "template", "spec", "containers"}
			b.patchJSON(k.resource, "it", "someone", `[{"op":"replace","path":"/spec/template/spec/containers/0/env","value":[{"name":"B","value":"2"},{"name":"A","value":"1"}]}]`)
			b.eventually("the order is ours", func() error {
				containers, _, err := unstructured.NestedSlice(b.get(k.resource, "it").Object, path...)
				if err != nil {
					return err
				}
				env := fmt.Sprint(containers[0].(map[string]any)["env"])
				if strings.Index(env, "name:A") > strings.Index(env, "name:B") {
					return fmt.Errorf("it is %s", env)
				}
				return nil
			})
		}},
		{name: "an element added to a list stays", only: "Deployment", do: func(b *bundle, k driftKind) {
			b.patchJSON(k.resource, "it", "someone", `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"sidecar","image":"example.com/sidecar:1"}}]`)
			b.judged()
			if containers, _, _ := unstructured.NestedSlice(b.get(k.resource, "it").Object, "spec", "template", "spec", "containers"); len(containers) != 2 {
				b.Errorf("the containers are %v", containers)
			}
		}},
		{name: "replicas that we do not set may be scaled", only: "Deployment", do: func(b *bundle, k driftKind) {
			_, err := b.client.Resource(k.resource).Namespace(b.namespace).Patch(b.Context(), "it", types.MergePatchType,
				[]byte(`{"spec":{"replicas":2}}`), metav1.PatchOptions{FieldManager: "kubectl"}, "scale")
			if err != nil {
				b.Fatal(err)
			}
			b.stays(k, b.get(k.resource, "it"), 2, "spec", "replicas")
		}},
		{name: "a status written changes nothing", only: "Deployment", do: func(b *bundle, k driftKind) {
			_, err := b.client.Resource(k.resource).Namespace(b.namespace).Patch(b.Context(), "it", types.MergePatchType,
				[]byte(`{"status":{"conditions":[{"type":"X","status":"True"}]}}`), metav1.PatchOptions{FieldManager: "someone"}, "status")
			if err != nil {
				b.Fatal(err)
			}
			b.judged()
		}},
	}
	for _, k := range b.driftKinds() {
		for _, c := range cases {
			if c.only != "" && c.only != k.name {
				continue
			}
			t.Run(k.name+"/"+c.name, func(t *testing.T) {
				b := newBundle(t).start()
				k := b.driftKind(k.name) // with this bundle's namespace
				b.deploy(k.object)
				b.value(k.resource, "it", k.want, k.owned...)
				c.do(b, k)
				if conflicts := b.status().Conflicts; len(conflicts) > 0 {
					t.Errorf("conflicts: %v", conflicts)
				}
			})
		}
	}
}

func (b *bundle) patchJSON(resource schema.GroupVersionResource, name, manager, patch string) {
	b.Helper()
	_, err := b.client.Resource(resource).Namespace(b.namespace).
		Patch(b.Context(), name, types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		b.Fatal(err)
	}
}

// stays waits until the engine has judged the object and fails if the field is not as it was set.
func (b *bundle) stays(k driftKind, object *unstructured.Unstructured, want any, path ...string) {
	b.Helper()
	b.judged()
	have, _, err := unstructured.NestedFieldNoCopy(b.get(k.resource, "it").Object, path...)
	if err != nil || fmt.Sprint(have) != fmt.Sprint(want) {
		b.Errorf("%v is %v, not %v (%v)", path, have, want, err)
	}
	if n := b.status().DriftCorrections; n != 0 {
		b.Errorf("%d drift corrections", n)
	}
}

// ours waits until the object has our Apply entry, and nobody owns what was there before it.
func (b *bundle) ours(k driftKind) {
	b.Helper()
	b.eventually("it is ours", func() error {
		fields := b.get(k.resource, "it").GetManagedFields()
		if apply.Kustomize.Entry(fields) == nil || slices.ContainsFunc(fields, managedBy("before-first-apply")) {
			return fmt.Errorf("the entries are %v", fields)
		}
		return nil
	})
}

func managedBy(manager string) func(metav1.ManagedFieldsEntry) bool {
	return func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == manager }
}

// entry is our Apply entry of the object: every write of ours that changes the object moves its time.
func (b *bundle) entry(k driftKind) string {
	b.Helper()
	return fmt.Sprint(apply.Kustomize.Entry(b.get(k.resource, "it").GetManagedFields()))
}

func (b *bundle) sameEntry(k driftKind, before string) {
	b.Helper()
	if now := b.entry(k); now != before {
		b.Errorf("our entry was %s and is %s", before, now)
	}
}

func TestACorrectionIsToldWithWhoMadeItNecessary(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("it", "1"))
	b.patch(configMaps, "it", "kubectl-edit", `{"data":{"key":"2"}}`)
	b.value(configMaps, "it", "1", "data", "key")
	b.eventually("the correction is told", func() error {
		if events := b.eventsOf("DriftCorrected"); len(events) != 1 || !strings.Contains(events[0].Message, "kubectl-edit") {
			return fmt.Errorf("events are %v", events)
		}
		return nil
	})
	if n := b.status().DriftCorrections; n != 1 {
		t.Errorf("%d corrections", n)
	}
}
