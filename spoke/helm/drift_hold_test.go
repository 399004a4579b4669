package helm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// withObject is a bundle whose release has a ConfigMap "it", that drift is corrected of.
func withObject(t *testing.T) (b *bundle, it fleet.ObjectRef) {
	t.Helper()
	b = newBundle(t)
	it = fleet.ObjectRef{Kind: "ConfigMap", Namespace: b.namespace, Name: "it"}
	b.helm.manifest = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: it\n  labels: {helm.toolkit.fluxcd.io/name: app, helm.toolkit.fluxcd.io/namespace: %s}\ndata: {a: chart}\n", b.namespace)
	b.plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: flux.HelmDriftEnabled}
	b.deploy("web@1")
	b.until("it is made", func() bool { return b.engine.Status(b.app).DriftCorrections == 1 && b.value() == "chart" })
	return b, it
}

// write sets the value, as somebody does.
func (b *bundle) write(value string) {
	b.Helper()
	force := true
	_, err := b.client.CoreV1().ConfigMaps(b.namespace).Patch(b.Context(), "it", types.ApplyPatchType, fmt.Appendf(nil,
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"it","labels":{"helm.toolkit.fluxcd.io/name":"app","helm.toolkit.fluxcd.io/namespace":%q}},"data":{"a":%q}}`,
		b.namespace, value), metav1.PatchOptions{FieldManager: "someone", Force: &force})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) value() string {
	b.Helper()
	cm, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(b.Context(), "it", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		b.Fatal(err)
	}
	return cm.Data["a"]
}

// held says what is wrong unless an edit is seen and stays.
func (b *bundle) held(it fleet.ObjectRef) error {
	b.write("later")
	a := b.engine.known(b.app)
	b.until("it is seen", func() bool {
		b.engine.config.Changed(b.app)
		return b.engine.tracker.Moved(it)
	})
	if c, outcome := a.begin(it); c != nil || outcome != drift.Postponed {
		return fmt.Errorf("it is looked at: %v, %v", c, outcome)
	}
	if n := b.engine.Status(b.app).DriftCorrections; n != 1 || b.value() != "later" {
		return fmt.Errorf("it is %q after %d corrections", b.value(), n)
	}
	return nil
}

func TestNothingIsPutRightWhileAnActionIsUnderWay(t *testing.T) {
	b, it := withObject(t)
	held := errors.New("it was not tried")
	b.helm.says(func(_ context.Context, action job.Action, p point) error {
		if action == job.Upgrade && p == whilePending {
			held = b.held(it)
		}
		return nil
	})
	b.deploy("web@2")
	if held != nil {
		t.Error(held)
	}
	b.until("it is put right", func() bool { return b.value() == "chart" })
	b.wants("install upgrade", "v2:deployed:2 v1:superseded:1")
}

// A webhook that hangs, for one, holds up the objects it is asked about, and nobody else's.
func TestWhatHangsOfOneReleaseHoldsUpNoOthersDrift(t *testing.T) {
	b := newBundle(t)
	object := func(name, app string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  labels: {helm.toolkit.fluxcd.io/name: %s, helm.toolkit.fluxcd.io/namespace: %s}\n", name, app, b.namespace)
	}
	there := func(name string) bool {
		_, err := b.client.CoreV1().ConfigMaps(b.namespace).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil
	}
	var hanging atomic.Int64
	open := make(chan struct{})
	opened := sync.OnceFunc(func() { close(open) })
	t.Cleanup(opened)
	gate := func(r *http.Request) {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/configmaps/slow-") {
			hanging.Add(1)
			b.engine.config.Changed(b.app)
			<-open
		}
	}
	b.gate.Store(&gate)
	b.plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: flux.HelmDriftEnabled}
	for n := range 2 * drift.Workers {
		b.helm.manifest += object(fmt.Sprintf("slow-%d", n), "app")
	}
	b.deploy("web@1")
	b.until("corrections hang", func() bool { return hanging.Load() >= drift.Workers/2 })
	b.helm.manifest = object("free", "other")
	other := b.target("web@1")
	other.App.Name, other.Release.App.Name = "other", "other"
	if err := b.try(other); err != nil {
		t.Error(err)
	}
	b.until("another release's drift is put right", func() bool { return there("free") })
	if n := hanging.Load(); n > drift.Workers/2 {
		t.Errorf("%d corrections of one release are under way", n)
	}
	opened()
	for n := range 2 * drift.Workers { // none is forgotten
		b.until("it is put right", func() bool { return there(fmt.Sprintf("slow-%d", n)) })
	}
}

func TestNothingIsPutRightWhileSuspended(t *testing.T) {
	b, it := withObject(t)
	b.engine.SetSuspended(b.app, true)
	if err := b.held(it); err != nil {
		t.Error(err)
	}
	b.engine.SetSuspended(b.app, false)
	b.until("it is put right", func() bool { return b.value() == "chart" })
}

func TestAnActionWaitsForWhatIsBeingPutRight(t *testing.T) {
	b, it := withObject(t)
	a := b.engine.known(b.app)
	if c, _ := a.begin(it); c == nil {
		t.Fatal("it is not looked at")
	}
	acted := make(chan struct{})
	b.helm.says(func(_ context.Context, action job.Action, p point) error {
		if action == job.Upgrade && p == beforeStored {
			close(acted)
		}
		return nil
	})
	done := make(chan struct{})
	target := b.target("web@2")
	go func() {
		defer close(done)
		_ = b.engine.Deploy(b.Context(), target) // what came of it is looked at below
	}()
	b.until("the action is noted", func() bool {
		b.engine.config.Changed(b.app)
		return a.record().Intent != nil
	})
	select {
	case <-acted:
		t.Error("the action did not wait")
	case <-time.After(500 * time.Millisecond): // nothing tells that it waits
	}
	a.end()
	<-done
	b.wants("install upgrade", "v2:deployed:2 v1:superseded:1")
}

func TestNothingIsPutRightAfterSomebodyElseWroteToHelmsStorageUntilAPassHasLooked(t *testing.T) {
	b, it := withObject(t)
	b.until("Helm's storage is watched", func() bool {
		b.engine.storage.mu.Lock()
		defer b.engine.storage.mu.Unlock()
		b.engine.config.Changed(b.app)
		return len(b.engine.storage.releases) > 0
	})
	wakes := b.engine.Status(b.app).Wakes
	theirs := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace}, "web@9"}
	if err := theirs.write(fleet.HelmSnapshot{
		APIVersion: digestVersion, Name: "app", Namespace: b.namespace, Version: 2, Status: statusDeployed, ChartName: "web", ChartVersion: "9",
	}); err != nil {
		t.Fatal(err)
	}
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	if err := b.held(it); err != nil {
		t.Error(err)
	}
	b.deploy("web@1")
	b.until("it is put right", func() bool { return b.value() == "chart" })
}

func TestAnUninstallIsNotUndone(t *testing.T) {
	b, it := withObject(t)
	held := errors.New("it was not tried")
	b.helm.says(func(_ context.Context, action job.Action, p point) error {
		if action == job.Uninstall && p == whilePending {
			held = b.held(it)
		}
		return nil
	})
	done, err := b.engine.Remove(b.Context(), Removal{App: b.app, Tombstone: fleet.Tombstone{Delete: true}})
	if err != nil || !done || held != nil {
		t.Fatal(done, err, held)
	}
	if b.engine.owner(it) != nil || b.engine.tracker.Known(it).Known() || b.engine.accounts.Len() != 0 {
		t.Error("it is followed still")
	}
}

func TestAChangedDefinitionHasItsObjectsLookedAt(t *testing.T) {
	b := newBundle(t)
	group := b.namespace + ".dev"
	definitions := dynamic.NewForConfigOrDie(b.cluster.REST()).Resource(apply.CRDs)
	define := func(fields string) {
		t.Helper()
		_, err := definitions.Patch(t.Context(), "gadgets."+group, types.ApplyPatchType, fmt.Appendf(nil,
			`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"gadgets.%[1]s"},"spec":{"group":%[1]q,"scope":"Namespaced",
			"names":{"plural":"gadgets","singular":"gadget","kind":"Gadget"},"versions":[{"name":"v1","served":true,"storage":true,
			"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{%[2]s}}}}}}]}}`, group, fields),
			metav1.PatchOptions{FieldManager: "test"})
		if err != nil {
			t.Fatal(err)
		}
	}
	define(`"size":{"type":"integer"}`)
	t.Cleanup(func() {
		if err := definitions.Delete(context.Background(), "gadgets."+group, deletion); err != nil {
			t.Error(err)
		}
	})
	var compared atomic.Int64
	gate := func(r *http.Request) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/gadgets/it") && r.URL.Query().Has("dryRun") {
			compared.Add(1)
			b.engine.config.Changed(b.app)
		}
	}
	b.gate.Store(&gate)
	b.helm.manifest = fmt.Sprintf("apiVersion: %[1]s.dev/v1\nkind: Gadget\nmetadata: {name: it, labels: {helm.toolkit.fluxcd.io/name: app, helm.toolkit.fluxcd.io/namespace: %[1]s}}\nspec: {size: 1}\n", b.namespace)
	b.plan.Spec.DriftDetection = &flux.HelmDriftDetection{Mode: flux.HelmDriftEnabled}
	b.deploy("web@1")
	b.until("it is made", func() bool { return b.engine.Status(b.app).DriftCorrections == 1 })
	before := compared.Load()
	define(`"size":{"type":"integer"},"colour":{"type":"string"}`)
	b.until("it is looked at", func() bool { return compared.Load() > before })
}
