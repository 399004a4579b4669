package helm_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestHelmsRollbackThatFailsIsToldUntilOtherThingsAreWanted(t *testing.T) {
	l := newLive(t)
	remedied(flux.HelmRemediation{RemediateLastFailure: &yes})(l)
	l.wants("1.0.0", gate("pre-rollback"))
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	l.wants("2.0.0", gate("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed:rollback")
	l.ready("False RollbackFailed: Helm rollback to previous release NS/app.v1 with chart app@1.0.0 failed: … (Failed to upgrade after 1 attempt(s))")
	l.stands("Released=False UpgradeFailed: …", "Remediated=False RollbackFailed: Helm rollback to previous release NS/app.v1 with chart app@1.0.0 failed: …",
		"Stalled=True RetriesExceeded: Failed to upgrade after 1 attempt(s)")
	l.has("v3:pending-rollback:1.0.0 v2:failed:2.0.0 v1:deployed:1.0.0") // as Helm leaves it
	l.wants("3.0.0", nil)
	l.becomes("locked:unlock, failed:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v4 with chart app@3.0.0")
	l.stands("Released=True UpgradeSucceeded: …")
	l.has("v4:deployed:3.0.0 v3:failed:1.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
}

func TestHelmsUninstallThatFailsIsToldAndEndedOnceItCanBe(t *testing.T) {
	l := newLive(t)
	l.plan.Spec.Install = &flux.HelmInstall{Remediation: &flux.HelmRemediation{RemediateLastFailure: &yes}}
	l.wants("1.0.0", gate("post-install,pre-delete"))
	l.becomes("absent:install, failed:uninstall")
	l.ready("False UninstallFailed: Helm uninstall failed for release NS/app.v1 with chart app@1.0.0: … (Failed to install after 1 attempt(s))")
	l.stands("Released=False InstallFailed: …", "Remediated=False UninstallFailed: Helm uninstall failed for release NS/app.v1 with chart app@1.0.0: …",
		"Stalled=True RetriesExceeded: Failed to install after 1 attempt(s)")
	l.has("v1:uninstalling:1.0.0")
	l.plan.Spec.Uninstall = &flux.HelmUninstall{DisableHooks: true}
	l.wants("2.0.0", nil)
	l.becomes("leaving:uninstall, absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@2.0.0")
	l.stands("Released=True InstallSucceeded: …")
	l.has("v1:deployed:2.0.0")
}

func TestHelmsReleaseWhoseAppEndsIsUninstalledOnceThatSucceeds(t *testing.T) {
	l := newLive(t)
	l.controls.RetryInterval = 10 * time.Millisecond
	l.controls.Helm.Uninstall = time.Second
	l.wants("1.0.0", slowly("pre-delete"))
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: …")
	l.assign(fleet.Removed)
	l.until("it is told that it fails", func() bool { return l.report().Ready.Reason == "UninstallFailed" })
	l.until("it is removed", func() bool {
		_, _ = l.objects(pods).Patch(l.Context(), "slow", types.MergePatchType, []byte(`{"metadata":{"annotations":{"demo/run":null}}}`), metav1.PatchOptions{}) // where there is one
		return l.report().Stage == fleet.StageRemoved
	})
	if is := l.helms(); is != "" || l.data() != nil {
		t.Errorf("Helm has %q, and the object %v", is, l.data())
	}
}
