package helm_test

import (
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestHelmsReleaseThatIsLockedByOneThatIsGoneIsUnlocked(t *testing.T) {
	for status, c := range map[common.Status]struct{ path, has string }{
		common.StatusPendingInstall:  {"locked:unlock, unmanaged:upgrade, in sync", "v2:deployed:2.0.0 v1:superseded:1.0.0"},
		common.StatusPendingUpgrade:  {"locked:unlock, unmanaged:upgrade, in sync", "v3:deployed:2.0.0 v2:failed:1.0.0 v1:superseded:1.0.0"},
		common.StatusPendingRollback: {"locked:unlock, unmanaged:upgrade, in sync", "v3:deployed:2.0.0 v2:failed:1.0.0 v1:superseded:1.0.0"},
	} {
		t.Run(string(status), func(t *testing.T) {
			l := newLive(t)
			l.leaves(status, time.Now().Add(-time.Hour))
			l.wants("2.0.0", nil)
			l.becomes(c.path)
			l.ready("True UpgradeSucceeded: …")
			l.stands("Released=True UpgradeSucceeded: …")
			l.has(c.has)
			l.value("version", "2.0.0")
			unlocked := l.eventsOf("PendingRelease")
			if len(unlocked) != 1 || unlocked[0].Warning {
				t.Errorf("told is %+v", unlocked)
			}
		})
	}
}

func TestHelmsReleaseThatSomebodyIsAtWorkOnIsLeftUntilThatEnds(t *testing.T) {
	l := installed(t)
	l.leaves(common.StatusPendingUpgrade, time.Now())
	l.becomes("locked")
	l.ready("False PendingRelease: somebody else's action on the release is under way …")
	l.has("v2:pending-upgrade:1.0.0 v1:deployed:1.0.0")
	releases := l.hand().Releases
	found, err := releases.Get("app", 2)
	if err != nil {
		t.Fatal(err)
	}
	done := found.(*releasev1.Release)
	done.SetStatus(common.StatusDeployed, "")
	if err := releases.Update(done); err != nil {
		t.Fatal(err)
	}
	l.becomes("unmanaged:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
}

func TestHelmsReleaseThatSomebodyLeftLockedIsUnlockedOnceThatHasTakenTooLong(t *testing.T) {
	l := installed(t, func(l *live) {
		l.controls.Helm.Upgrade = 2 * time.Second
		l.plan.Spec.Upgrade = &flux.HelmUpgrade{DisableWait: true} // so that this is no limit of what we do
	})
	l.leaves(common.StatusPendingUpgrade, time.Now())
	l.becomes("locked, locked:unlock, unmanaged:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	l.has("v3:deployed:1.0.0 v2:failed:1.0.0 v1:superseded:1.0.0")
}

// slowly is a hook that goes on until it is let go.
func slowly(events string) map[string]string {
	return map[string]string{"templates/slow.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: slow, annotations: {helm.sh/hook: '" + events + "', demo/run: 'true'}}\n" +
		"spec: {restartPolicy: Never, containers: [{name: slow, image: slow}]}\n"}
}

// killedAt kills Helm's process in that hook, and lets the next one go on.
func (l *live) killedAt(what string) {
	l.Helper()
	l.until("the hook runs", func() bool { return l.get(pods, "slow") != nil })
	uid := l.get(pods, "slow").GetUID()
	l.killed()
	l.until(what+" begins once more", func() bool {
		p := l.get(pods, "slow")
		return p != nil && p.GetUID() != uid
	})
	l.patch(pods, "slow", "somebody", `{"metadata":{"annotations":{"demo/run":null}}}`)
}

func TestHelmsOwnActionThatIsKilledIsUnlockedAtOnceAndRepeated(t *testing.T) {
	for event, c := range map[string]struct {
		before func(l *live)
		path   string
		has    string
	}{
		"install": {func(l *live) { l.wants("1.0.0", slowly("pre-install")) },
			"absent:install, locked:unlock, failed:install, in sync", "v2:deployed:1.0.0 v1:failed:1.0.0"},
		"upgrade": {func(l *live) {
			l.wants("1.0.0", nil)
			l.becomes("absent:install, in sync")
			l.wants("2.0.0", slowly("pre-upgrade"))
		}, "out of sync:upgrade, locked:unlock, failed:upgrade, in sync", "v3:deployed:2.0.0 v2:failed:2.0.0 v1:superseded:1.0.0"},
		"rollback": {func(l *live) {
			remedied(flux.HelmRemediation{RemediateLastFailure: &yes})(l)
			l.wants("1.0.0", slowly("pre-rollback"))
			l.becomes("absent:install, in sync")
			l.wants("2.0.0", both(slowly("pre-rollback"), gate("post-upgrade")))
		}, "out of sync:upgrade, failed:rollback, locked:unlock, failed:rollback", "v4:deployed:1.0.0 v3:failed:1.0.0 v2:failed:2.0.0 v1:superseded:1.0.0"},
		"uninstall": {func(l *live) {
			remedied(flux.HelmRemediation{RemediateLastFailure: &yes, Strategy: "uninstall"})(l)
			l.wants("1.0.0", slowly("pre-delete"))
			l.becomes("absent:install, in sync")
			l.wants("2.0.0", both(slowly("pre-delete"), gate("pre-upgrade")))
		}, "out of sync:upgrade, failed:uninstall, leaving:uninstall, absent:install, in sync", "v1:deployed:2.0.0"},
	} {
		t.Run(event, func(t *testing.T) {
			l := newLive(t)
			c.before(l)
			l.killedAt(event)
			l.becomes(c.path)
			l.until("it has come to its end", func() bool { return l.report().Stage == fleet.StageSettled || l.status().Stalled.Status == fleet.True })
			l.has(c.has)
			if s := l.status(); event != "rollback" && s.Failures != 0 {
				t.Errorf("a kill is counted: %+v", s)
			}
		})
	}
}
