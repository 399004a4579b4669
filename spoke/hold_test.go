package spoke_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	spokev1 "flotilla.dev/flotilla/proto/flotilla/spoke/v1"
	"flotilla.dev/flotilla/test/lab"
)

// annotate puts a namespace on hold; nil: not any more.
func (b *bench) annotate(namespace string, why any) {
	b.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{fleet.HoldAnnotation: why}}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.client.CoreV1().Namespaces().Patch(b.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

// held waits until an App is reported to wait for the end of a hold.
func (b *bench) held(app fleet.Key, generation uint64, why string) {
	b.Helper()
	lab.Eventually(b, patience, app.Words()+" is on hold", func() error {
		r := b.hub.report(app)
		if r.GetGeneration() != generation || r.GetWaiting() != spokev1.Waiting_WAITING_HOLD || !strings.Contains(r.GetReady().GetMessage(), why) {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
}

// seesHold waits until the spoke says of what it has applied that it is on hold.
func (b *bench) seesHold(why string) {
	b.Helper()
	lab.Eventually(b, patience, "it says that it is on hold", func() error {
		if r := b.hub.report(b.app); !r.GetConverged() || !strings.Contains(r.GetReady().GetMessage(), why) {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
}

func TestNothingNewIsAppliedOfWhatIsOnHoldInTheCluster(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("the spoke's namespace %t", own), func(t *testing.T) {
			b := newBench(t)
			first := b.start(nil)
			b.hub.assign(t, b.assignment(1), b.configMap("one", "1"), b.configMap("two", "1"))
			b.settled(1)
			namespace := b.namespace
			if own {
				namespace = b.system
			}
			b.annotate(namespace, "maintenance until Monday")
			b.seesHold("maintenance until Monday")
			b.hub.assign(t, b.assignment(2), b.configMap("one", "2"))
			b.held(b.app, 2, "Namespace/"+namespace+" is on hold")
			b.drift("one")
			b.value("one", "1") // drift is corrected

			lab.Eventually(t, patience, "what waits is fetched", func() error {
				b.hub.mu.Lock()
				defer b.hub.mu.Unlock()
				if b.hub.fetches < 2 {
					return fmt.Errorf("%d fetches", b.hub.fetches)
				}
				return nil
			})

			// Neither is a restart its end, nor does it need the hub.
			b.hub.setAway(true)
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			b.start(nil)
			b.drift("one")
			b.value("one", "1")
			b.value("two", "1")
			b.annotate(namespace, nil)
			b.value("one", "2")
			b.value("two", "")
			b.hub.setAway(false)
			b.settled(2)
		})
	}
}

// What kubectl sets on an App's objects is taken back. A hold is not, where the namespace is one of them.
func TestAHoldThatKubectlSetsOnANamespaceOfTheAppStaysUntilItIsTakenOff(t *testing.T) {
	type way struct {
		name, manager string
		kind          types.PatchType
	}
	for _, w := range []way{
		{"annotate", "kubectl-annotate", types.MergePatchType},
		{"edit", "kubectl-edit", types.StrategicMergePatchType},
		{"patch", "kubectl-patch", types.JSONPatchType},
		{"apply", "kubectl-client-side-apply", types.StrategicMergePatchType},
		{"apply --server-side", "kubectl", types.ApplyPatchType},
	} {
		t.Run(w.name, func(t *testing.T) {
			b := newBench(t)
			b.start(nil)
			namespace := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"team":"shop"}}}`, b.namespace)
			b.hub.assign(t, b.assignment(1), namespace, b.configMap("one", "1"))
			b.settled(1)

			annotate := func(key, value string) {
				t.Helper()
				patch := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"annotations":{%q:%q}}}`, b.namespace, key, value)
				options := metav1.PatchOptions{FieldManager: w.manager}
				switch w.kind {
				case types.ApplyPatchType:
					if key != fleet.HoldAnnotation { // who applies says all at once
						patch = strings.Replace(patch, `"annotations":{`, `"annotations":{"`+fleet.HoldAnnotation+`":"my incident",`, 1)
					}
				case types.JSONPatchType:
					path := "/metadata/annotations"
					patch = fmt.Sprintf(`[{"op":"add","path":%q,"value":{%q:%q}}]`, path, key, value)
					if key != fleet.HoldAnnotation {
						patch = fmt.Sprintf(`[{"op":"add","path":"%s/%s","value":%q}]`, path, key, value)
					}
				}
				if _, err := b.client.CoreV1().Namespaces().Patch(t.Context(), b.namespace, w.kind, []byte(patch), options); err != nil {
					t.Fatal(err)
				}
			}
			annotations := func() map[string]string {
				t.Helper()
				now, err := b.client.CoreV1().Namespaces().Get(t.Context(), b.namespace, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				return now.Annotations
			}
			annotate(fleet.HoldAnnotation, "my incident")
			b.seesHold("my incident")
			b.hub.assign(t, b.assignment(2), namespace, b.configMap("one", "2"))
			b.held(b.app, 2, "my incident")
			annotate("other", "1") // by which can be told when the namespace has been looked at
			lab.Eventually(t, patience, "the other annotation is taken back", func() error {
				if a := annotations(); a["other"] != "" {
					return fmt.Errorf("it has %v", a)
				}
				return nil
			})
			if a := annotations(); a[fleet.HoldAnnotation] != "my incident" {
				t.Errorf("the annotations are %v", a)
			}
			b.held(b.app, 2, "my incident")
			b.value("one", "1")

			b.annotate(b.namespace, nil)
			b.settled(2)
			b.value("one", "2")
			if a := annotations(); a[fleet.HoldAnnotation] != "" {
				t.Errorf("it has come back: %v", a)
			}
		})
	}
}

// An App may come to a namespace that its people have made, on hold.
func TestAnAppTakesOverANamespaceThatKubectlMadeAndLeavesItsHold(t *testing.T) {
	for _, manager := range []string{"kubectl-create", "kubectl-client-side-apply"} {
		t.Run(manager, func(t *testing.T) {
			b := newBench(t)
			b.start(nil)
			name := b.namespace + "-theirs"
			_, err := b.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: name, Annotations: map[string]string{fleet.HoldAnnotation: "theirs", "other": "1"},
			}}, metav1.CreateOptions{FieldManager: manager})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}) })
			b.hub.assign(t, b.assignment(1), fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))
			b.settled(1)
			now, err := b.client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil || now.Annotations[fleet.HoldAnnotation] != "theirs" || now.Annotations["other"] != "" {
				t.Errorf("the annotations are %v (%v)", now.Annotations, err)
			}
		})
	}
}

func TestAHelmReleaseIsHeldAsAKustomizationIs(t *testing.T) {
	b := newBench(t)
	b.annotate(b.namespace, "true")
	b.start(nil)
	a := b.assignment(1)
	a.App.Kind = "HelmRelease"
	a.Release.App = a.App
	b.hub.assign(t, a, b.configMap("one", "1"))
	b.held(a.App, 1, "is on hold")
	b.annotate(b.namespace, "false")
	lab.Eventually(t, patience, "it goes on", func() error {
		// What there is to be released is no chart; that is told by who tries.
		if r := b.hub.report(a.App); r.GetWaiting() != spokev1.Waiting_WAITING_NONE || r.GetStage() != spokev1.Stage_STAGE_FAILED {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
}

func TestWhatIsOnHoldIsDeletedWhenTheHoldEnds(t *testing.T) {
	b := newBench(t)
	b.start(nil)
	a := b.assignment(1)
	b.hub.assign(t, a, b.configMap("one", "1"))
	b.settled(1)
	b.annotate(b.namespace, "true")
	a.Release = b.hub.release(t, b.app)
	a.State, a.Generation, a.Tombstone = fleet.Removed, 2, &fleet.Tombstone{Delete: true, Confirmed: true}
	b.hub.assign(t, a)
	lab.Eventually(t, patience, "its end waits", func() error {
		if r := b.hub.report(b.app); r.GetStage() != spokev1.Stage_STAGE_REMOVING || r.GetWaiting() != spokev1.Waiting_WAITING_HOLD {
			return fmt.Errorf("reported is %v", r)
		}
		return nil
	})
	b.value("one", "1")
	b.annotate(b.namespace, nil)
	b.value("one", "")
}

// underFlux has a Flux object of an App's name be there, suspended and on hold, and returns what ends the hold.
func (b *bench) underFlux(app fleet.Key, group, version, plural string) (end func()) {
	b.Helper()
	client, err := dynamic.NewForConfig(b.cluster.REST())
	if err != nil {
		b.Fatal(err)
	}
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": plural + "." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"plural": plural, "singular": strings.ToLower(app.Kind), "kind": app.Kind},
			"versions": []any{map[string]any{"name": version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		},
	}}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	if _, err := crds.Create(b.Context(), definition, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		b.Fatal(err)
	}
	objects := client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural}).Namespace(app.Namespace)
	lab.Eventually(b, patience, "Flux's object is there", func() error {
		_, err := objects.Create(b.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/" + version, "kind": app.Kind, "spec": map[string]any{"suspend": true},
			"metadata": map[string]any{"name": app.Name, "namespace": app.Namespace, "annotations": map[string]any{fleet.HoldAnnotation: "maintenance"}},
		}}, metav1.CreateOptions{})
		return err
	})
	return func() {
		b.Helper()
		patch := []byte(`{"metadata":{"annotations":{"` + fleet.HoldAnnotation + `":null}}}`)
		if _, err := objects.Patch(b.Context(), app.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAFluxObjectOnHoldHoldsTheAppOfItsNameUntilItIsNot(t *testing.T) {
	for kind, flux := range map[string][3]string{
		"Kustomization": {"kustomize.toolkit.fluxcd.io", "v1", "kustomizations"}, "HelmRelease": {"helm.toolkit.fluxcd.io", "v2", "helmreleases"},
	} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t)
			a := b.assignment(1)
			a.App.Kind = kind
			a.Release.App = a.App
			end := b.underFlux(a.App, flux[0], flux[1], flux[2])
			b.start(nil)
			b.hub.assign(t, a, b.configMap("one", "1"))
			b.held(a.App, 1, a.App.Words()+" is on hold (annotation "+fleet.HoldAnnotation+"): maintenance")
			end()
			lab.Eventually(t, patience, "it goes on", func() error {
				if r := b.hub.report(a.App); r.GetWaiting() != spokev1.Waiting_WAITING_NONE || r.GetStage() == spokev1.Stage_STAGE_RECEIVED {
					return fmt.Errorf("reported is %v", r)
				}
				return nil
			})
		})
	}
}
