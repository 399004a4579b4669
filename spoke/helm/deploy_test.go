package helm

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

func TestAReleaseIsInstalledUpgradedAndLeftAloneWhileNothingChanges(t *testing.T) {
	b := newBundle(t)
	target := b.deploy("web@1")
	b.wants("install", "v1:deployed:1")
	b.until("its objects are known", func() bool { return b.engine.Status(b.app).Healthy.Status == fleet.True })
	s := b.engine.Status(b.app)
	if s.Applied != target.Release.Digest() || s.Healthy.Status != fleet.True || s.Ready.Reason != "InstallSucceeded" {
		t.Errorf("status is %+v", s)
	}
	if want := "Helm install succeeded for release " + b.namespace + "/app.v1 with chart web@1"; s.Ready.Message != want {
		t.Errorf("told is %q, want %q", s.Ready.Message, want)
	}
	processes := b.helm.processes()
	for _, verify := range []bool{false, true} {
		target.Verify = verify
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.helm.processes() - processes; n != 0 {
		t.Errorf("passes in which nothing changed started %d processes", n)
	}
	b.deploy("web@2")
	b.wants("upgrade", "v2:deployed:2 v1:superseded:1")
	b.plan.Spec.Values = json.RawMessage(`{"a":2}`)
	b.deploy("web@2")
	b.wants("upgrade", "v3:deployed:2 v2:superseded:2 v1:superseded:1")
	h := b.status()
	if say(h.History) != "v3:deployed:2 v2:superseded:2" || h.LastAttemptedRevision != "2" || h.StorageNamespace != b.namespace ||
		h.LastAttemptedReleaseAction != "upgrade" || h.Released.Reason != "UpgradeSucceeded" {
		t.Errorf("status is %+v", h)
	}
	if got := b.told(); got != "InstallSucceeded UpgradeSucceeded UpgradeSucceeded" {
		t.Errorf("told is %q", got)
	}
}

func TestAPassInWhichNothingChangedAsksTheClusterForNothing(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "ConfigMap", Name: "values", Optional: true}}
	target := b.deploy("web@1")
	b.until("its objects are known", func() bool { return b.engine.Status(b.app).Healthy.Status == fleet.True })
	// What is watched from the first pass on is listed once.
	b.until("Helm's storage is watched", func() bool {
		b.engine.storage.mu.Lock()
		defer b.engine.storage.mu.Unlock()
		if len(b.engine.storage.releases) == 0 {
			b.engine.config.Changed(b.app)
		}
		return len(b.engine.storage.releases) > 0 && b.engine.references.Watched() == 1
	})
	asked := b.asked.Load()
	for range 10 {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.asked.Load() - asked; n > 1 { // the list of what it refers to may be under way
		t.Errorf("10 passes made %d requests", n)
	}
}

func TestARestartedSpokeStartsNoProcessForWhatHasNotChanged(t *testing.T) {
	b := newBundle(t)
	target := b.deploy("web@1")
	b.start()
	processes := b.helm.processes()
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	if n := b.helm.processes() - processes; n != 0 {
		t.Errorf("%d processes were started", n)
	}
	if apps, err := b.engine.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0] != b.app {
		t.Errorf("Apps are %v, error %v", apps, err)
	}
	if s := b.engine.Status(b.app); s.Applied != target.Release.Digest() || s.Ready.Reason != "InstallSucceeded" {
		t.Errorf("status is %+v", s)
	}
}

func TestWhoWritesToHelmsStorageIsNoticedAndUndone(t *testing.T) {
	b := newBundle(t)
	target := b.deploy("web@1")
	b.helm.done()
	wakes := b.engine.Status(b.app).Wakes
	secrets := b.client.CoreV1().Secrets(b.namespace)
	if err := secrets.Delete(t.Context(), "sh.helm.release.v1.app.v1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("install", "v1:deployed:1")
	p := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
	wakes = b.engine.Status(b.app).Wakes
	if _, err := p.Do(t.Context(), job.Request{Action: job.Upgrade}); err != nil {
		t.Fatal(err)
	}
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	b.helm.done()
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("upgrade", "v3:deployed:1 v2:superseded:9 v1:superseded:1")
	if got := say(b.status().History); got != "v3:deployed:1" {
		t.Errorf("recorded is %q: what others made is not to be rolled back to", got)
	}
}

func TestAChangeOfWhatValuesAreFromCallsForAPass(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.ValuesFrom = []flux.HelmValuesReference{{Kind: "ConfigMap", Name: "values"}, {Kind: "Secret", Name: "more", Optional: true}}
	target := b.deploy("web@1")
	for _, make := range []func() error{
		func() error {
			_, err := b.client.CoreV1().ConfigMaps(b.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "values"}}, metav1.CreateOptions{})
			return err
		},
		func() error {
			_, err := b.client.CoreV1().Secrets(b.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "more"}}, metav1.CreateOptions{})
			return err
		},
	} {
		wakes, processes := b.engine.Status(b.app).Wakes, b.helm.processes()
		if err := make(); err != nil {
			t.Fatal(err)
		}
		b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
		if n := b.helm.processes() - processes; n != 1 {
			t.Errorf("%d processes looked at it, want 1", n)
		}
	}
}

func TestWithoutHelmsProgramThatIsSaidAndTriedAgain(t *testing.T) {
	b := newBundle(t)
	b.helm.setMissing(errors.New("find flotilla-helm, which HelmReleases need"))
	failure := b.refused(b.target("web@1"), "HelmUnavailable")
	if failure.Terminal || failure.Transient || failure.RetryAfter != startAgain || !strings.Contains(failure.Error(), "find flotilla-helm") {
		t.Errorf("failure is %+v", failure)
	}
	b.helm.setMissing(nil)
	b.deploy("web@1")
	b.helm.setMissing(errors.New("it is gone"))
	if err := b.remove(fleet.Tombstone{Delete: true}); !errors.As(err, &failure) || failure.Reason != "HelmUnavailable" {
		t.Errorf("of a removal it is %v", err)
	}
	b.wants("install", "v1:deployed:1")
}

func TestWhatHelmCannotReadOfAReleaseHoldsUpNoQuiet(t *testing.T) {
	b := newBundle(t)
	target := b.deploy("web@1")
	wakes := b.engine.Status(b.app).Wakes
	junk := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "junk", Labels: map[string]string{"owner": "helm", "name": "app", "status": "deployed", "version": "9"}},
		Type:       "helm.sh/release.v1",
	}
	if _, err := b.client.CoreV1().Secrets(b.namespace).Create(t.Context(), junk, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("it is noticed", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	for range 2 {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.helm.processes(); n != 2 {
		t.Errorf("%d processes were started, want 2", n)
	}
}

func TestWhatIsAsItShouldBeIsUpgradedOnceByForce(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.controls.RequestedAt, b.controls.Helm.ForceAt = "now", "now"
	b.deploy("web@1")
	b.deploy("web@1")
	b.wants("install upgrade", "v2:deployed:1 v1:superseded:1")
	if h := b.status(); h.LastHandledForceAt != "now" {
		t.Errorf("status is %+v", h)
	}
}

func TestWhatSomebodyElseUninstalledAndKeptIsInstalledAtOnce(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.deploy("web@2")
	others := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, ""}
	kept := func() {
		t.Helper()
		history, err := others.history()
		if err != nil {
			t.Fatal(err)
		}
		wakes := b.engine.Status(b.app).Wakes
		history[0].Status = statusUninstalled
		if err := others.write(history[0]); err != nil {
			t.Fatal(err)
		}
		b.until("it is noticed", func() bool { return b.engine.Status(b.app).Wakes > wakes })
		b.helm.done()
	}
	kept()
	b.deploy("web@2")
	b.wants("install", "v3:deployed:2 v2:uninstalled:2 v1:superseded:1")
	kept()
	b.helm.fails(job.Install, beforeStored, &job.Failure{Reason: "InstallFailed", Message: "a template"})
	b.refused(b.target("web@3"), "InstallFailed")
	b.helm.says(nil)
	b.helm.done()
	b.deploy("web@3") // that it is ours is known all the same
	b.wants("install", "v4:deployed:3 v3:uninstalled:2 v2:uninstalled:2 v1:superseded:1")
}

// What an action came to is its own, even where the API server could not be asked for it at once.
func TestAnActionWhoseOutcomeIsNotSeenIsWhatItSays(t *testing.T) {
	b := newBundle(t)
	after := func(blind int) {
		b.helm.says(func(_ context.Context, a job.Action, at point) error {
			if (a == job.Install || a == job.Upgrade) && at == beforeStored {
				b.helm.blinds(blind)
			}
			return nil
		})
	}
	after(1)
	b.deploy("web@1")
	b.wants("install", "v1:deployed:1")
	after(2) // not even when it is asked once more
	failure := &Failure{}
	if err := b.try(b.target("web@2")); !errors.As(err, &failure) || failure.Terminal || !strings.Contains(err.Error(), errBlind.Error()) {
		t.Errorf("it is %v", err)
	}
	if h := b.status(); h.UpgradeFailures != 0 || h.Stalled.Status != "" {
		t.Errorf("status is %+v", h)
	}
	b.helm.says(nil)
	b.deploy("web@2")
	b.wants("upgrade", "v2:deployed:2 v1:superseded:1")
}

// It is not nobody's: what is installed is uninstalled with the App.
func TestAnInstallWhoseOutcomeIsNotSeenIsStillTheApps(t *testing.T) {
	b := newBundle(t)
	b.helm.says(func(_ context.Context, a job.Action, at point) error {
		if a == job.Install && at == beforeStored {
			b.helm.blinds(2)
		}
		return nil
	})
	if err := b.try(b.target("web@1")); err == nil {
		t.Fatal("it is no failure")
	}
	b.helm.says(nil)
	b.deploy("web@1")
	b.wants("install", "v1:deployed:1")
}

func TestAPassThatIsCutShortIsNoFailure(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Upgrade = &flux.HelmUpgrade{Remediation: retries(1)}
	b.deploy("web@1")
	b.helm.done()
	ctx, cancel := context.WithCancelCause(t.Context())
	overtaken := errors.New("overtaken")
	b.helm.says(func(ctx context.Context, a job.Action, p point) error {
		if a != job.Upgrade || p != whilePending {
			return nil
		}
		cancel(overtaken)
		<-ctx.Done()
		return ctx.Err()
	})
	if err := b.engine.Deploy(ctx, b.target("web@2")); !errors.Is(err, overtaken) {
		t.Fatalf("error %v, want %v", err, overtaken)
	}
	b.helm.says(nil)
	b.deploy("web@3")
	b.wants("upgrade upgrade", "v3:deployed:3 v2:failed:2 v1:superseded:1")
	if h := b.status(); h.Failures != 0 || h.UpgradeFailures != 0 {
		t.Errorf("status is %+v", h)
	}
}

func TestAnActionThatHasBegunEndsBeforeAnOvertakenPassDoes(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.Test = &flux.HelmTest{Enable: true}
	ctx, cancel := context.WithCancelCause(t.Context())
	overtaken := errors.New("overtaken")
	b.helm.says(func(within context.Context, a job.Action, p point) error {
		if a == job.Install && p == whilePending {
			cancel(overtaken)
		}
		return within.Err()
	})
	target := b.target("web@1")
	target.Within = t.Context()
	if err := b.engine.Deploy(ctx, target); !errors.Is(err, overtaken) {
		t.Fatalf("error %v, want %v", err, overtaken)
	}
	b.wants("install", "v1:deployed:1")
	if h := b.status(); h.Released.Status != fleet.True {
		t.Errorf("status is %+v", h)
	}
}

func TestWhoWaitsForATurnSaysSo(t *testing.T) {
	b := newBundle(t)
	var turns []func()
	for range maxPasses {
		done, err := b.engine.turns.Take(t.Context(), b.namespace)
		if err != nil {
			t.Fatal(err)
		}
		turns = append(turns, done)
	}
	waits, waited := make(chan struct{}, 10), make(chan struct{}, 10)
	target := b.target("web@1")
	target.Waits = func() func() {
		waits <- struct{}{}
		return func() { waited <- struct{}{} }
	}
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Deploy(t.Context(), target) }()
	<-waits
	if len(waited) > 0 {
		t.Error("it waits no more")
	}
	for _, done := range turns {
		done()
	}
	<-waited
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
