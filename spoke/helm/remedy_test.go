package helm

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAFailedUpgradeIsRolledBackAndTriedUntilRetriesAreExhausted(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: retries(1)}
	good := b.deploy("web@1")
	b.helm.done()
	b.told()
	b.helm.fails(job.Upgrade, whilePending, errors.New("crash loop"))
	bad := b.target("web@2")
	failure := b.refused(bad, "RollbackSucceeded")
	if failure.Terminal || failure.RetryAfter <= 0 || failure.RetryAfter > time.Minute {
		t.Errorf("failure is %+v: it is to be tried again soon", failure)
	}
	b.wants("upgrade rollback", "v3:deployed:1 v2:failed:2 v1:superseded:1")
	if s := b.engine.Status(b.app); s.Applied != good.Release.Digest() || s.Ready.Status == fleet.True {
		t.Errorf("status is %+v", s)
	}
	failure = b.refused(bad, "RollbackSucceeded")
	b.wants("upgrade rollback", "v5:deployed:1 v4:failed:2 v3:superseded:1 v2:failed:2 v1:superseded:1")
	h := b.status()
	if !failure.Terminal || h.Stalled.Reason != "RetriesExceeded" || h.UpgradeFailures != 2 || h.Remediated.Status != fleet.True || h.Released.Reason != "UpgradeFailed" {
		t.Errorf("failure is %+v, status %+v", failure, h)
	}
	if !strings.Contains(h.Released.Message, "crash loop") {
		t.Errorf("told is %q", h.Released.Message)
	}
	processes := b.helm.processes()
	if failure := b.refused(bad, "RollbackSucceeded"); !failure.Terminal || b.helm.processes() != processes {
		t.Errorf("what is exhausted was looked at again: %+v", failure)
	}
	if got := b.told(); got != "UpgradeFailed RollbackSucceeded UpgradeFailed RollbackSucceeded" {
		t.Errorf("told is %q", got)
	}
	// What was rolled back to is wanted again: nothing is to be done.
	b.helm.says(nil)
	b.deploy("web@1")
	b.wants("", "v5:deployed:1 v4:failed:2 v3:superseded:1 v2:failed:2 v1:superseded:1")
	if s := b.engine.Status(b.app); s.Ready.Reason != "UpgradeSucceeded" || s.Applied != good.Release.Digest() {
		t.Errorf("status is %+v", s)
	}
	if h := b.status(); h.Stalled.Status != "" || h.Failures != 0 || h.Remediated.Status != "" {
		t.Errorf("status is %+v", h)
	}
}

func TestWhatIsExhaustedIsTriedAgainOnRequestByResetOrForceOrWhenTimeoutsChange(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.helm.fails(job.Upgrade, whilePending, errors.New("no"))
	b.refused(b.target("web@2"), "UpgradeFailed")
	b.helm.done()
	for name, change := range map[string]func(*fleet.Controls){
		"reset":            func(c *fleet.Controls) { c.RequestedAt, c.Helm.ResetAt = "now", "now" },
		"force":            func(c *fleet.Controls) { c.RequestedAt, c.Helm.ForceAt = "then", "then" },
		"a longer timeout": func(c *fleet.Controls) { c.Helm.Upgrade = time.Hour },
	} {
		change(&b.controls)
		b.refused(b.target("web@2"), "UpgradeFailed")
		if got := b.helm.done(); got != "upgrade" {
			t.Errorf("%s: done was %q, want an upgrade", name, got)
		}
		b.refused(b.target("web@2"), "UpgradeFailed")
		if got := b.helm.done(); got != "" {
			t.Errorf("%s, once more: done was %q, want nothing", name, got)
		}
	}
	b.controls.Helm.ResetAt = "another"
	b.refused(b.target("web@2"), "UpgradeFailed")
	if got := b.helm.done(); got != "" {
		t.Errorf("a reset without a request: done was %q", got)
	}
}

func TestAFailedInstallIsUninstalledAndInstalledAgain(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Install = &flux.HelmInstall{Remediation: retries(1)}
	b.helm.fails(job.Install, whilePending, errors.New("no"))
	if failure := b.refused(b.target("web@1"), "UninstallSucceeded"); failure.Terminal {
		t.Errorf("failure is %+v", failure)
	}
	b.wants("install uninstall", "")
	b.helm.says(nil)
	b.deploy("web@1")
	b.wants("install", "v1:deployed:1")
}

func TestTheLastFailedInstallStaysToBeLookedAt(t *testing.T) {
	b := newBundle(t)
	b.helm.fails(job.Install, whilePending, errors.New("no"))
	if failure := b.refused(b.target("web@1"), "InstallFailed"); !failure.Terminal {
		t.Errorf("failure is %+v", failure)
	}
	b.wants("install", "v1:failed:1")
	b.helm.says(nil)
	b.deploy("web@2")
	b.wants("upgrade", "v2:deployed:2 v1:failed:1")
}

func TestWhatFailsBeforeAnythingIsStoredIsNotCounted(t *testing.T) {
	b := newBundle(t)
	b.helm.fails(job.Install, beforeStored, &job.Failure{Reason: "InstallFailed", Message: "template: a.yaml:1", Invalid: true})
	if failure := b.refused(b.target("web@1"), "InstallFailed"); !failure.Terminal || !strings.Contains(failure.Error(), "template: a.yaml:1") {
		t.Errorf("failure is %+v", failure)
	}
	if h := b.status(); h.InstallFailures != 0 || h.Failures != 1 || h.Stalled.Status != "" {
		t.Errorf("status is %+v", h)
	}
	b.helm.says(nil)
	b.deploy("web@1")
	b.helm.fails(job.Prepare, beforeStored, &job.Failure{Reason: "ValuesError", Message: "ConfigMap/apps/values is not there"})
	if failure := b.refused(b.target("web@2"), "ValuesError"); failure.Terminal {
		t.Errorf("failure is %+v", failure)
	}
}

func TestAFailureIsTriedAgainAsItIsAfterTheStrategysInterval(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Strategy: &flux.HelmStrategy{Name: "RetryOnFailure"}}
	b.controls.Helm.RetryUpgrade = 7 * time.Minute
	b.deploy("web@1")
	b.helm.fails(job.Upgrade, whilePending, errors.New("no"))
	if failure := b.refused(b.target("web@2"), "UpgradeFailed"); failure.Terminal || failure.RetryAfter != 7*time.Minute {
		t.Errorf("failure is %+v", failure)
	}
	b.helm.says(nil)
	b.deploy("web@2")
	b.wants("install upgrade upgrade", "v3:deployed:2 v2:failed:2 v1:superseded:1")
	if h := b.status(); h.Failures != 0 || h.UpgradeFailures != 0 {
		t.Errorf("status is %+v", h)
	}
}

func TestAReleaseThatFailsItsTestsIsRemediated(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Test = &flux.HelmTest{Enable: true}
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: retries(1)}
	b.helm.tests = map[string]string{"ping": "Succeeded"}
	b.deploy("web@1")
	b.wants("install test", "v1:deployed:1")
	if h := b.status(); h.TestSuccess.Reason != "TestSucceeded" || b.engine.Status(b.app).Ready.Reason != "TestSucceeded" {
		t.Errorf("status is %+v", h)
	}
	b.helm.tests = map[string]string{"ping": "Failed"}
	b.refused(b.target("web@2"), "RollbackSucceeded")
	b.wants("upgrade test rollback", "v3:deployed:1 v2:superseded:2 v1:superseded:1")
	if h := b.status(); h.UpgradeFailures != 1 || h.TestSuccess.Reason != "TestFailed" {
		t.Errorf("status is %+v", h)
	}
}

func TestAFailedTestThatNeedsNoRemedyIsTold(t *testing.T) {
	b := newBundle(t)
	yes := true
	b.plan.Spec.Test = &flux.HelmTest{Enable: true}
	b.plan.Spec.Install = &flux.HelmInstall{Remediation: &flux.HelmRemediation{IgnoreTestFailures: &yes}}
	b.helm.tests = map[string]string{"ping": "Failed"}
	target := b.target("web@1")
	b.refused(target, "TestFailed")
	b.refused(target, "TestFailed")
	b.wants("install test", "v1:deployed:1")
	b.plan.Spec.Test.IgnoreFailures = true
	b.deploy("web@1")
	b.wants("", "v1:deployed:1")
	if s := b.engine.Status(b.app); s.Ready.Reason != "InstallSucceeded" {
		t.Errorf("status is %+v", s)
	}
}

func TestAProcessThatGoesOverABoundCountsWhenAVersionWasStored(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &flux.HelmRemediation{Retries: 1}}
	b.deploy("web@1")
	b.helm.done()
	b.helm.fails(job.Upgrade, whilePending, errors.Join(errKilled, fleet.ErrInvalid))
	if failure := b.refused(b.target("web@2"), "UpgradeFailed"); failure.RetryAfter != time.Second {
		t.Errorf("failure is %+v", failure)
	}
	b.refused(b.target("web@2"), "RollbackSucceeded")
	b.wants("upgrade unlock rollback", "v3:deployed:1 v2:failed:2 v1:superseded:1")
	if h := b.status(); h.UpgradeFailures != 1 {
		t.Errorf("status is %+v", h)
	}
}
