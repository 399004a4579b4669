package sdk_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAReleaseIsInstalledUpgradedAndUninstalledAsHelmStoresIt(t *testing.T) {
	b := newBundle(t)
	b.values(`{"a": "1"}`)
	prepared := b.done(job.Prepare).Prepared
	if prepared.ChartName != "app" || prepared.ChartVersion != "1.0.0" || prepared.AppVersion != "v1.0.0" || prepared.Secret {
		t.Errorf("prepared is %+v", prepared)
	}
	b.historyIs(b.done(job.Observe), "")

	installed := b.done(job.Install)
	b.historyIs(installed, "1 deployed")
	if s := installed.History[0]; s.Action != "install" || s.ConfigDigest != prepared.ConfigDigest || s.ChartName != "app" || s.ChartVersion != "1.0.0" || s.APIVersion != "v2" || s.FirstDeployed.IsZero() {
		t.Errorf("the snapshot is %+v", s)
	}
	if got := b.data("it")["a"]; got != "1" {
		t.Errorf("the value is %q", got)
	}
	observed := b.done(job.Observe)
	if observed.History[0].Digest != installed.History[0].Digest {
		t.Error("the digest is another when it is observed again")
	}
	object, err := b.typed.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), "it", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if l := object.Labels; l["helm.toolkit.fluxcd.io/name"] != "app" || l["helm.toolkit.fluxcd.io/namespace"] != b.namespace || l["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("the labels are %v", l)
	}
	if m := object.ManagedFields; len(m) != 1 || m[0].Manager != "helm-controller" || m[0].Operation != "Apply" {
		t.Errorf("the fields are managed by %+v", m)
	}

	b.values(`{"a": "2"}`)
	b.historyIs(b.done(job.Upgrade), "2 deployed, 1 superseded")
	if got := b.data("it")["a"]; got != "2" {
		t.Errorf("the value is %q after the upgrade", got)
	}
	b.historyIs(b.done(job.Uninstall), "")
	if b.data("it") != nil {
		t.Error("the ConfigMap is there after the uninstall")
	}
	b.historyIs(b.done(job.Uninstall), "") // nothing is there to uninstall
}
