package helm_test

import (
	"testing"

	"helm.sh/helm/v4/pkg/release/common"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestHelmsReleaseThatOthersMadeIsTakenUpByAnUpgrade(t *testing.T) {
	l := newLive(t)
	l.byHand("install", 1, map[string]any{"value": "theirs"})
	l.wants("1.0.0", nil)
	l.becomes("unmanaged:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v2 with chart app@1.0.0")
	l.stands("Released=True UpgradeSucceeded: …")
	l.has("v2:deployed:1.0.0 v1:superseded:1.0.0")
	l.value("value", "chart")
	if h := l.status().History; len(h) != 1 || h[0].Version != 2 {
		t.Errorf("recorded is %+v: what others made is not ours", h)
	}
	// And so it is nothing to roll back to.
	remedied(flux.HelmRemediation{Retries: 1})(l)
	l.wants("2.0.0", gate("pre-upgrade"))
	l.becomes("out of sync:upgrade, failed:rollback, out of sync:upgrade, failed:rollback")
	l.ready("False RollbackSucceeded: … (Failed to upgrade after 2 attempt(s))")
	l.has("v6:deployed:1.0.0 v5:failed:2.0.0 v4:superseded:1.0.0 v3:failed:2.0.0 v2:superseded:1.0.0")
}

func TestHelmsReleaseThatIsChangedByHandIsUpgraded(t *testing.T) {
	l := installed(t)
	l.byHand("upgrade", 2, map[string]any{"value": "theirs"})
	l.becomes("unmanaged:upgrade, in sync", "locked, unmanaged:upgrade, in sync") // as it is seen amid that or not
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v3 with chart app@1.0.0")
	l.has("v3:deployed:1.0.0 v2:superseded:2.0.0 v1:superseded:1.0.0")
	l.value("value", "chart")
	l.byHand("rollback", 2, nil)
	l.becomes("unmanaged:upgrade, in sync", "locked, unmanaged:upgrade, in sync") // as it is seen amid that or not
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v5 with chart app@1.0.0")
	l.has("v5:deployed:1.0.0 v4:superseded:2.0.0 v3:superseded:1.0.0 v2:superseded:2.0.0 v1:superseded:1.0.0")
	l.value("version", "1.0.0")
	// Not even what is stored of it may be written over.
	releases := l.hand().Releases
	found, err := releases.Last("app")
	if err != nil {
		t.Fatal(err)
	}
	version := found.(*releasev1.Release)
	version.Manifest += "\n# by somebody else\n"
	if err := releases.Update(version); err != nil {
		t.Fatal(err)
	}
	l.becomes("unmanaged:upgrade, in sync")
	l.ready("True UpgradeSucceeded: Helm upgrade succeeded for release NS/app.v6 with chart app@1.0.0")
}

func TestHelmsReleaseWhoseNewestVersionIsSupersededIsUpgraded(t *testing.T) {
	l := installed(t)
	releases := l.hand().Releases
	found, err := releases.Last("app")
	if err != nil {
		t.Fatal(err)
	}
	version := found.(*releasev1.Release)
	version.SetStatus(common.StatusSuperseded, "")
	if err := releases.Update(version); err != nil {
		t.Fatal(err)
	}
	l.becomes("unmanaged:upgrade, in sync")
	l.ready("True UpgradeSucceeded: …")
	l.has("v2:deployed:1.0.0 v1:superseded:1.0.0")
}

func TestHelmsReleaseThatIsUninstalledByHandIsInstalled(t *testing.T) {
	for how, has := range map[string]string{
		"uninstall":                "v1:deployed:1.0.0",
		"uninstall --keep-history": "v3:deployed:1.0.0 v2:superseded:1.0.0 v1:superseded:1.0.0",
	} {
		t.Run(how, func(t *testing.T) {
			l := installed(t)
			l.controlled(func(c *fleet.Controls) { c.RequestedAt, c.Helm.ForceAt = "now", "now" }) // the newest version is no install
			l.becomes("in sync:upgrade, in sync")
			l.ready("True UpgradeSucceeded: …")
			l.byHand(how, 0, nil)
			l.becomes("absent:install, in sync", "leaving, absent:install, in sync") // as it is seen amid that or not
			l.ready("True InstallSucceeded: …")
			l.stands("Released=True InstallSucceeded: …")
			l.has(has)
			l.value("version", "1.0.0")
		})
	}
}
