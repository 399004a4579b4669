package helm_test

import (
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
)

// ping is a test of a chart, with annotations.
func ping(name, annotations string) map[string]string {
	return map[string]string{"templates/" + name + ".yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", annotations: {helm.sh/hook: test" + annotations + "}}\n" +
		"spec: {restartPolicy: Never, containers: [{name: ping, image: ping}]}\n"}
}

func fails(name string) map[string]string { return ping(name, ", demo/fail: crash") }

func tested(l *live) { l.plan.Spec.Test = &flux.HelmTest{Enable: true} }

func TestHelmsReleaseIsTestedAfterEachAction(t *testing.T) {
	l := newLive(t)
	tested(l)
	l.wants("1.0.0", ping("ping", ""))
	l.becomes("absent:install, untested:test, in sync")
	l.ready("True TestSucceeded: Helm test succeeded for release NS/app.v1 with chart app@1.0.0: …")
	l.stands("Released=True InstallSucceeded: …", "TestSuccess=True TestSucceeded: Helm test succeeded for release NS/app.v1 with chart app@1.0.0: …")
	l.wants("2.0.0", both(ping("ping", ""), fails("tong")))
	l.becomes("out of sync:upgrade, untested:test, failed")
	l.ready("False TestFailed: Helm test failed for release NS/app.v2 with chart app@2.0.0: …")
	l.stands("Released=True UpgradeSucceeded: …", "TestSuccess=False TestFailed: …", "Stalled=True RetriesExceeded: Failed to upgrade after 1 attempt(s)")
	l.has("v2:deployed:2.0.0 v1:superseded:1.0.0")
	if s := l.status(); s.History[0].TestHooks["ping"].Phase != "Succeeded" || s.History[0].TestHooks["tong"].Phase != "Failed" {
		t.Errorf("tests are recorded as %+v", s.History[0].TestHooks)
	}
	// Those that are left out do not fail.
	l.plan.Spec.Test.Filters = []flux.HelmTestFilter{{Name: "tong", Exclude: true}}
	l.wants("3.0.0", both(ping("ping", ""), fails("tong")))
	l.becomes("out of sync:upgrade, untested:test, in sync")
	l.ready("True TestSucceeded: …")
	// A version that was not tested is so now.
	l.plan.Spec.Test = nil
	l.wants("4.0.0", ping("ping", ""))
	l.becomes("out of sync:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	tested(l)
	l.wants("4.0.0", ping("ping", ""))
	l.becomes("untested:test, in sync")
	l.ready("True TestSucceeded: …")
	l.has("v4:deployed:4.0.0 v3:superseded:3.0.0 v2:superseded:2.0.0 v1:superseded:1.0.0")
}

func TestHelmsFailedTestOfAnUpgradeIsRolledBackPastWhatFailedItsTests(t *testing.T) {
	l := newLive(t)
	tested(l)
	l.wants("1.0.0", ping("ping", ""))
	l.becomes("absent:install, untested:test, in sync")
	l.wants("2.0.0", fails("ping")) // which stays
	l.becomes("out of sync:upgrade, untested:test, failed")
	l.ready("False TestFailed: …")
	remedied(flux.HelmRemediation{RemediateLastFailure: &yes})(l)
	l.wants("3.0.0", fails("ping"))
	l.becomes("out of sync:upgrade, untested:test, failed:rollback")
	l.ready("False RollbackSucceeded: Helm rollback to previous release NS/app.v1 with chart app@1.0.0 succeeded…")
	l.stands("Released=True UpgradeSucceeded: …", "TestSuccess=False TestFailed: Helm test failed for release NS/app.v3 with chart app@3.0.0: …",
		"Remediated=True RollbackSucceeded: …", "Stalled=True RetriesExceeded: Failed to upgrade after 1 attempt(s)")
	l.has("v4:deployed:1.0.0 v3:superseded:3.0.0 v2:superseded:2.0.0 v1:superseded:1.0.0")
	l.value("version", "1.0.0")
}

func TestHelmsFailedTestOfAnInstallIsUninstalledAndInstalledAgain(t *testing.T) {
	l := newLive(t)
	tested(l)
	l.plan.Spec.Install = &flux.HelmInstall{Remediation: tries(1)}
	l.wants("1.0.0", gateOnce("test")) // the mark is no Pod, and a hook all the same
	l.becomes("absent:install, untested:test, failed:uninstall, absent:install, untested:test, in sync")
	l.ready("True TestSucceeded: …")
	l.stands("Released=True InstallSucceeded: …", "TestSuccess=True TestSucceeded: …")
	l.has("v1:deployed:1.0.0")
}

func TestHelmsFailedTestThatDoesNotCountChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(l *live)
		ready string
	}{
		"by the tests": {func(l *live) { l.plan.Spec.Test.IgnoreFailures = true }, "True InstallSucceeded: …"},
		"by the remediation": {func(l *live) {
			l.plan.Spec.Install = &flux.HelmInstall{Remediation: &flux.HelmRemediation{Retries: 2, IgnoreTestFailures: &yes}}
		}, "False TestFailed: …"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLive(t)
			tested(l)
			c.edit(l)
			l.wants("1.0.0", fails("ping"))
			l.becomes("absent:install, untested:test, in sync")
			l.ready(c.ready)
			l.stands("Released=True InstallSucceeded: …", "TestSuccess=False TestFailed: …")
			l.has("v1:deployed:1.0.0")
		})
	}
}

// killed kills the process of Helm's that is at work.
func (l *live) killed() {
	l.Helper()
	l.runner.mu.Lock()
	pid := l.runner.newest
	l.runner.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.Fatal(err)
	}
}

func TestHelmsTestsThatAreKilledRunOnceMore(t *testing.T) {
	l := newLive(t)
	tested(l)
	l.wants("1.0.0", ping("ping", ", demo/run: 'true'")) // it goes on and on
	l.until("the test runs", func() bool { p := l.get(pods, "ping"); return p != nil })
	uid := l.get(pods, "ping").GetUID()
	l.killed()
	l.until("it runs once more", func() bool { p := l.get(pods, "ping"); return p != nil && p.GetUID() != uid })
	l.patch(pods, "ping", "somebody", `{"metadata":{"annotations":{"demo/run":null}}}`)
	l.becomes("absent:install, untested:test, untested:test, in sync")
	l.ready("True TestSucceeded: …")
	l.stands("Released=True InstallSucceeded: …", "TestSuccess=True TestSucceeded: …")
	l.has("v1:deployed:1.0.0")
}

func TestHelmsTestsThatTakeTooLongHaveFailed(t *testing.T) {
	l := newLive(t)
	tested(l)
	l.controls.Helm.Test = time.Second
	l.wants("1.0.0", ping("ping", ", demo/run: 'true'"))
	l.becomes("absent:install, untested:test, failed")
	l.ready("False TestFailed: Helm test failed for release NS/app.v1 with chart app@1.0.0: …")
	l.stands("Released=True InstallSucceeded: …", "TestSuccess=False TestFailed: …", "Stalled=True RetriesExceeded: Failed to install after 1 attempt(s)")
	l.has("v1:deployed:1.0.0")
}
