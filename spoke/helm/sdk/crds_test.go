package sdk_test

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definition is a CRD of the test's own group, whose Widgets have a field.
func (b *bundle) definition(field string) string {
	group := b.namespace + ".example.com"
	return fmt.Sprintf("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.%[1]s}\nspec:\n  group: %[1]s\n  scope: Namespaced\n"+
		"  names: {kind: Widget, plural: widgets}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: {%[2]s: {type: string}, status: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n", group, field)
}

// defined is the CRD as it is in the cluster; nil: it is not.
func (b *bundle) defined() *unstructured.Unstructured {
	b.Helper()
	crd, err := b.dynamic.Resource(definitions).Get(b.Context(), "widgets."+b.namespace+".example.com", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	return crd
}

func (b *bundle) undefine() {
	_ = b.dynamic.Resource(definitions).Delete(b.Context(), "widgets."+b.namespace+".example.com", metav1.DeleteOptions{}) // it may not be there
}

// widget is one of what the CRD defines; annotations as YAML without braces.
func (b *bundle) widget(name, annotations string) string {
	return "apiVersion: " + b.namespace + ".example.com/v1\nkind: Widget\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n"
}

func (b *bundle) hasField(field string) bool {
	b.Helper()
	return strings.Contains(fmt.Sprint(b.defined()), field+":")
}

func TestCRDsPolicy(t *testing.T) {
	b := newBundle(t)
	defer b.undefine()
	with := func(field string) {
		b.chart("1.0.0", map[string]string{"crds/widget.yaml": b.definition(field), "crds/not.yaml": configMap("not-a-crd", "a: b"), "templates/widget.yaml": b.widget("w", "") + field + ": x\n"})
	}
	with("first")
	b.installing(flux.HelmInstall{CRDs: "Skip"}).fails(job.Install, "Widget")
	b.installing(flux.HelmInstall{SkipCRDs: true}).fails(job.Install, "Widget")
	if b.defined() != nil || b.data("not-a-crd") != nil {
		t.Fatal("what is to be skipped is there")
	}
	// A kind is used as soon as it is defined.
	b.installing(flux.HelmInstall{}).done(job.Install)
	if l := b.defined().GetLabels(); l["helm.toolkit.fluxcd.io/name"] != "app" || l["helm.toolkit.fluxcd.io/namespace"] != b.namespace {
		t.Errorf("the CRD's labels are %v", l)
	}
	if b.data("not-a-crd") != nil {
		t.Error("what is no CRD is applied from crds/")
	}
	with("second")
	b.upgrading(flux.HelmUpgrade{CRDs: "Skip"}).fails(job.Upgrade, "second")
	b.upgrading(flux.HelmUpgrade{}).fails(job.Upgrade, "second")
	if b.hasField("second") {
		t.Error("the policy Create has changed a CRD that exists")
	}
	b.upgrading(flux.HelmUpgrade{CRDs: "CreateReplace"}).done(job.Upgrade)
	if !b.hasField("second") {
		t.Error("the policy CreateReplace has not changed the CRD")
	}
	with("third")
	b.upgrading(flux.HelmUpgrade{CRDs: "CreateReplace", ServerSideApply: "disabled"}).done(job.Upgrade)
	if !b.hasField("third") {
		t.Error("the policy CreateReplace has not changed the CRD from here")
	}
	b.done(job.Uninstall)
	if b.defined() == nil {
		t.Error("the CRD was uninstalled")
	}
}

func TestCRDsOfASubchartThatIsOffAreNotApplied(t *testing.T) {
	b := newBundle(t)
	defer b.undefine()
	sub := map[string]string{
		"Chart.yaml":            "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: sub, version: 1.0.0, repository: '', condition: sub.enabled}]\n",
		"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/crds/widget.yaml": b.definition("a"),
		"charts/sub/templates/it.yaml": configMap("of-sub", "g: {{ .Values.global.g | quote }}"),
	}
	b.chart("1.0.0", sub)
	b.values(`{"sub": {"enabled": false}}`)
	b.done(job.Install)
	if b.defined() != nil || b.data("of-sub") != nil {
		t.Error("a subchart that is off is there")
	}
	b.values(`{"sub": {"enabled": true}, "global": {"g": "1"}}`)
	b.done(job.Upgrade)
	if b.defined() == nil || b.data("of-sub")["g"] != "1" {
		t.Errorf("the subchart has %v", b.data("of-sub"))
	}
}
