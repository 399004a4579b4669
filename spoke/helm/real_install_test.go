package helm_test

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/flux"
)

// gate is a chart's hook that fails: a Pod that exits with 1.
func gate(events string) map[string]string {
	return map[string]string{"templates/gate.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: gate, annotations: {helm.sh/hook: '" + events + "', demo/fail: crash}}\n" +
		"spec: {restartPolicy: Never, containers: [{name: gate, image: gate}]}\n"}
}

// gateOnce is one that fails the first time only. It leaves a mark that no uninstall takes away, as it is a hook's.
func gateOnce(events string) map[string]string {
	return map[string]string{"templates/gate.yaml": "{{ if not (lookup \"v1\" \"ConfigMap\" .Release.Namespace \"seen\") }}\n" +
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen, annotations: {helm.sh/hook: '" + events + "', helm.sh/hook-weight: '-1'}}\n---\n" +
		gate(events)["templates/gate.yaml"] + "{{ end }}\n"}
}

// crashes is a Deployment that never gets ready.
func crashes() map[string]string {
	return map[string]string{"templates/web.yaml": broken("deployment")}
}

func tries(n int) *flux.HelmRemediation { return &flux.HelmRemediation{Retries: n} }

func (r *real) deployed(name string) bool {
	r.Helper()
	_, err := r.client.AppsV1().Deployments(r.namespace).Get(r.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		r.Fatal(err)
	}
	return err == nil
}

func (r *real) value(key, want string) {
	r.Helper()
	if got := r.data()[key]; got != want {
		r.Errorf("%s of the chart's ConfigMap is %q, want %q", key, got, want)
	}
}

func TestHelmsReleaseThatIsAbsentIsInstalled(t *testing.T) {
	l := newLive(t)
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@1.0.0")
	l.stands("Released=True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@1.0.0")
	l.has("v1:deployed:1.0.0")
	l.value("version", "1.0.0")
}

func TestHelmsFailedInstallIsUninstalledAndInstalledAgain(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.Install = &flux.HelmInstall{Remediation: tries(1)}
	l.wants("1.0.0", gateOnce("pre-install"))
	l.becomes("absent:install, failed:uninstall, absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@1.0.0")
	l.stands("Released=True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@1.0.0")
	l.has("v1:deployed:1.0.0")
	if s := l.status(); s.InstallFailures != 0 || s.Failures != 0 {
		t.Errorf("failures are not forgotten: %+v", s)
	}
}

func TestHelmsLastFailedInstallStaysToBeLookedAtUntilOtherThingsAreWanted(t *testing.T) {
	l := newLive(t)
	l.controls.Helm.Install = time.Second
	l.plan.Spec.Install = &flux.HelmInstall{Remediation: tries(1)}
	l.wants("1.0.0", crashes()) // which is waited for as long as the timeout says
	l.becomes("absent:install, failed:uninstall, absent:install, failed")
	l.ready("False InstallFailed: Helm install failed for release NS/app with chart app@1.0.0: … (Failed to install after 2 attempt(s))")
	l.stands("Released=False InstallFailed: Helm install failed for release NS/app with chart app@1.0.0: it took longer than 1s: Deployment/NS/web is InProgress…",
		"Stalled=True RetriesExceeded: Failed to install after 2 attempt(s)")
	l.has("v1:failed:1.0.0")
	if !l.deployed("web") {
		t.Error("what failed is not there to be looked at")
	}
	l.wants("2.0.0", nil)
	l.becomes("failed:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@2.0.0")
	l.stands("Released=True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@2.0.0")
	l.has("v2:deployed:2.0.0 v1:superseded:1.0.0")
}

func TestHelmsLastFailedInstallIsUninstalledWhereTheSpecSaysSo(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.Install = &flux.HelmInstall{Remediation: &flux.HelmRemediation{RemediateLastFailure: &yes}}
	l.wants("1.0.0", gate("post-install"))
	l.becomes("absent:install, failed:uninstall")
	l.ready("False UninstallSucceeded: …")
	l.stands("Released=False InstallFailed: Helm install failed for release NS/app with chart app@1.0.0: …failed post-install: Pod/NS/gate is Failed: its phase is Failed",
		"Remediated=True UninstallSucceeded: Helm uninstall succeeded for release NS/app.v1 with chart app@1.0.0",
		"Stalled=True RetriesExceeded: Failed to install after 1 attempt(s)")
	l.has("")
	if l.data() != nil {
		t.Error("what failed is still there")
	}
	l.wants("2.0.0", nil) // failures of what was wanted before count no more
	l.becomes("absent:install, in sync")
	l.has("v1:deployed:2.0.0")
}

func TestHelmsFailedInstallIsTriedAgainAsItIsByTheStrategyRetryOnFailure(t *testing.T) {
	l := newLive(t)
	l.controls.Helm.RetryInstall = 10 * time.Millisecond
	l.plan.Spec.Install = &flux.HelmInstall{Strategy: &flux.HelmStrategy{Name: "RetryOnFailure"}}
	l.wants("1.0.0", gateOnce("pre-install"))
	l.becomes("absent:install, failed, failed:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@1.0.0")
	l.stands("Released=True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@1.0.0")
	l.has("v2:deployed:1.0.0 v1:superseded:1.0.0")
	l.value("version", "1.0.0")
}

func TestHelmsInstallThatIsNotWaitedForIsDone(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.Install = &flux.HelmInstall{DisableWait: true}
	l.wants("1.0.0", crashes())
	l.becomes("absent:install, in sync")
	l.until("it is unhealthy", func() bool { return l.report().Healthy.Status == "False" || l.report().Healthy.Status == "Unknown" })
	l.stands("Released=True InstallSucceeded: …")
	l.has("v1:deployed:1.0.0")
}
