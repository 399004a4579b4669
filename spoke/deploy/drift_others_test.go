package deploy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Cases of drift that one kind shows for all.

func TestAnOwnedFieldIsPutBackByWhateverRequestItWasChanged(t *testing.T) {
	for _, test := range []struct {
		kind types.PatchType
		body string
	}{
		{kind: types.JSONPatchType, body: `[{"op":"replace","path":"/spec/revisionHistoryLimit","value":7}]`},
		{kind: types.MergePatchType, body: `{"spec":{"revisionHistoryLimit":7}}`},
		{kind: types.StrategicMergePatchType, body: `{"spec":{"revisionHistoryLimit":7}}`},
		{kind: "an update"},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			b := newBundle(t).start()
			b.deploy(b.deployment("web", ""))
			b.judged()
			client := b.client.Resource(deployments).Namespace(b.namespace)
			var err error
			if test.body != "" {
				_, err = client.Patch(b.Context(), "web", test.kind, []byte(test.body), metav1.PatchOptions{FieldManager: "someone"})
			} else {
				b.eventually("it is updated", func() error { // its controller may be faster
					web := b.get(deployments, "web")
					_ = unstructured.SetNestedField(web.Object, int64(7), "spec", "revisionHistoryLimit")
					_, err := client.Update(b.Context(), web, metav1.UpdateOptions{FieldManager: "someone"})
					return err
				})
			}
			if err != nil {
				t.Fatal(err)
			}
			b.value(deployments, "web", 3, "spec", "revisionHistoryLimit")
			b.corrections(1)
		})
	}
}

// Of a custom resource no generation tells.
func TestAnOwnedAnnotationIsPutBack(t *testing.T) {
	for _, value := range []string{`"other"`, `null`} {
		t.Run(value, func(t *testing.T) {
			b := newBundle(t).start()
			b.deploy(strings.Replace(b.driftKind("Widget").object, `"metadata":{`, `"metadata":{"annotations":{"ours":"1"},`, 1))
			b.patch(widgets, "it", "someone", `{"metadata":{"annotations":{"ours":`+value+`}}}`)
			b.value(widgets, "it", "1", "metadata", "annotations", "ours")
			b.corrections(1)
		})
	}
}

// kubectl rollout restart sets an annotation of the Pods as kubectl does, whose fields are taken back, as by Flux. Whoever
// wants to restart names another field manager, or has everybody keep what is theirs.
func TestARolloutRestart(t *testing.T) {
	const restart = `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2024-01-01T00:00:00Z"}}}}}`
	path := []string{"spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"}
	for _, test := range []struct {
		name, manager, annotations string
		corrections                uint64
	}{
		{name: "is undone", manager: "kubectl-rollout", corrections: 1},
		{name: "under another field manager stays", manager: "flux-client-side-apply"},
		{name: "of what is merged stays", manager: "kubectl-rollout", annotations: `"annotations":{"kustomize.toolkit.fluxcd.io/ssa":"Merge"},`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBundle(t).start()
			b.deploy(strings.Replace(b.deployment("web", ""), `"metadata":{`, `"metadata":{`+test.annotations, 1))
			b.judged()
			_, err := b.client.Resource(deployments).Namespace(b.namespace).
				Patch(b.Context(), "web", types.StrategicMergePatchType, []byte(restart), metav1.PatchOptions{FieldManager: test.manager})
			if err != nil {
				t.Fatal(err)
			}
			if test.corrections > 0 {
				b.value(deployments, "web", nil, path...)
			}
			b.judged()
			b.corrections(test.corrections)
			if test.corrections == 0 {
				b.value(deployments, "web", "2024-01-01T00:00:00Z", path...)
			}
		})
	}
}

// What the API server takes for the same as before it does not write, and nobody need look.
func TestAChangeThatIsNoneIsNotLookedAt(t *testing.T) {
	cpu := func(b *bundle, quantity string) string {
		return strings.Replace(b.deployment("web", ""), `"image":`, `"resources":{"requests":{"cpu":"`+quantity+`"}},"image":`, 1)
	}
	requests := func(quantity string) string {
		return `{"spec":{"template":{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"` + quantity + `"}}}]}}}}`
	}
	for _, test := range []struct {
		name   string
		object func(b *bundle) string
		edit   string
	}{
		{
			name: "a field removed of which the default is our value", edit: `{"spec":{"progressDeadlineSeconds":null}}`,
			object: func(b *bundle) string {
				return strings.Replace(b.deployment("web", ""), `"spec":{`, `"spec":{"progressDeadlineSeconds":600,`, 1)
			},
		},
		{name: "1000m for 1", object: func(b *bundle) string { return cpu(b, "1") }, edit: requests("1000m")},
		{name: "1 for 1000m", object: func(b *bundle) string { return cpu(b, "1000m") }, edit: requests("1")},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBundle(t).start()
			b.deploy(test.object(b))
			b.healthy("True")
			b.judged()
			b.canary()      // with it ConfigMaps are watched
			b.comesToRest() // what its controller said last of it has been read
			before := b.get(deployments, "web").GetResourceVersion()
			made := b.requests(func() {
				after, err := b.client.Resource(deployments).Namespace(b.namespace).
					Patch(b.Context(), "web", types.StrategicMergePatchType, []byte(test.edit), metav1.PatchOptions{FieldManager: "someone"})
				if err != nil || after.GetResourceVersion() != before {
					t.Fatalf("it was written: %v (%v)", after, err)
				}
				b.atRest()
			})
			if len(made) != 0 {
				t.Errorf("requests %v", made)
			}
			b.corrections(0)
		})
	}
}

// Who applies the same quantity in another spelling, by force, takes the field away from us. We take it back, and nothing
// restarts: it is the same to its controller.
func TestAQuantityTakenInAnotherSpellingIsSharedAgain(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(strings.Replace(b.deployment("it", ""), `"image":`, `"resources":{"requests":{"cpu":"1"}},"image":`, 1))
	b.judged()
	before := b.get(deployments, "it").GetGeneration()
	theirs := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"it","namespace":%q},"spec":{"template":{"spec":{
		"containers":[{"name":"main","resources":{"requests":{"cpu":"1000m"}}}]}}}}`, b.namespace)
	for _, forced := range []bool{false, true} {
		if err := b.apply(deployments, "it", "someone", theirs, forced); apierrors.IsConflict(err) == forced || forced && err != nil {
			t.Fatalf("forced: %t: error %v", forced, err)
		}
	}
	b.corrections(1)
	b.judged()
	web := b.get(deployments, "it")
	owners := 0
	for _, entry := range web.GetManagedFields() {
		if strings.Contains(entry.FieldsV1.String(), "f:cpu") {
			owners++
		}
	}
	if owners != 2 || web.GetGeneration() != before {
		t.Errorf("the generation was %d and is %d; managedFields are %v", before, web.GetGeneration(), web.GetManagedFields())
	}
}

func TestAnOrderIsPutBack(t *testing.T) {
	t.Run("of a map-list", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"it","namespace":%q},"spec":{"ports":[
			{"name":"http","port":80,"targetPort":8080},{"name":"https","port":443,"targetPort":8443}]}}`, b.namespace))
		b.reversed(services, "spec", "ports")
	})
	t.Run("of a set", func(t *testing.T) {
		b := newBundle(t).start()
		b.eventually("the pass succeeds", func() error { return b.try(b.target(b.taggedDefinition(), b.tagged("a", "b"))) })
		b.reversed(b.gadgets(), "spec", "tags")
	})
	t.Run("of a list that is one value", func(t *testing.T) {
		b := newBundle(t).start()
		b.eventually("the pass succeeds", func() error { return b.try(b.target(b.taggedDefinition(), b.tagged("a", "b"))) })
		b.reversed(b.gadgets(), "spec", "steps")
	})
}

// taggedDefinition is of Gadgets with a set and an atomic list.
func (b *bundle) taggedDefinition() string {
	return strings.Replace(fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget"), `"colour"`,
		`"tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
		"steps":{"type":"array","x-kubernetes-list-type":"atomic","items":{"type":"string"}},"colour"`, 1)
}

func (b *bundle) tagged(values ...string) string {
	list, _ := json.Marshal(values)
	return fmt.Sprintf(`{"apiVersion":"%s/v1","kind":"Gadget","metadata":{"name":"it","namespace":%q},"spec":{"tags":%[3]s,"steps":%[3]s}}`,
		b.group(), b.namespace, list)
}

// reversed has another manager turn a list of two around, and waits until it is as before.
func (b *bundle) reversed(resource schema.GroupVersionResource, path ...string) {
	b.Helper()
	before, _, err := unstructured.NestedSlice(b.get(resource, "it").Object, path...)
	if err != nil || len(before) != 2 {
		b.Fatalf("the list is %v (%v)", before, err)
	}
	turned, err := json.Marshal([]any{before[1], before[0]})
	if err != nil {
		b.Fatal(err)
	}
	b.patchJSON(resource, "it", "someone", fmt.Sprintf(`[{"op":"replace","path":"/%s","value":%s}]`, strings.Join(path, "/"), turned))
	b.value(resource, "it", before, path...)
	b.corrections(1)
}

// corrections waits until so many are counted.
func (b *bundle) corrections(want uint64) {
	b.Helper()
	b.eventually("the corrections are counted", func() error {
		if s := b.status(); s.DriftCorrections != want || len(s.Conflicts) > 0 {
			return fmt.Errorf("%d, not %d; conflicts %v", s.DriftCorrections, want, s.Conflicts)
		}
		return nil
	})
}
