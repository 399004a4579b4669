package helm

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/helm/job"
)

const definition = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"helmreleases.helm.toolkit.fluxcd.io"},
	"spec":{"group":"helm.toolkit.fluxcd.io","scope":"Namespaced","names":{"plural":"helmreleases","singular":"helmrelease","kind":"HelmRelease"},
	"versions":[{"name":"v2","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`

// declare makes the App's HelmRelease be one of a Flux in the cluster.
func (b *bundle) declare(suspended bool, status map[string]any) {
	b.Helper()
	client, err := dynamic.NewForConfig(b.cluster.REST())
	if err != nil {
		b.Fatal(err)
	}
	var crd unstructured.Unstructured
	if err := json.Unmarshal([]byte(definition), &crd.Object); err != nil {
		b.Fatal(err)
	}
	if _, err := client.Resource(apply.CRDs).Create(b.Context(), &crd, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		b.Fatal(err)
	}
	releases := client.Resource(schema.GroupVersionResource{Group: fluxGroup, Version: "v2", Resource: "helmreleases"}).Namespace(b.namespace)
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": fluxGroup + "/v2", "kind": "HelmRelease", "metadata": map[string]any{"name": b.app.Name, "namespace": b.namespace},
		"spec": map[string]any{"suspend": suspended}, "status": status,
	}}
	b.until("Flux's kind is served", func() bool {
		b.engine.config.Changed(b.app) // nothing else is a sign
		_, err := releases.Create(b.Context(), object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			live, err := releases.Get(b.Context(), b.app.Name, metav1.GetOptions{})
			if err != nil {
				b.Fatal(err)
			}
			object.SetResourceVersion(live.GetResourceVersion())
			_, err = releases.Update(b.Context(), object, metav1.UpdateOptions{})
			return err == nil
		}
		return err == nil
	})
}

// byFlux is what a Flux would have in the status of the App's release.
func (b *bundle) byFlux() map[string]any {
	b.Helper()
	history, err := b.helm.of(names{Release: "app", Storage: b.namespace})
	if err != nil {
		b.Fatal(err)
	}
	for i := range history {
		history[i].Action = "upgrade"
	}
	encoded, err := json.Marshal(map[string]any{
		"history": history, "storageNamespace": b.namespace, "lastAttemptedReleaseAction": "upgrade", "failures": 2, "observedGeneration": 7,
		"conditions": []map[string]string{{"type": "Released", "status": "True", "reason": "UpgradeSucceeded", "message": "by Flux"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	var status map[string]any
	if err := json.Unmarshal(encoded, &status); err != nil {
		b.Fatal(err)
	}
	return status
}

// fluxDoes has somebody else than the engine do something to the release.
func (b *bundle) fluxDoes(action job.Action, chart string) {
	b.Helper()
	p := &process{b.helm, job.Job{Release: "app", Namespace: b.namespace, Storage: b.namespace, Plan: b.plan}, chart}
	if answer, err := p.Do(b.Context(), job.Request{Action: action}); err != nil || answer.Failure != nil {
		b.Fatalf("%s: %v %v", action, answer.Failure, err)
	}
	b.helm.done()
}

func TestAReleaseThatFluxManagesIsRefusedUntilItIsSuspendedAndThenTakenOverWithoutAnUpgrade(t *testing.T) {
	b := newBundle(t)
	b.fluxDoes(job.Install, "web@1")
	b.fluxDoes(job.Upgrade, "web@2")
	b.declare(false, b.byFlux())
	target := b.target("web@2")
	failure := b.refused(target, fleet.ReasonManagedByFlux)
	if !errors.Is(failure, ErrManagedByFlux) || !strings.Contains(failure.Error(), "flux suspend helmrelease app -n "+b.namespace) {
		t.Errorf("failure is %v", failure)
	}
	if _, err := b.engine.Remove(t.Context(), Removal{App: b.app, Tombstone: fleet.Tombstone{Delete: true}}); !errors.Is(err, ErrManagedByFlux) {
		t.Errorf("removal: %v", err)
	}
	if n := b.helm.processes(); n != 0 {
		t.Errorf("%d processes were started", n)
	}
	b.declare(true, b.byFlux())
	b.until("Flux has let go", func() bool { return !b.engine.Status(b.app).ManagedByFlux })
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	b.wants("", "v2:deployed:2 v1:superseded:1")
	if h := b.status(); say(h.History) != "v2:deployed:2 v1:superseded:1" || h.Released.Message != "by Flux" || h.Failures != 0 {
		t.Errorf("status is %+v", h)
	}
	if s := b.engine.Status(b.app); s.Applied != target.Release.Digest() || s.Ready.Reason != "UpgradeSucceeded" {
		t.Errorf("status is %+v", s)
	}
	if got := b.told(); got != "TakenOver" {
		t.Errorf("told is %q", got)
	}
	b.deploy("web@3")
	b.wants("upgrade", "v3:deployed:3 v2:superseded:2 v1:superseded:1")
	if got := b.told(); got != "UpgradeSucceeded" {
		t.Errorf("told is %q: what was taken in once is ours since", got)
	}
}

func TestWhatFluxSaysOfAFailureIsNotTakenIn(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 40<<10)
	status := map[string]any{"conditions": []any{
		map[string]any{"type": "Released", "status": "False", "reason": "UpgradeFailed", "message": `Invalid value: "canary"`},
		map[string]any{"type": "TestSuccess", "status": "False", "reason": "TestFailed", "message": "canary"},
		map[string]any{"type": "Remediated", "status": "True", "reason": "RollbackSucceeded", "message": long},
	}}
	s, err := fluxStatus(&unstructured.Unstructured{Object: map[string]any{"status": status}})
	if err != nil {
		t.Fatal(err)
	}
	if encoded, err := json.Marshal(s); err != nil || strings.Contains(string(encoded), "canary") || len(encoded) > 32<<10 {
		t.Errorf("error %v, taken in are %d bytes: %.200s", err, len(encoded), encoded)
	}
	if s.Released.Reason != "UpgradeFailed" || s.Released.Message == "" || s.TestSuccess.Reason != "TestFailed" || s.Remediated.Status != fleet.True {
		t.Errorf("status is %+v", s)
	}
	status["conditions"] = []any{map[string]any{"type": "Released", "status": "True", "reason": "UpgradeSucceeded", "message": long}}
	if s, err = fluxStatus(&unstructured.Unstructured{Object: map[string]any{"status": status}}); err != nil || len(s.Released.Message) >= len(long) {
		t.Errorf("error %v, told is %.100s", err, s.Released.Message)
	}
}

func TestWhatASuspendedFluxEndsLaterIsTakenInToo(t *testing.T) {
	b := newBundle(t)
	b.fluxDoes(job.Install, "web@1")
	b.declare(true, b.byFlux())
	b.deploy("web@1")
	b.wants("", "v1:deployed:1")
	wakes := b.engine.Status(b.app).Wakes
	b.fluxDoes(job.Upgrade, "web@2")
	b.declare(true, b.byFlux())
	b.until("the App is woken", func() bool { return b.engine.Status(b.app).Wakes > wakes })
	b.until("what Flux says is known", func() bool {
		b.engine.config.Changed(b.app)
		return b.engine.flux.OriginOf(b.app) != b.engine.known(b.app).record().Origin
	})
	b.deploy("web@2")
	b.wants("", "v2:deployed:2 v1:superseded:1")
}

func TestAStatusOfFluxsThatIsNotUnderstoodIsSaid(t *testing.T) {
	b := newBundle(t)
	b.declare(true, map[string]any{"history": []any{map[string]any{"version": "one"}}})
	var failure *Failure
	if err := b.try(b.target("web@1")); !errors.As(err, &failure) || !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "delete the suspended HelmRelease") {
		t.Errorf("error %v", err)
	}
}

func TestWhatAFluxObjectSaysDecidesNeitherWhatIsUninstalledNorAsWhom(t *testing.T) {
	b := newBundle(t)
	b.fluxDoes(job.Install, "web@1")
	b.limited()
	for what, change := range map[string]func(status map[string]any){
		"another storage": func(s map[string]any) { s["storageNamespace"] = b.system },
		"another release": func(s map[string]any) { s["history"].([]any)[0].(map[string]any)["name"] = "other" },
		"elsewhere":       func(s map[string]any) { s["history"].([]any)[0].(map[string]any)["namespace"] = b.system },
	} {
		status := b.byFlux()
		change(status)
		b.declare(true, status)
		b.until("what Flux says is known", func() bool {
			b.engine.config.Changed(b.app)
			return b.try(b.target("web@1")) != nil
		})
		if err := b.try(b.target("web@1")); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "spec.releaseName") {
			t.Errorf("%s: error %v", what, err)
		}
		if r := b.engine.known(b.app).record(); r.Target != nil {
			t.Errorf("%s: it is taken in: %+v", what, r.Target)
		}
	}
	b.wants("", "v1:deployed:1")
	// Even if the pass fails, the account is the App's own.
	b.helm.fails(job.Prepare, beforeStored, errors.New("no values"))
	b.declare(true, b.byFlux())
	b.until("it is taken in", func() bool {
		b.engine.config.Changed(b.app)
		_ = b.try(b.target("web@1"))
		return b.engine.known(b.app).record().Target != nil
	})
	if r := b.engine.known(b.app).record(); r.Target.ServiceAccount != "limited" {
		t.Errorf("it would be uninstalled as %q", r.Target.ServiceAccount)
	}
}

func TestAnAccountIsAName(t *testing.T) {
	b := newBundle(t)
	if is, err := b.engine.connection(b.app, "x:y"); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("as %q, error %v", is.User, err)
	}
}
