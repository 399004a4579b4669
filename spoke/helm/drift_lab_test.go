package helm_test

import (
	"fmt"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/test/lab"
)

// drifting is a real engine with a release whose drift is treated in a mode.
func drifting(t *testing.T, mode string, ignore ...fleet.IgnoreRule) *real {
	t.Helper()
	r := newReal(t)
	r.plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: mode, Ignore: ignore}
	return r
}

func (r *real) release(files map[string]string) helm.Target {
	r.Helper()
	target := r.target("1.0.0", files)
	r.deploy(target)
	r.healthy(fleet.True)
	return target
}

func (r *real) healthy(want fleet.ConditionStatus) {
	r.Helper()
	var s helm.Status
	defer func() {
		if r.Failed() {
			r.Logf("status is %+v", s)
		}
	}()
	r.until("health is "+string(want), func() bool {
		s = r.engine.Status(r.app())
		return s.Healthy.Status == want
	})
}

func (r *real) objects(resource schema.GroupVersionResource) dynamic.ResourceInterface {
	r.Helper()
	client, err := dynamic.NewForConfig(r.cluster.REST())
	if err != nil {
		r.Fatal(err)
	}
	return client.Resource(resource).Namespace(r.namespace)
}

// get returns an object, nil when it is not there.
func (r *real) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	r.Helper()
	object, err := r.objects(resource).Get(r.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.Fatal(err)
	}
	return object
}

func (r *real) patch(resource schema.GroupVersionResource, name, manager, merge string) {
	r.Helper()
	_, err := r.objects(resource).Patch(r.Context(), name, types.MergePatchType, []byte(merge), metav1.PatchOptions{FieldManager: manager})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *real) delete(resource schema.GroupVersionResource, name string) {
	r.Helper()
	if err := r.objects(resource).Delete(r.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.Fatal(err)
	}
}

// is waits until a field of an object has a value.
func (r *real) is(resource schema.GroupVersionResource, name, want string, path ...string) {
	r.Helper()
	have := ""
	defer func() {
		if r.Failed() {
			r.Logf("%s %v is %q, want %q; status is %+v", name, path, have, want, r.engine.Status(r.app()))
		}
	}()
	r.until(fmt.Sprintf("%s %v is %q", name, path, want), func() bool {
		object := r.get(resource, name)
		if object == nil {
			return false
		}
		value, _, err := unstructured.NestedFieldNoCopy(object.Object, path...)
		have = fmt.Sprint(value)
		return err == nil && have == want
	})
}

func (r *real) says(reason string) {
	r.Helper()
	r.until("Drifted says "+reason, func() bool { return r.status().Drifted.Reason == reason })
}

func (r *real) eventsOf(reason string) (found []fleet.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range r.events {
		if event.Reason == reason {
			found = append(found, event)
		}
	}
	return found
}

// requests are those of the engine's own about objects while f ran.
func (r *real) requests(f func()) lab.Requests {
	r.Helper()
	during, _ := lab.TestRequests(r, r.cluster, f)
	return during.Where(func(q lab.Request) bool {
		return q.UserAgent == "engine-"+r.namespace && q.Namespace == r.namespace
	})
}

// writes are those that change something.
func writes(all lab.Requests) lab.Requests {
	return all.Where(func(q lab.Request) bool {
		return !q.DryRun && slices.Contains([]string{"create", "update", "patch", "delete"}, q.Verb)
	})
}

func web(extra string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web" + extra + "}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n" +
		"    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'example.com/web:1'}]}\n"
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {a: chart}\n"
}
