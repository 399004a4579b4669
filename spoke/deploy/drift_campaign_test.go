package deploy_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
)

var (
	driftEdits = flag.Int("drift.edits", 200, "how many random edits the drift campaign makes")
	driftSeed  = flag.Uint64("drift.seed", 0, "what they are drawn from; 0: another one each time")
)

// edit is one sort of edits: what it does to an object of a kind, and whether that is drift.
type edit struct {
	name  string
	drift bool
	do    func(b *bundle, k driftKind, name string) error
}

var edits = []edit{
	{"an owned field", true, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "someone", k.edit)
		return err
	}},
	{"a field set with kubectl", true, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "kubectl-edit", k.extra)
		return err
	}},
	{"another manager's field", false, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "someone", k.extra)
		return err
	}},
	{"status, or an annotation where there is none", false, func(b *bundle, k driftKind, name string) error {
		patch, at := `{"metadata":{"annotations":{"x":"y"}}}`, []string{}
		if k.name == "Deployment" || k.name == "Service" {
			patch, at = `{"status":{"conditions":[{"type":"X","status":"True","reason":"X","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`, []string{"status"}
		}
		_, err := b.client.Resource(k.resource).Namespace(b.namespace).
			Patch(b.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "someone"}, at...)
		return err
	}},
	{"deletion", true, func(b *bundle, k driftKind, name string) error {
		return b.client.Resource(k.resource).Namespace(b.namespace).Delete(b.Context(), name, metav1.DeleteOptions{})
	}},
	{"the owner label removed", true, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "someone", fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, ownerName))
		return err
	}},
	{"a forced apply of another manager", true, func(b *bundle, k driftKind, name string) error {
		object := strings.Replace(b.skeleton(k, k.edit), `"name":"it"`, fmt.Sprintf(`"name":%q`, name), 1)
		return b.apply(k.resource, name, "someone", object, true)
	}},
	{"managedFields rewritten", true, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "someone", `{"metadata":{"managedFields":[{}]}}`)
		return err
	}},
	{"our manager's name used by another", true, func(b *bundle, k driftKind, name string) error {
		_, err := b.tryPatch(k.resource, name, "kustomize-controller", k.edit)
		return err
	}},
}

// TestRandomDriftIsNeitherMissedNorSeenWhereThereIsNone makes random edits over six kinds, each on an object of its own.
// To play one again: -drift.seed, as it is logged.
func TestRandomDriftIsNeitherMissedNorSeenWhereThereIsNone(t *testing.T) {
	b := newBundle(t).start()
	seed := *driftSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-drift.seed=%d -drift.edits=%d", seed, *driftEdits)
	random := rand.New(rand.NewPCG(seed, 0))
	kinds := append(b.driftKinds(), driftKind{
		name: "ServiceAccount", resource: schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"},
		object: fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"it","namespace":%q},"automountServiceAccountToken":false}`, b.namespace),
		owned:  []string{"automountServiceAccountToken"}, want: false,
		edit: `{"automountServiceAccountToken":true}`, extra: `{"imagePullSecrets":[{"name":"x"}]}`, path: []string{"imagePullSecrets"}, value: "[map[name:x]]",
	})
	type victim struct {
		driftKind
		edit
		object string
	}
	var objects []string
	var victims []victim
	for i := range *driftEdits {
		k := kinds[random.IntN(len(kinds))]
		name := fmt.Sprintf("it-%d", i)
		k.object = strings.Replace(k.object, `"name":"it"`, fmt.Sprintf(`"name":%q`, name), 1)
		k.object = strings.Replace(k.object, `"revisionHistoryLimit":3`, `"replicas":0,"revisionHistoryLimit":3`, 1)
		objects = append(objects, k.object)
		victims = append(victims, victim{k, edits[random.IntN(len(edits))], name})
	}
	b.deploy(objects...)
	for _, i := range random.Perm(len(victims)) {
		v := victims[i]
		if err := v.do(b, v.driftKind, v.object); err != nil {
			t.Fatalf("%s of %s %s: %v", v.edit.name, v.driftKind.name, v.object, err)
		}
	}
	b.eventually("all is as it should be, and known to be", func() error {
		for _, v := range victims {
			if err := b.restored(v.driftKind, v.edit, v.object); err != nil {
				return fmt.Errorf("%s of %s %s: %w", v.edit.name, v.driftKind.name, v.object, err)
			}
		}
		return nil
	})
	undone := map[string]bool{}
	for _, event := range b.eventsOf("DriftCorrected") {
		undone[event.Object.Name] = true
	}
	for _, v := range victims {
		if undone[v.object] != v.drift {
			t.Errorf("%s of %s %s: drift %t, corrected %t", v.edit.name, v.driftKind.name, v.object, v.drift, undone[v.object])
		}
		if v.edit.name == "another manager's field" {
			have, _, _ := unstructured.NestedFieldNoCopy(b.get(v.resource, v.object).Object, v.path...)
			if fmt.Sprint(have) != fmt.Sprint(v.value) {
				t.Errorf("%s of %s %s: it is %v", v.edit.name, v.driftKind.name, v.object, have)
			}
		}
	}
	if conflicts := b.status().Conflicts; len(conflicts) > 0 {
		t.Errorf("conflicts: %v", conflicts)
	}
}

// restored says what of an object is not as it should be after an edit.
func (b *bundle) restored(k driftKind, e edit, name string) error {
	object := b.get(k.resource, name)
	if object == nil {
		return errors.New("it is not there")
	}
	have, _, err := unstructured.NestedFieldNoCopy(object.Object, k.owned...)
	extra, set, extraErr := unstructured.NestedFieldNoCopy(object.Object, k.path...)
	ours := slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == "kustomize-controller" && entry.Operation == metav1.ManagedFieldsOperationApply
	})
	ref := fleet.ObjectRef{Group: k.resource.Group, Kind: object.GetKind(), Namespace: b.namespace, Name: name}
	_, moved := b.engine.Judged(ref)
	switch {
	case err != nil || extraErr != nil:
		return errors.Join(err, extraErr)
	case fmt.Sprint(have) != fmt.Sprint(k.want):
		return fmt.Errorf("%v is %v", k.owned, have)
	case set && strings.Contains(e.name, "kubectl") && fmt.Sprint(extra) == fmt.Sprint(k.value):
		return fmt.Errorf("%v is %v", k.path, extra)
	case object.GetLabels()[ownerName] != b.app.Name || !ours:
		return errors.New("it is not ours")
	case moved:
		return errors.New("there is a finding about it")
	}
	return nil
}
