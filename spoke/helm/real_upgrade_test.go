package helm_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	releasev1 "helm.sh/helm/v4/pkg/release/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// installed is a release of version 1.0.0, with a Deployment that runs.
func installed(t *testing.T, edits ...func(*live)) *live {
	t.Helper()
	l := newLive(t)
	for _, edit := range edits {
		edit(l)
	}
	l.wants("1.0.0", map[string]string{"templates/web.yaml": web("")})
	l.becomes("absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@1.0.0")
	return l
}

// remedied says what follows failed upgrades.
func remedied(r flux.HelmRemediation) func(*live) {
	return func(l *live) { l.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &r} }
}

var (
	yes, no = true, false
	pods    = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func TestHelmsReleaseThatIsOutOfSyncIsUpgraded(t *testing.T) {
	l := newLive(t)
	l.wants("1.0.0", nil)
	l.becomes("absent:install, in sync")
	version := "2.0.0"
	for _, step := range []struct {
		what   string
		change func()
		key    string
		want   string
	}{
		{"another version of the chart", func() {}, "version", "2.0.0"},
		{"other values", func() { l.plan.Spec.Values = []byte(`{"value":"spec"}`) }, "value", "spec"},
		{"values of a Placement", func() { l.binding.Values = []byte(`{"value":"placement"}`) }, "value", "placement"},
		{"post-renderers", func() {
			l.plan.Spec.PostRenderers = []flux.HelmPostRenderer{{Kustomize: &flux.HelmKustomize{Patches: []fleet.Patch{{Patch: patching("rendered")}}}}}
		}, "rendered", "yes"},
		{"patches of a Placement", func() { l.binding.Patches = []fleet.Patch{{Patch: patching("placed")}} }, "placed", "yes"},
	} {
		step.change()
		l.wants(version, nil)
		l.becomes("out of sync:upgrade, in sync")
		l.value(step.key, step.want)
		if t.Failed() {
			t.Fatal(step.what)
		}
	}
	l.plan.Spec.CommonMetadata = &fleet.CommonMetadata{Labels: map[string]string{"team": "blue"}}
	l.wants(version, nil)
	l.becomes("out of sync:upgrade, in sync")
	if labels := l.get(configMaps, "it").GetLabels(); labels["team"] != "blue" {
		t.Errorf("common metadata: labels are %v", labels)
	}
	l.has("v7:deployed:2.0.0 v6:superseded:2.0.0 v5:superseded:2.0.0 v4:superseded:2.0.0 v3:superseded:2.0.0")
	l.plan.Spec.Uninstall = &flux.HelmUninstall{DisableHooks: true}
	l.wants(version, nil) // which says nothing of what is there
	l.becomes("in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v7 with chart app@2.0.0")
	l.stands("Released=True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v7 with chart app@2.0.0")
}

func patching(key string) string {
	return "{apiVersion: v1, kind: ConfigMap, metadata: {name: it}, data: {" + key + ": 'yes'}}"
}

func TestHelmsFailedUpgradeIsRolledBackAndTriedAgain(t *testing.T) {
	l := installed(t, remedied(flux.HelmRemediation{Retries: 1}))
	l.wants("2.0.0", gateOnce("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed:rollback, out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v4 with chart app@2.0.0")
	l.stands("Released=True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v4 with chart app@2.0.0")
	l.has("v4:deployed:2.0.0 v3:superseded:1.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
	if s := l.status(); s.UpgradeFailures != 0 || s.Failures != 0 {
		t.Errorf("failures are not forgotten: %+v", s)
	}
}

func TestHelmsUpgradeThatBreaksIsRolledBackUntilRetriesAreExhausted(t *testing.T) {
	l := installed(t, remedied(flux.HelmRemediation{Retries: 1}))
	l.controls.Helm.Upgrade = time.Second
	l.wants("2.0.0", crashes())
	l.becomes("out of sync:upgrade, failed:rollback, out of sync:upgrade, failed:rollback")
	l.ready("False RollbackSucceeded: Helm rollback to previous release NS/app.v3 with chart app@1.0.0 succeeded (Failed to upgrade after 2 attempt(s))")
	l.stands("Released=False UpgradeFailed: Helm upgrade failed for release NS/app with chart app@2.0.0: …",
		"Remediated=True RollbackSucceeded: Helm rollback to previous release NS/app.v3 with chart app@1.0.0 succeeded",
		"Stalled=True RetriesExceeded: Failed to upgrade after 2 attempt(s)")
	l.has("v5:deployed:1.0.0 v4:failed:2.0.0 v3:superseded:1.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
	l.value("version", "1.0.0")
	d, err := l.client.AppsV1().Deployments(l.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || d.Spec.Template.Annotations["demo/fail"] != "" || d.Status.AvailableReplicas != 1 {
		t.Errorf("the Deployment is not what it was: %+v, error %v", d, err)
	}
	l.healthy(fleet.True)
	l.wants("1.0.0", map[string]string{"templates/web.yaml": web("")}) // which it is again
	l.becomes("in sync")
	l.ready("True UpgradeSucceeded: …")
	l.stands("Released=True UpgradeSucceeded: …")
}

func TestHelmsFailedUpgradeIsRolledBackToTheLastGoodVersionAndNotToTheOneBefore(t *testing.T) {
	l := installed(t)
	l.wants("2.0.0", gate("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed")
	l.ready("False UpgradeFailed: …")
	l.stands("Released=False UpgradeFailed: Helm upgrade failed for release NS/app with chart app@2.0.0: …",
		"Stalled=True RetriesExceeded: Failed to upgrade after 1 attempt(s)")
	l.has("v2:failed:2.0.0 v1:deployed:1.0.0")
	remedied(flux.HelmRemediation{RemediateLastFailure: &yes})(l)
	l.wants("3.0.0", gate("post-upgrade"))
	l.becomes("failed:upgrade, failed:rollback")
	l.ready("False RollbackSucceeded: Helm rollback to previous release NS/app.v1 with chart app@1.0.0 succeeded…")
	l.has("v4:deployed:1.0.0 v3:failed:3.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
	l.value("version", "1.0.0")
}

func TestHelmsLastFailedUpgradeStaysWhereTheSpecSaysSo(t *testing.T) {
	l := installed(t, remedied(flux.HelmRemediation{Retries: 1, RemediateLastFailure: &no}))
	l.wants("2.0.0", gate("post-upgrade"))
	l.becomes("out of sync:upgrade, failed:rollback, out of sync:upgrade, failed")
	l.ready("False UpgradeFailed: …")
	l.stands("Released=False UpgradeFailed: …", "Stalled=True RetriesExceeded: Failed to upgrade after 2 attempt(s)")
	l.has("v4:failed:2.0.0 v3:deployed:1.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
	l.value("version", "2.0.0")
}

func TestHelmsFailedUpgradeIsUninstalledAndInstalledByTheStrategyUninstall(t *testing.T) {
	l := installed(t, remedied(flux.HelmRemediation{Retries: 1, Strategy: "uninstall"}))
	uid := l.get(configMaps, "it").GetUID()
	l.wants("2.0.0", gate("pre-upgrade")) // no hook of an install
	l.becomes("out of sync:upgrade, failed:uninstall, absent:install, in sync")
	l.ready("True InstallSucceeded: Helm install succeeded for release NS/app.v1 with chart app@2.0.0")
	l.stands("Released=True InstallSucceeded: …")
	l.has("v1:deployed:2.0.0")
	if it := l.get(configMaps, "it"); it == nil || it.GetUID() == uid {
		t.Errorf("it was not made anew: %v", it)
	}
}

func TestHelmsFailedUpgradeIsTriedAgainAsItIsByTheStrategyRetryOnFailure(t *testing.T) {
	l := installed(t, func(l *live) {
		l.controls.Helm.RetryUpgrade = 10 * time.Millisecond
		l.plan.Spec.Upgrade = &flux.HelmUpgrade{Strategy: &flux.HelmStrategy{Name: "RetryOnFailure"}}
	})
	l.wants("2.0.0", gateOnce("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed, failed:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v3 with chart app@2.0.0")
	l.stands("Released=True UpgradeSucceeded: …")
	l.has("v3:deployed:2.0.0 v2:failed:2.0.0 v1:superseded:1.0.0")
}

func TestHelmsUpgradeIsTriedAgainWhereWhatIsRolledBackToIsNotWhatItWas(t *testing.T) {
	for name, touch := range map[string]func(l *live){
		"gone": func(l *live) { l.delete(secrets, "sh.helm.release.v1.app.v1") },
		"changed": func(l *live) {
			releases := l.hand().Releases
			found, err := releases.Get("app", 1)
			if err != nil {
				l.Fatal(err)
			}
			version := found.(*releasev1.Release)
			version.Manifest += "\n# by somebody else\n"
			if err := releases.Update(version); err != nil {
				l.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := installed(t)
			l.wants("2.0.0", gate("pre-upgrade"))
			l.becomes("out of sync:upgrade, failed")
			l.ready("False UpgradeFailed: …")
			touch(l)
			l.becomes("failed") // it is looked at, as Helm's storage has changed
			remedied(flux.HelmRemediation{Retries: 1})(l)
			l.wants("3.0.0", gateOnce("pre-upgrade"))
			l.becomes("failed:upgrade, failed, failed:upgrade, in sync")
			l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v4 with chart app@3.0.0")
			l.value("version", "3.0.0")
		})
	}
}

func TestHelmsFailedUpgradeWithNothingToRollBackToStops(t *testing.T) {
	l := newLive(t)
	l.wants("1.0.0", gate("post-install"))
	l.becomes("absent:install, failed")
	l.ready("False InstallFailed: …")
	remedied(flux.HelmRemediation{Retries: 3})(l)
	l.wants("2.0.0", gate("post-upgrade"))
	l.becomes("failed:upgrade, failed")
	l.ready("False UpgradeFailed: …")
	l.stands("Released=False UpgradeFailed: …", "Stalled=True MissingRollbackTarget: …")
	l.has("v2:failed:2.0.0 v1:failed:1.0.0")
	l.wants("3.0.0", nil)
	l.becomes("failed:upgrade, in sync")
	l.has("v3:deployed:3.0.0 v2:superseded:2.0.0 v1:failed:1.0.0")
}

func TestHelmsRetriesBeginAnewWhenOtherThingsAreWanted(t *testing.T) {
	l := installed(t, remedied(flux.HelmRemediation{Retries: 1}))
	l.wants("2.0.0", gate("pre-upgrade"))
	l.ready("False RollbackSucceeded: …")
	l.wants("3.0.0", gate("pre-upgrade")) // which has two attempts of its own, whether 2.0.0 has had one or two
	l.ready("False RollbackSucceeded: … (Failed to upgrade after 2 attempt(s))")
	l.stands("Released=False UpgradeFailed: Helm upgrade failed for release NS/app with chart app@3.0.0: …", "Remediated=True RollbackSucceeded: …",
		"Stalled=True RetriesExceeded: Failed to upgrade after 2 attempt(s)")
	if is := l.helms(); strings.Count(is, ":failed:3.0.0") != 2 {
		t.Errorf("Helm has %q, want two attempts at 3.0.0", is)
	}
	l.forget()
	// Not only by what is released: a timeout will do.
	l.controlled(func(c *fleet.Controls) { c.Helm.Upgrade = 30 * time.Second })
	l.becomes("out of sync:upgrade, failed:rollback, out of sync:upgrade, failed:rollback")
	l.ready("False RollbackSucceeded: … (Failed to upgrade after 2 attempt(s))")
}

func TestHelmsUpgradeWithoutRemediationIsTriedAgainByRequest(t *testing.T) {
	l := installed(t)
	l.wants("2.0.0", gate("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed")
	l.ready("False UpgradeFailed: …")
	l.controlled(func(c *fleet.Controls) { c.RequestedAt = "once" }) // a request alone tries nothing that is exhausted
	l.until("it is served", func() bool { return l.report().HandledReconcileAt == "once" })
	for _, request := range []struct {
		at     string
		change func(c *fleet.Controls)
	}{
		{"reset", func(c *fleet.Controls) { c.RequestedAt, c.Helm.ResetAt = "reset", "reset" }},
		{"force", func(c *fleet.Controls) { c.RequestedAt, c.Helm.ForceAt = "force", "force" }},
	} {
		l.controlled(request.change)
		l.becomes("failed:upgrade, failed")
		l.until("it is served", func() bool { return l.report().HandledReconcileAt == request.at })
	}
	l.stands("Released=False UpgradeFailed: …", "Stalled=True RetriesExceeded: Failed to upgrade after 2 attempt(s)")
	if s := l.status(); s.LastHandledResetAt != "reset" || s.LastHandledForceAt != "force" {
		t.Errorf("what is handled is %+v", s)
	}
	l.has("v4:failed:2.0.0 v3:failed:2.0.0 v2:failed:2.0.0 v1:deployed:1.0.0")
}

func TestHelmsReleaseThatIsInSyncIsUpgradedOnceByForce(t *testing.T) {
	l := installed(t)
	l.controlled(func(c *fleet.Controls) { c.RequestedAt, c.Helm.ForceAt = "now", "now" })
	l.becomes("in sync:upgrade, in sync")
	l.until("it is served", func() bool { return l.report().HandledReconcileAt == "now" })
	l.controlled(func(c *fleet.Controls) { c.RequestedAt = "later" }) // without force
	l.until("it is served", func() bool { return l.report().HandledReconcileAt == "later" })
	l.has("v2:deployed:1.0.0 v1:superseded:1.0.0")
}

func TestHelmsReleaseIsLeftAloneWhileSuspended(t *testing.T) {
	l := installed(t)
	l.controls.Suspend = true
	l.wants("2.0.0", nil)
	l.until("it is suspended", func() bool { return l.report().Stage == fleet.StageSuspended })
	l.byHand("upgrade", 3, nil)
	l.patch(configMaps, "it", "someone", `{"data":{"value":"theirs"}}`)
	l.until("what was done by hand is seen", func() bool { return l.engine.Status(l.app()).Wakes > 0 })
	l.becomes("")
	if is := l.helms(); is != "v2:deployed:3.0.0 v1:superseded:1.0.0" {
		t.Errorf("Helm has %q", is)
	}
	l.controlled(func(c *fleet.Controls) { c.Suspend = false })
	l.becomes("unmanaged:upgrade, in sync")
	l.has("v3:deployed:2.0.0 v2:superseded:3.0.0 v1:superseded:1.0.0")
	l.value("value", "chart")
}

func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
