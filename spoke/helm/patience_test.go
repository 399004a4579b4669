package helm

import (
	"errors"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestSomebodyElsesActionIsLeftAloneWhileItMayStillBeAtWork(t *testing.T) {
	b := newBundle(t)
	b.controls.Timeout = time.Minute
	b.deploy("web@1")
	b.helm.done()
	others := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
	b.helm.fails(job.Upgrade, whilePending, errKilled) // it is at work, as far as is seen
	if _, err := others.Do(t.Context(), job.Request{Action: job.Upgrade}); err == nil {
		t.Fatal("it is not pending")
	}
	b.helm.says(nil)
	b.helm.done()
	target := b.target("web@1")
	if failure := b.refused(target, "PendingRelease"); failure.RetryAfter <= 0 || failure.RetryAfter > time.Minute {
		t.Errorf("it is tried again after %s", failure.RetryAfter)
	}
	b.wants("", "v2:pending-upgrade:9 v1:deployed:1")
	wakes := b.engine.Status(b.app).Wakes
	pending := fleet.HelmSnapshot{
		APIVersion: digestVersion, Name: "app", Namespace: b.namespace, Version: 2, Status: "pending-upgrade", ChartName: "web", ChartVersion: "9",
		LastDeployed: time.Now().Add(-2 * time.Minute),
	}
	if err := others.write(pending); err != nil { // as it would be after that time
		t.Fatal(err)
	}
	b.until("what happens to it wakes the App", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("unlock upgrade", "v3:deployed:1 v2:failed:9 v1:superseded:1")
}

func TestWhatIsToBeGoneIsLeftToSomebodyElsesActionToo(t *testing.T) {
	for name, end := range map[string]func(*bundle) error{
		"a removal": func(b *bundle) error { return b.remove(fleet.Tombstone{Delete: true}) },
		"a move": func(b *bundle) error {
			b.plan.Spec.ReleaseName = "other"
			return b.try(b.target("web@1"))
		},
		"another chart": func(b *bundle) error { return b.try(b.target("shop@1")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t)
			b.controls.Timeout = time.Minute
			b.deploy("web@1")
			others := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
			b.helm.fails(job.Upgrade, whilePending, errKilled)
			if _, err := others.Do(t.Context(), job.Request{Action: job.Upgrade}); err == nil {
				t.Fatal("it is not pending")
			}
			b.helm.says(nil)
			b.helm.done()
			failure := &Failure{}
			if err := end(b); !errors.As(err, &failure) || failure.Reason != "PendingRelease" || failure.RetryAfter <= 0 || failure.Terminal {
				t.Errorf("error %v", err)
			}
			b.wants("", "v2:pending-upgrade:9 v1:deployed:1")
			history, err := others.history()
			if err != nil {
				t.Fatal(err)
			}
			history[0].LastDeployed = history[0].LastDeployed.Add(-2 * time.Minute) // as it would be after that time
			if err := others.write(history[0]); err != nil {
				t.Fatal(err)
			}
			if err := end(b); err != nil {
				t.Fatal(err)
			}
			if got := b.helm.done(); !strings.HasPrefix(got, "uninstall") {
				t.Errorf("done was %q", got)
			}
		})
	}
}

func TestAnActionOfAnotherClockIsNotLeftAloneForEver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := &pass{app: &app{}, target: Target{Controls: fleet.Controls{Timeout: time.Minute}}, stored: []fleet.HelmSnapshot{
		{Version: 2, Status: "pending-upgrade", LastDeployed: now.Add(24 * time.Hour)},
	}}
	if left := p.patience(now); left != time.Minute {
		t.Errorf("at first %s are left", left)
	}
	if left := p.patience(now.Add(time.Hour)); left > 0 {
		t.Errorf("an hour later %s are left", left)
	}
	p.stored[0].Status = statusDeployed
	if left := p.patience(now); left != 0 {
		t.Errorf("of a release with no action %s are left", left)
	}
}
