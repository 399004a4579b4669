package apply_test

import (
	"encoding/json"
	"math/rand"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa/normalize"
	"github.com/fluxcd/pkg/ssa/utils"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
)

// asFlux is what Flux sends for content, by its own library.
func asFlux(t *testing.T, content map[string]any) map[string]any {
	t.Helper()
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(content)}
	utils.RemoveCABundleFromCRD(u)
	u.SetLabels(map[string]string{apply.Kustomize.NameLabel: owner.Name, apply.Kustomize.NamespaceLabel: owner.Namespace})
	if err := normalize.UnstructuredList([]*unstructured.Unstructured{u}); err != nil {
		t.Fatal(err)
	}
	delete(u.Object["metadata"].(map[string]any), "creationTimestamp")
	delete(u.Object, "status") // a definition's keeps one, which the API server does not take
	return u.Object
}

// asOurs is what we send.
func asOurs(t *testing.T, content map[string]any) map[string]any {
	t.Helper()
	data, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	u := unstructured.Unstructured{Object: content}
	kind := u.GroupVersionKind()
	ref := fleet.ObjectRef{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Namespace: "n", Name: "x"}
	object, err := apply.Kustomize.Prepare(data, ref, apply.Mapping{Namespaced: true}, owner)
	if err != nil {
		t.Fatal(err)
	}
	var sent unstructured.Unstructured
	if err := sent.UnmarshalJSON(object.Data()); err != nil {
		t.Fatal(err)
	}
	return sent.Object
}

// Objects of every kind with any fields, some of which are null or missing.
func TestWhatIsSentOfBuiltInKindsIsWhatFluxSends(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(1))
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, random, serializer.NewCodecFactory(scheme.Scheme))
	kinds := 0
	for kind := range scheme.Scheme.AllKnownTypes() {
		if kind.Group == "" && kind.Version != "v1" || kind.Version == runtime.APIVersionInternal || strings.HasSuffix(kind.Kind, "List") {
			continue
		}
		if _, isObject := newOf(t, kind); !isObject {
			continue
		}
		kinds++
		for range 8 {
			typed, _ := newOf(t, kind)
			fill.Fill(typed)
			data, err := json.Marshal(typed)
			if err != nil {
				t.Fatal(err)
			}
			var content unstructured.Unstructured
			if err := json.Unmarshal(data, &content.Object); err != nil {
				t.Fatal(err)
			}
			spoil(random, content.Object)
			content.SetGroupVersionKind(kind)
			content.Object["metadata"] = map[string]any{"name": "x", "namespace": "n"}
			data, err = content.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			if err := content.UnmarshalJSON(data); err != nil { // with whole numbers as such
				t.Fatal(err)
			}
			if diff := cmp.Diff(asFlux(t, content.Object), asOurs(t, content.Object)); diff != "" {
				t.Fatalf("%s (-Flux +ours):\n%s\nof %s", kind, diff, data)
			}
		}
	}
	if kinds < 50 {
		t.Errorf("there were but %d kinds", kinds)
	}
}

// newOf returns an empty object of the kind, and whether the kind is one of objects.
func newOf(t *testing.T, kind schema.GroupVersionKind) (runtime.Object, bool) {
	t.Helper()
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		t.Fatal(err)
	}
	_, isObject := typed.(metav1.Object)
	return typed, isObject
}

// spoil makes some fields null and leaves some out.
func spoil(random *rand.Rand, value any) {
	switch value := value.(type) {
	case map[string]any:
		for key, field := range value {
			switch random.Intn(20) {
			case 0:
				value[key] = nil
			case 1:
				delete(value, key)
			default:
				spoil(random, field)
			}
		}
	case []any:
		for _, element := range value {
			spoil(random, element)
		}
	}
}

func TestAFieldThatTheTypeLacksIsSent(t *testing.T) {
	t.Parallel()
	content := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x", "namespace": "n"}, "newer": "field",
	}
	if sent := asOurs(t, content); sent["newer"] != "field" {
		t.Errorf("sent is %v", sent)
	}
}

func TestACABundleThatIsAPlaceholderIsLeftOut(t *testing.T) {
	t.Parallel()
	for bundle, stays := range map[string]bool{"": true, "Cg==": false, "no base64": false, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t": false, certificate: true} {
		client := map[string]any{"caBundle": bundle, "service": map[string]any{"name": "x", "namespace": "n", "port": int64(443)}}
		content := map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "x", "namespace": "n"},
			"spec": map[string]any{"group": "example.com", "conversion": map[string]any{"strategy": "Webhook", "webhook": map[string]any{"clientConfig": client}}},
		}
		sent := asOurs(t, content)
		if diff := cmp.Diff(asFlux(t, content), sent); diff != "" {
			t.Errorf("%q (-Flux +ours):\n%s", bundle, diff)
		}
		if _, has, _ := unstructured.NestedString(sent, "spec", "conversion", "webhook", "clientConfig", "caBundle"); has != stays {
			t.Errorf("%q is sent: %t", bundle, has)
		}
	}
}

// certificate is a CA bundle as a definition has it.
const certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JR3ZNR09nQXdJQkFnSUJBVEFGQmdNclpYQXdBREFpR0E4d01EQXhNREV3TVRBd01EQXdNRm9ZRHpBd01ERXcKTVRBeE1EQXdNREF3V2pBQU1Db3dCUVlESzJWd0F5RUFqMW1lZ3JmTCttU3B0WXJnaG42M291OG01UzcwOXNXawpYU2R2U2RZVDIvMHdCUVlESzJWd0EwRUFQK3plU1Y0YzlvcjlqSi95UEVLeWViY1YvUXFMWjVqa01VSFo1QXFnClVSSytjSFpwOUN5Zk9HbC9jdEV6bUozcy8vSjVWTDdDYU82UDlqVStQZEdZQ3c9PQotLS0tLUVORCBDRVJUSUZJQ0FURS0tLS0tCg=="
