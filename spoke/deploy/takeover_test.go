package deploy_test

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// createAs makes a ConfigMap with a field that the App does not set, as that manager.
func (b *bundle) createAs(manager, name string) {
	b.Helper()
	object := b.configMap(name, "0", annotations(lastApplied, "{}"))
	u := b.unstructured(strings.Replace(object, `"data":{`, `"data":{"extra":"x",`, 1))
	_, err := b.client.Resource(configMaps).Namespace(b.namespace).Create(b.Context(), u, metav1.CreateOptions{FieldManager: manager})
	if err != nil {
		b.Fatal(err)
	}
}

func isJSONPatch(r *http.Request) bool {
	return r.Header.Get("Content-Type") == "application/json-patch+json"
}

func TestWhatKubectlAppliedBeforeIsTakenOver(t *testing.T) {
	b := newBundle(t).start()
	for name, manager := range map[string]string{"a": "kubectl-client-side-apply", "b": "before-first-apply", "c": "helm"} {
		b.createAs(manager, name)
	}
	b.deploy(b.configMapsNamed("a", "b", "c")...)
	for name, extra := range map[string]any{"a": nil, "b": nil, "c": "x"} {
		data, _, err := unstructured.NestedMap(b.get(configMaps, name).Object, "data")
		if err != nil || data["key"] != "1" || data["extra"] != extra { // at once, not by a correction
			t.Errorf("%s has %v, %v", name, data, err)
		}
		if has := b.get(configMaps, name).GetAnnotations(); len(has) != 0 {
			t.Errorf("%s has %v", name, has)
		}
	}
}

func TestWhatWasWrittenButNotTakenOverIsTheApps(t *testing.T) {
	b := newBundle(t)
	var refuse atomic.Bool
	b.intercept(func(r *http.Request) int {
		if isJSONPatch(r) && refuse.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	b.start().deploy(b.configMapsNamed("stays", "changes")...)
	b.engine.SetSuspended(b.app, true) // so that it is not put back
	b.patch(configMaps, "changes", "kubectl-edit", `{"data":{"extra":"x"}}`)
	b.createAs("kubectl-create", "new")
	refuse.Store(true)
	err := b.try(b.target(b.configMap("stays", "1"), b.configMap("changes", "2"), b.configMap("new", "1")))
	if !errors.Is(err, fleet.ErrDenied) || !strings.Contains(err.Error(), "ConfigMap/"+b.namespace+"/new") {
		t.Errorf("error %v", err)
	}
	b.value(configMaps, "changes", "2", "data", "key")
	shard := b.entries()
	if strings.Count(shard, `"uid"`) != 3 || strings.Count(shard, `"applied"`) != 1 {
		t.Errorf("all three are the App's, and of one the content is known; the inventory is %s", shard)
	}
	refuse.Store(false)
	b.deploy(b.configMapsNamed("stays", "changes")...)
	b.value(configMaps, "changes", nil, "data", "extra")
	if b.get(configMaps, "new") != nil {
		t.Error("what the failed pass made is still there")
	}
}

func TestAnAnnotationRemovedMeanwhileDoesNotFailTheTakeover(t *testing.T) {
	b := newBundle(t)
	var removed atomic.Bool
	b.intercept(func(r *http.Request) int {
		if isJSONPatch(r) && !removed.Swap(true) {
			b.patch(configMaps, "a", "someone", `{"metadata":{"annotations":{"`+lastApplied+`":null}}}`)
		}
		return 0
	})
	b.start()
	b.createAs("kubectl-client-side-apply", "a")
	b.deploy(b.configMap("a", "1"))
	b.value(configMaps, "a", nil, "data", "extra")
}

func TestATakeoverThatIsNeverTakenFailsAndNamesTheObject(t *testing.T) {
	b := newBundle(t)
	b.intercept(func(r *http.Request) int {
		if isJSONPatch(r) {
			return http.StatusUnprocessableEntity
		}
		return 0
	})
	b.start()
	b.createAs("kubectl-client-side-apply", "a")
	err := b.try(b.target(b.configMap("a", "1")))
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "ConfigMap/"+b.namespace+"/a: take over fields") {
		t.Errorf("error %v", err)
	}
	if shard := b.entries(); !strings.Contains(shard, `"uid"`) {
		t.Errorf("the inventory is %s", shard)
	}
}

// Without its annotation the live object does not say that everybody keeps what is theirs; the Manifest still does.
func TestMergeHoldsWhenItsAnnotationIsRemovedFromTheLiveObject(t *testing.T) {
	b := newBundle(t).start()
	const ssa = "kustomize.toolkit.fluxcd.io/ssa"
	b.deploy(b.configMap("a", "1", annotations(ssa, "Merge")))
	b.patch(configMaps, "a", "kubectl-edit", `{"metadata":{"annotations":{"`+ssa+`":null}},"data":{"extra":"x"}}`)
	b.value(configMaps, "a", "Merge", "metadata", "annotations", ssa)
	b.value(configMaps, "a", "x", "data", "extra")
}
