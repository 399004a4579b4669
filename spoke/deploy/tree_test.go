package deploy_test

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// pod waits for the Pod of a Deployment.
func (b *bundle) podOf(deployment string) (pod corev1.Pod) {
	b.Helper()
	b.eventually("a Pod of "+deployment, func() error {
		list, err := b.typed.CoreV1().Pods(b.namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "app=" + deployment})
		if err == nil && len(list.Items) == 0 {
			err = errors.New("there is none")
		}
		if err == nil {
			pod = list.Items[0]
		}
		return err
	})
	return pod
}

func TestTreeShowsWhatTheObjectsOwnAndHowItIs(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("c", "1"), b.deployment("web", ""))
	pod := b.podOf("web")
	replicas := int32(0)
	old := &appsv1.ReplicaSet{ // what a Deployment leaves of an older template
		ObjectMeta: metav1.ObjectMeta{Name: "web-old", Labels: map[string]string{"app": "web"}, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: b.get(deployments, "web").GetUID()}}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: pod.Spec}},
	}
	if _, err := b.typed.AppsV1().ReplicaSets(b.namespace).Create(b.Context(), old, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	tree, err := b.engine.Tree(b.Context(), b.app)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Objects) != 2 || tree.Objects[0].Object.Kind != "ConfigMap" || tree.Objects[0].Status != "Current" || tree.Left != 0 {
		t.Fatalf("got %+v", tree)
	}
	web := tree.Objects[1]
	if web.Object.Name != "web" || len(web.Owned) != 1 || web.Owned[0].Object.Kind != "ReplicaSet" || web.Owned[0].Object.Name == "web-old" {
		t.Fatalf("the Deployment: %+v", web)
	}
	if owned := web.Owned[0].Owned; len(owned) != 1 || owned[0].Object.Name != pod.Name || owned[0].Object.Kind != "Pod" || owned[0].Status == "" {
		t.Errorf("the ReplicaSet has %+v", owned)
	}
	if tree, err := b.engine.Tree(b.Context(), fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: b.namespace, Name: "none"}); err != nil || len(tree.Objects) != 0 {
		t.Errorf("of an App that is not there: %+v, %v", tree, err)
	}
}

func TestTraceLeadsFromAPodToItsApp(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.deployment("web", ""), b.secretOf("s", map[string]string{"password": "canary"}))
	pod := b.podOf("web")
	trace, err := b.engine.Trace(b.Context(), "po", b.namespace, pod.Name)
	if err != nil {
		t.Fatal(err)
	}
	kinds := ""
	for _, ref := range trace.Chain {
		kinds += ref.Kind + " "
	}
	if kinds != "Pod ReplicaSet Deployment " || trace.App != b.app {
		t.Errorf("got %+v", trace)
	}
	for _, word := range []string{"Secret", "secrets", "deploy", "deployment.apps", "Deployments"} {
		name := map[bool]string{true: "s", false: "web"}[strings.HasPrefix(strings.ToLower(word), "secret")]
		if trace, err := b.engine.Trace(b.Context(), word, b.namespace, name); err != nil || trace.App != b.app || len(trace.Chain) != 1 {
			t.Errorf("%s/%s: %+v, %v", word, name, trace, err)
		}
	}
}

func TestTraceSaysWhatFlotillaDoesNotManage(t *testing.T) {
	b := newBundle(t).start()
	for name, labels := range map[string]map[string]string{
		"none": nil, "flux": {ownerName: "other", ownerNamespace: "flux-system"},
		"helm": {"helm.toolkit.fluxcd.io/name": "chart", "helm.toolkit.fluxcd.io/namespace": "flux-system"},
	} {
		c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := b.typed.CoreV1().ConfigMaps(b.namespace).Create(b.Context(), c, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, owner := range map[string]string{"none": "", "flux": "Kustomization/flux-system/other", "helm": "HelmRelease/flux-system/chart"} {
		trace, err := b.engine.Trace(b.Context(), "cm", b.namespace, name)
		if err != nil || !trace.App.IsZero() || trace.Owner != owner || trace.Declared || len(trace.Chain) != 1 {
			t.Errorf("%s: %+v, %v", name, trace, err)
		}
	}
	if trace, err := b.engine.Trace(b.Context(), "cm", b.namespace, "missing"); err != nil || len(trace.Chain) != 0 {
		t.Errorf("of nothing: %+v, %v", trace, err)
	}
	if _, err := b.engine.Trace(b.Context(), "gizmo", b.namespace, "x"); !errors.Is(err, fleet.ErrNotFound) || !strings.Contains(err.Error(), "gizmo") {
		t.Errorf("of no kind: %v", err)
	}
	// The owner's name is another object's by now. The finalizer keeps it from the garbage collector.
	orphan := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "orphan", Finalizers: []string{"example.com/hold"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "none", UID: "another"}}}}
	if _, err := b.typed.CoreV1().ConfigMaps(b.namespace).Create(b.Context(), orphan, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer b.patch(configMaps, "orphan", "test", `{"metadata":{"finalizers":null}}`)
	trace, err := b.engine.Trace(b.Context(), "cm", b.namespace, "orphan")
	if err != nil || trace.Lost != "ConfigMap/"+b.namespace+"/none" || len(trace.Chain) != 1 || !trace.App.IsZero() {
		t.Errorf("of an orphan: %+v, %v", trace, err)
	}
}

func TestTreeOfNamedObjectsShowsWhatTheyOwn(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("c", "1"), b.deployment("web", ""))
	pod := b.podOf("web")
	tree, err := b.engine.TreeOf(b.Context(), []fleet.ObjectRef{
		{Version: "v1", Kind: "ConfigMap", Namespace: b.namespace, Name: "c"},
		{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: b.namespace, Name: "web"},
		{Version: "v1", Kind: "Namespace", Namespace: "anything", Name: b.namespace},
		{Version: "v1", Kind: "ConfigMap", Namespace: b.namespace, Name: "gone"},
		{Group: "example.com", Version: "v1", Kind: "Unknown", Namespace: b.namespace, Name: "x"},
	})
	if err != nil || len(tree.Objects) != 5 {
		t.Fatalf("%+v, error %v", tree, err)
	}
	for i, want := range []string{"Current", "", "Current", "NotFound", "NotFound"} {
		if got := tree.Objects[i]; want != "" && got.Status != want {
			t.Errorf("%s is %s, want %s", got.Object, got.Status, want)
		}
	}
	if namespace := tree.Objects[2].Object; namespace.Namespace != "" {
		t.Errorf("a Namespace is in the namespace %s", namespace.Namespace)
	}
	if owned := tree.Objects[1].Owned; len(owned) != 1 || len(owned[0].Owned) != 1 || owned[0].Owned[0].Object.Name != pod.Name {
		t.Errorf("the Deployment has %+v", owned)
	}
}
