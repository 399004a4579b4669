package helm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// killAt has the engine and its process stop dead at a point of an action, and another one take over.
func (b *bundle) killAt(target Target, action job.Action, at point) {
	b.Helper()
	there, over := make(chan struct{}), make(chan struct{})
	b.Cleanup(func() { close(over) })
	var once sync.Once
	b.helm.says(func(_ context.Context, a job.Action, p point) error {
		if a != action || p != at {
			return nil
		}
		first := false
		once.Do(func() { first = true; close(there) })
		if first {
			<-over
			return errKilled
		}
		return nil
	})
	dead := b.engine
	go func() { _ = dead.Deploy(context.WithoutCancel(b.Context()), target) }()
	<-there
	b.helm.kill()
	b.start()
}

func TestAKillAtAnyPointOfAnActionIsHarmless(t *testing.T) {
	for name, c := range map[string]struct {
		action      job.Action
		at          point
		did, stored string
		failures    int64 // of upgrades, that are no kill's
	}{
		"install, before":  {job.Install, beforeStored, "install install", "v1:deployed:2", 0},
		"install, amid":    {job.Install, whilePending, "install unlock install", "v2:deployed:2 v1:failed:2", 0},
		"install, after":   {job.Install, afterDone, "install", "v1:deployed:2", 0},
		"upgrade, before":  {job.Upgrade, beforeStored, "upgrade upgrade", "v2:deployed:2 v1:superseded:1", 0},
		"upgrade, amid":    {job.Upgrade, whilePending, "upgrade unlock upgrade", "v3:deployed:2 v2:failed:2 v1:superseded:1", 0},
		"upgrade, after":   {job.Upgrade, afterDone, "upgrade", "v2:deployed:2 v1:superseded:1", 0},
		"rollback, before": {job.Rollback, beforeStored, "upgrade rollback rollback", "v3:deployed:1 v2:failed:2 v1:superseded:1", 1},
		"rollback, amid":   {job.Rollback, whilePending, "upgrade rollback unlock rollback", "v4:deployed:1 v3:failed:1 v2:failed:2 v1:superseded:1", 1},
		"rollback, after":  {job.Rollback, afterDone, "upgrade rollback upgrade rollback", "v5:deployed:1 v4:failed:2 v3:superseded:1 v2:failed:2 v1:superseded:1", 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			yes := true
			b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &flux.HelmRemediation{Retries: 1, RemediateLastFailure: &yes}}
			if c.action != job.Install {
				b.deploy("web@1")
			}
			b.helm.done()
			b.plan.Spec.CommonMetadata = &fleet.CommonMetadata{Labels: map[string]string{"a": "b"}} // what it was made with is noted too
			target := b.target("web@2")
			if c.action == job.Rollback {
				b.helm.setFailing(job.Upgrade)
			}
			b.killAt(target, c.action, c.at)
			err := b.try(target)
			if failure := (*Failure)(nil); c.failures == 0 && err != nil || c.failures > 0 && !errors.As(err, &failure) {
				t.Errorf("error %v", err)
			}
			b.wants(c.did, c.stored)
			h := b.status()
			if h.UpgradeFailures != c.failures || h.InstallFailures != 0 {
				t.Errorf("status is %+v", h)
			}
			if r := b.engine.known(b.app).record(); r.Intent != nil {
				t.Errorf("intent is %+v", r.Intent)
			}
		})
	}
}

func TestARollbackThatEndedBeforeAKillIsToldAsARemedy(t *testing.T) {
	b := newBundle(t)
	yes := true
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: &flux.HelmRemediation{RemediateLastFailure: &yes}}
	b.deploy("web@1")
	b.helm.setFailing(job.Upgrade)
	bad := b.target("web@2")
	b.told()
	b.killAt(bad, job.Rollback, afterDone)
	failure := b.refused(bad, "RollbackSucceeded")
	if !failure.Terminal || !strings.Contains(failure.Error(), "to previous release "+b.namespace+"/app.v1 with chart web@1") {
		t.Errorf("failure is %+v", failure)
	}
	if h := b.status(); h.Remediated.Status != fleet.True || h.Stalled.Reason != "RetriesExceeded" || h.Released.Reason != "UpgradeFailed" {
		t.Errorf("status is %+v", h)
	}
	if got := b.told(); got != "UpgradeFailed RollbackSucceeded" {
		t.Errorf("told is %q", got)
	}
}

func TestATestThatEndedBeforeAKillIsNotRepeated(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Test = &flux.HelmTest{Enable: true}
	b.helm.tests = map[string]string{"ping": phaseSucceeded}
	target := b.target("web@1")
	b.killAt(target, job.Test, afterDone)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("install test", "v1:deployed:1")
	if is := b.engine.Status(b.app).Ready; is.Reason != "TestSucceeded" {
		t.Errorf("it is %+v", is)
	}
}

func TestAKillInATestHasItRepeated(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Test = &flux.HelmTest{Enable: true}
	target := b.target("web@1")
	b.killAt(target, job.Test, beforeStored)
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("install test test", "v1:deployed:1")
}

func TestAnUninstallThatWasKilledEndsInARemovalOrAnInstall(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Install = &flux.HelmInstall{Remediation: retries(2)}
	b.helm.setFailing(job.Install)
	target := b.target("web@1")
	b.killAt(target, job.Uninstall, whilePending)
	b.helm.setFailing("")
	b.refused(target, "UninstallSucceeded")
	b.wants("install uninstall uninstall", "")
	b.deploy("web@1")
	b.wants("install", "v1:deployed:1")
}

func TestWhatAnotherMadeAfterAKillIsNotTakenForOurs(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.helm.done()
	b.killAt(b.target("web@2"), job.Upgrade, beforeStored)
	b.helm.says(nil)
	p := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
	if _, err := p.Do(t.Context(), job.Request{Action: job.Upgrade}); err != nil {
		t.Fatal(err)
	}
	b.helm.done()
	b.deploy("web@2")
	b.wants("upgrade", "v3:deployed:2 v2:superseded:9 v1:superseded:1")
	if got := say(b.status().History); got != "v3:deployed:2" {
		t.Errorf("recorded is %q", got)
	}
}

func TestARecordThatCannotBeReadIsSaidAndNotActedUpon(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.helm.done()
	configMaps := b.client.CoreV1().ConfigMaps(b.system)
	b.edit(func(data map[string]string) { data[recordKey] = "{" })
	b.start()
	err := b.try(b.target("web@2"))
	if !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	b.wants("", "v1:deployed:1")
	if done, err := b.engine.Remove(t.Context(), Removal{App: b.app, Tombstone: fleet.Tombstone{Delete: true}}); done || err == nil {
		t.Errorf("removed: %t, error %v", done, err)
	}
	if err := configMaps.Delete(t.Context(), recordName(b.app), deletion); err != nil {
		t.Fatal(err)
	}
	b.deploy("web@2")
	b.wants("upgrade", "v2:deployed:2 v1:superseded:1")
}

func TestWhoElseWritesTheRecordIsNoticedAndHeard(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.edit(func(data map[string]string) { data[recordKey] = `{"status":{"failures":7}}` })
	if failure := (*Failure)(nil); !errors.As(b.try(b.target("web@2")), &failure) || !failure.Transient {
		t.Errorf("failure is %+v, want a transient one", failure)
	}
	b.helm.done()
	b.deploy("web@2")
	if got := b.helm.done(); got != "upgrade" {
		t.Errorf("done was %q", got)
	}
}
