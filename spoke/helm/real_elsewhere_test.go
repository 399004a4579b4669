package helm_test

import (
	"encoding/json"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestHelmsReleaseThatIsToBeElsewhereIsUninstalledFirst(t *testing.T) {
	l := newLive(t)
	other := lab.TestNamespace(t, l.cluster)
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	moved := func(path, ready string) {
		t.Helper()
		l.wants("1.0.0", nil)
		l.becomes(path)
		l.ready(ready)
	}
	in := func(storage, name, want string) {
		t.Helper()
		if is := l.helmsOf(storage, name); is != want {
			t.Errorf("Helm has of %s/%s %q, want %q", storage, name, is, want)
		}
	}
	l.plan.Spec.ReleaseName = "named"
	moved("absent:install, in sync", "True InstallSucceeded: Helm install succeeded for release NS/named.v1 with chart app@1.0.0")
	in(l.namespace, "app", "")
	in(l.namespace, "named", "v1:deployed:1.0.0")
	l.plan.Spec.StorageNamespace = other
	moved("absent:install, in sync", "True InstallSucceeded: Helm install succeeded for release NS/named.v1 with chart app@1.0.0")
	in(l.namespace, "named", "")
	in(other, "named", "v1:deployed:1.0.0")
	if l.data() == nil {
		t.Error("it is not there")
	}
	l.plan.Spec.TargetNamespace = other
	moved("absent:install, in sync", "True InstallSucceeded: Helm install succeeded for release "+other+"/named.v1 with chart app@1.0.0")
	in(other, "named", "v1:deployed:1.0.0")
	if l.data() != nil {
		t.Error("it is still where it was")
	}
	if _, err := l.client.CoreV1().ConfigMaps(other).Get(t.Context(), "it", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	l.ends()
	in(other, "named", "")
}

func TestHelmsReleaseOfAnotherChartIsUninstalledFirst(t *testing.T) {
	renamed := map[string]string{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 2.0.0\n"}
	l := newLive(t)
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	uid := l.get(configMaps, "it").GetUID()
	l.wants("2.0.0", renamed)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart shop@2.0.0")
	if l.get(configMaps, "it").GetUID() == uid {
		t.Error("it was not made anew")
	}
	uid = l.get(configMaps, "it").GetUID()
	l.plan.Spec.Upgrade = &flux.HelmUpgrade{ChartNameChangeStrategy: "InPlaceUpdate"}
	l.wants("3.0.0", nil)
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@3.0.0")
	l.has("v2:deployed:3.0.0 v1:superseded:2.0.0")
	if l.get(configMaps, "it").GetUID() != uid {
		t.Error("it was made anew")
	}
}

func TestHelmsReleaseIsUninstalledWithItsAppAndItsHistoryKeptWhereTheSpecSaysSo(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.Uninstall = &flux.HelmUninstall{KeepHistory: true}
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	l.ends()
	if is := l.helms(); is != "v1:uninstalled:1.0.0" || l.data() != nil {
		t.Errorf("Helm has %q, and the object %v", is, l.data())
	}
	if apps, err := l.engine.Apps(t.Context()); err != nil || len(apps) > 0 {
		t.Errorf("recorded is still %v, error %v", apps, err)
	}
	// An App of this name can have it again.
	l.wants("2.0.0", nil)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v2 with chart app@2.0.0")
	l.has("v2:deployed:2.0.0 v1:superseded:1.0.0")
	l.plan.Spec.Uninstall = nil
	l.wants("2.0.0", nil)
	l.becomes("in sync")
	l.ready("True InstallSucceeded: …")
	l.ends()
	if is := l.helms(); is != "" {
		t.Errorf("Helm has %q", is)
	}
}

func TestHelmsReleaseThatFluxManagesIsTakenOverWithoutAnUpgrade(t *testing.T) {
	l := newLive(t)
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.wants("2.0.0", nil)
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	// What a Flux would have done, and would say of it.
	var status map[string]any
	if err := json.Unmarshal(l.engine.Status(l.app()).Detail, &status); err != nil {
		t.Fatal(err)
	}
	status["conditions"] = []any{map[string]any{"type": "Released", "status": "True", "reason": "UpgradeSucceeded", "message": "by Flux"}}
	delete(status, "released")
	l.stop()
	l.records = map[string][]byte{}
	if err := l.client.CoreV1().ConfigMaps(l.system).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	l.fluxSays(false, status)
	l.told = fleet.Report{}
	l.run()
	l.wants("2.0.0", nil)
	l.ready("False ManagedByFlux: …")
	l.fluxSays(true, status)
	l.becomes("in sync")
	l.ready("True UpgradeSucceeded: by Flux")
	l.stands("Released=True UpgradeSucceeded: by Flux")
	l.has("v2:deployed:2.0.0 v1:superseded:1.0.0")
	// It is ours since.
	l.wants("3.0.0", nil)
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v3 with chart app@3.0.0")
}

// fluxSays has the App's HelmRelease be one of a Flux in the cluster.
func (l *live) fluxSays(suspended bool, status map[string]any) {
	l.Helper()
	client, err := dynamic.NewForConfig(l.cluster.REST())
	if err != nil {
		l.Fatal(err)
	}
	var crd unstructured.Unstructured
	if err := json.Unmarshal([]byte(fluxsDefinition), &crd.Object); err != nil {
		l.Fatal(err)
	}
	if _, err := client.Resource(definitions).Create(l.Context(), &crd, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		l.Fatal(err)
	}
	releases := client.Resource(schema.GroupVersionResource{Group: "helm.toolkit.fluxcd.io", Version: "v2", Resource: "helmreleases"}).Namespace(l.namespace)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": map[string]any{"name": "app", "namespace": l.namespace},
		"spec": map[string]any{"suspend": suspended}, "status": status,
	}}
	l.until("Flux's kind is served", func() bool {
		_, err := releases.Apply(l.Context(), "app", object, metav1.ApplyOptions{FieldManager: "flux", Force: true})
		if err != nil && !apierrors.IsNotFound(err) {
			l.Fatal(err)
		}
		return err == nil
	})
}

const fluxsDefinition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"helmreleases.helm.toolkit.fluxcd.io"},
	"spec":{"group":"helm.toolkit.fluxcd.io","scope":"Namespaced","names":{"plural":"helmreleases","singular":"helmrelease","kind":"HelmRelease"},
	"versions":[{"name":"v2","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// widget is a definition of the test's own, whose Widgets have a field, in a chart with one of them.
func (l *live) widget(field string) map[string]string {
	group := l.namespace + ".example.com"
	return map[string]string{
		"crds/widget.yaml": strings.NewReplacer("GROUP", group, "FIELD", field).Replace("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n" +
			"metadata: {name: widgets.GROUP}\nspec:\n  group: GROUP\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets}\n  versions:\n" +
			"  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {FIELD: {type: string}}}}}\n"),
		"templates/w.yaml": "apiVersion: " + group + "/v1\nkind: Widget\nmetadata: {name: w}\n" + field + ": 'yes'\n",
	}
}

func TestHelmsReleaseWithDefinitionsOfItsOwnTreatsThemByItsPolicy(t *testing.T) {
	l := newLive(t)
	client, err := dynamic.NewForConfig(l.cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	crd, widgets := "widgets."+l.namespace+".example.com", schema.GroupVersionResource{Group: l.namespace + ".example.com", Version: "v1", Resource: "widgets"}
	t.Cleanup(func() { // it is in no namespace
		_ = client.Resource(definitions).Delete(l.Context(), crd, metav1.DeleteOptions{})
	})
	l.plan.Spec.Install = &flux.HelmInstall{CRDs: "Skip"}
	l.wants("1.0.0", l.widget("first"))
	l.becomes("absent:install")
	l.ready("False InstallFailed: …")
	if _, err := client.Resource(definitions).Get(t.Context(), crd, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what is to be skipped is there, error %v", err)
	}
	l.has("")
	l.plan.Spec.Install = nil
	l.wants("1.0.0", l.widget("first"))
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	l.is(widgets, "w", "yes", "first")
	l.plan.Spec.Upgrade = &flux.HelmUpgrade{CRDs: "CreateReplace"}
	l.wants("2.0.0", l.widget("second"))
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	l.is(widgets, "w", "yes", "second")
	l.ends()
	if _, err := client.Resource(definitions).Get(t.Context(), crd, metav1.GetOptions{}); err != nil {
		t.Errorf("the definition is gone with the release: %v", err)
	}
}

func TestHelmsReleaseHasTheSubchartsThatItsValuesSay(t *testing.T) {
	part := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Chart.Name }}'}\ndata: {value: '{{ .Values.value }}'}\n"
	files := map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n- {name: part, version: 1.0.0, condition: part.enabled}\n" +
			"- {name: part, version: 1.0.0, alias: again, condition: again.enabled}\n",
		"values.yaml":                    "value: chart\npart: {enabled: true, value: one}\nagain: {enabled: false, value: two}\n",
		"charts/part/Chart.yaml":         "apiVersion: v2\nname: part\nversion: 1.0.0\n",
		"charts/part/templates/one.yaml": part,
	}
	l := newLive(t)
	l.wants("1.0.0", files)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	l.is(configMaps, "part", "one", "data", "value")
	if l.get(configMaps, "again") != nil {
		t.Error("what is off is there")
	}
	l.plan.Spec.Values = []byte(`{"part":{"enabled":false},"again":{"enabled":true,"value":"other"}}`)
	l.wants("1.0.0", files)
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	l.is(configMaps, "again", "other", "data", "value")
	if l.get(configMaps, "part") != nil {
		t.Error("what is off is still there")
	}
	l.has("v2:deployed:1.0.0 v1:superseded:1.0.0")
}

func TestHelmsReleaseThatHasDriftedIsPutRightAndNotUpgraded(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: flux.HelmDriftWarn}
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.says("NoDriftDetected")
	l.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	l.says("DriftDetected")
	l.ready("True InstallSucceeded: …")
	l.value("value", "theirs")
	l.plan.Spec.DriftDetection.Mode = flux.HelmDriftEnabled
	l.wants("1.0.0", nil)
	l.is(configMaps, "it", "chart", "data", "value")
	l.becomes("in sync")
	l.says("NoDriftDetected")
	l.ready("True InstallSucceeded: …")
	l.stands("Released=True InstallSucceeded: …", "Drifted=False NoDriftDetected: No drift detected against the cluster state")
	l.has("v1:deployed:1.0.0")
}
