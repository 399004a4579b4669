package helm

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

var deletion = metav1.DeleteOptions{}

// edit changes the record behind the engine's back.
func (b *bundle) edit(change func(map[string]string)) {
	b.Helper()
	configMaps := b.client.CoreV1().ConfigMaps(b.system)
	cm, err := configMaps.Get(b.Context(), recordName(b.app), metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	change(cm.Data)
	if _, err := configMaps.Update(b.Context(), cm, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
}

// remove removes the App, whose Manifest is not there any more.
func (b *bundle) remove(tombstone fleet.Tombstone) error {
	b.Helper()
	b.mu.Lock()
	b.blobs = nil
	b.mu.Unlock()
	done, err := b.engine.Remove(b.Context(), Removal{App: b.app, Tombstone: tombstone, Controls: b.controls})
	if err == nil && !done {
		b.Error("the removal is not done, and there is no error")
	}
	return err
}

func (b *bundle) hasRecord() bool {
	b.Helper()
	_, err := b.client.CoreV1().ConfigMaps(b.system).Get(b.Context(), recordName(b.app), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		b.Fatal(err)
	}
	return err == nil
}

func TestATombstoneUninstallsWithoutTheChart(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.start()
	if err := b.remove(fleet.Tombstone{Delete: true}); err != nil {
		t.Fatal(err)
	}
	b.wants("install uninstall", "")
	if b.hasRecord() {
		t.Error("there still is a record")
	}
	if apps, err := b.engine.Apps(t.Context()); err != nil || len(apps) != 0 {
		t.Errorf("Apps are %v, error %v", apps, err)
	}
	if err := b.remove(fleet.Tombstone{Delete: true}); err != nil {
		t.Errorf("once more: %v", err)
	}
	if got := b.told(); got != "InstallSucceeded UninstallSucceeded" {
		t.Errorf("told is %q", got)
	}
}

func TestATombstoneThatOrphansLeavesTheRelease(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	if err := b.remove(fleet.Tombstone{}); err != nil {
		t.Fatal(err)
	}
	b.wants("install", "v1:deployed:1")
	if b.hasRecord() {
		t.Error("there still is a record")
	}
}

func TestAnUninstallThatFailsIsRepeated(t *testing.T) {
	b := newBundle(t)
	b.deploy("web@1")
	b.helm.fails(job.Uninstall, whilePending, errors.New("a finalizer"))
	var failure *Failure
	if err := b.remove(fleet.Tombstone{Delete: true}); !errors.As(err, &failure) || failure.Reason != "UninstallFailed" {
		t.Errorf("error %v", err)
	}
	b.wants("install uninstall", "v1:uninstalling:1")
	b.helm.says(nil)
	if err := b.remove(fleet.Tombstone{Delete: true}); err != nil {
		t.Fatal(err)
	}
	b.wants("uninstall", "")
}

func TestWhatWasNeverReleasedIsRemovedWithoutAProcess(t *testing.T) {
	b := newBundle(t)
	p := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
	if _, err := p.Do(t.Context(), job.Request{Action: job.Install}); err != nil {
		t.Fatal(err)
	}
	b.helm.done()
	if err := b.remove(fleet.Tombstone{Delete: true}); err != nil {
		t.Fatal(err)
	}
	b.wants("", "v1:deployed:9")
	if n := b.helm.processes(); n != 0 {
		t.Errorf("%d processes were started", n)
	}
}

func TestAReleaseWhoseAccountIsGoneStays(t *testing.T) {
	b := newBundle(t)
	b.plan.Spec.ServiceAccountName = "nobody"
	b.deploy("web@1")
	b.told()
	if got, want := b.helm.jobs[0].Connection.User, "system:serviceaccount:"+b.namespace+":nobody"; got != want {
		t.Errorf("Helm acts as %q, want %q", got, want)
	}
	if err := b.remove(fleet.Tombstone{Delete: true}); err != nil {
		t.Fatal(err)
	}
	b.wants("install", "v1:deployed:1")
	if got := b.told(); got != "Orphaned" {
		t.Errorf("told is %q", got)
	}
}
