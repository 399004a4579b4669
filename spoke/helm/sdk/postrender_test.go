package sdk_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func patched(patch string) flux.HelmPostRenderer {
	return flux.HelmPostRenderer{Kustomize: &flux.HelmKustomize{Patches: []fleet.Patch{{Patch: patch}}}}
}

func TestPostRenderersWorkInOrderThenThePlacementThenTheMetadata(t *testing.T) {
	b := newBundle(t)
	b.chart("1.0.0", map[string]string{"templates/web.yaml": deployment("web", "")})
	patch := func(value string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, labels: {team: patch, helm.toolkit.fluxcd.io/name: patch}}\ndata: {a: " + value + ", " + value + ": x}\n"
	}
	b.job.Plan.Spec.PostRenderers = []flux.HelmPostRenderer{
		patched(patch("first")), patched(patch("second")), {},
		{Kustomize: &flux.HelmKustomize{Images: []fleet.Image{{Name: "a", NewName: "example.com/b", NewTag: "v2"}}}},
	}
	b.job.Binding.Patches = []fleet.Patch{{Patch: `[{"op": "add", "path": "/data/placed", "value": "yes"}]`, Target: &fleet.PatchTarget{Kind: "ConfigMap"}}}
	b.job.Plan.Spec.CommonMetadata = &fleet.CommonMetadata{Labels: map[string]string{"team": "metadata", "helm.toolkit.fluxcd.io/name": "metadata"}, Annotations: map[string]string{"note": "x"}}
	b.done(job.Install)
	object, err := b.typed.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "it", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := object.Data; d["a"] != "second" || d["first"] != "x" || d["placed"] != "yes" {
		t.Errorf("the data are %v", d)
	}
	if l := object.Labels; l["team"] != "metadata" || l["helm.toolkit.fluxcd.io/name"] != "app" || object.Annotations["note"] != "x" {
		t.Errorf("the metadata are %v, %v", l, object.Annotations)
	}
	web, err := b.typed.AppsV1().Deployments(b.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if image := web.Spec.Template.Spec.Containers[0].Image; image != "example.com/b:v2" {
		t.Errorf("the image is %s", image)
	}
	if len(web.Spec.Selector.MatchLabels) != 1 || len(web.Spec.Template.Labels) != 1 {
		t.Error("the common labels are in selectors and templates")
	}
}

func TestPostRenderStrategy(t *testing.T) {
	for strategy, tc := range map[string]struct {
		hooks  bool // are post-rendered
		shares bool // an object may be a hook and not
	}{"": {hooks: true}, "combined": {hooks: true}, "separate": {hooks: true, shares: true}, "nohooks": {shares: true}} {
		t.Run("strategy "+strategy, func(t *testing.T) {
			b := newBundle(t)
			b.chart("1.0.0", map[string]string{"templates/hook.yaml": pod("hook", hookOf("pre-install"))})
			b.job.Plan.Spec.PostRenderStrategy = strategy
			b.done(job.Install)
			hook, err := b.typed.CoreV1().Pods(b.namespace).Get(t.Context(), "hook", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := hook.Labels["helm.toolkit.fluxcd.io/name"] == "app"; got != tc.hooks {
				t.Errorf("the hook's labels are %v", hook.Labels)
			}
			b.chart("2.0.0", map[string]string{"templates/hook.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: it, annotations: {" + hookOf("pre-upgrade") + "}}\n"})
			answer := b.do(job.Request{Action: job.Upgrade})
			if got := answer.Failure == nil; got != tc.shares {
				t.Errorf("an object that is a hook too: %+v", answer.Failure)
			}
		})
	}
}

func TestAPostRendererThatFailsIsNamed(t *testing.T) {
	b := newBundle(t)
	b.job.Plan.Spec.PostRenderers = []flux.HelmPostRenderer{{}, patched("kind: ConfigMap\nmetadata: {name: none}\napiVersion: v1\n")}
	if f := b.fails(job.Install, "spec.postRenderers[1]", "none"); !f.Invalid || f.Began {
		t.Errorf("it is %+v", f)
	}
	b.job.Plan.Spec.PostRenderers = nil
	b.job.Binding.Patches = []fleet.Patch{{Patch: "kind: ConfigMap\nmetadata: {name: none}\napiVersion: v1\n"}}
	b.fails(job.Install, "the Placement's patches")
}
