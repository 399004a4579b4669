package deploy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// interceptor answers some requests itself.
type interceptor struct {
	next   http.RoundTripper
	answer func(*http.Request) int // an HTTP status; zero: ask the API server
}

func (i interceptor) RoundTrip(r *http.Request) (*http.Response, error) {
	if code := i.answer(r); code != 0 {
		return &http.Response{
			StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: io.NopCloser(strings.NewReader("made up")), Request: r,
		}, nil
	}
	return i.next.RoundTrip(r)
}

func (b *bundle) intercept(answer func(*http.Request) int) {
	b.wrap = func(next http.RoundTripper) http.RoundTripper { return interceptor{next, answer} }
}

func TestADiscoveryErrorIsNotAbsence(t *testing.T) {
	for _, code := range []int{http.StatusNotFound, http.StatusServiceUnavailable} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			b := newBundle(t)
			if err := b.create(crds, fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.eventually("the pass succeeds", func() error { return b.try(b.target(b.configMap("a", "1"), b.gadget("g", 1))) })
			b.intercept(func(r *http.Request) int {
				if strings.HasPrefix(r.URL.Path, "/apis/"+b.group()) {
					return code
				}
				return 0
			})
			b.start()
			err := b.try(b.target(b.configMap("a", "1")))
			if !errors.Is(err, deploy.ErrPrune) || !strings.Contains(err.Error(), "Gadget") {
				t.Errorf("error %v", err)
			}
			b.value(b.gadgets(), "g", 1, "spec", "size")
			b.wrap = nil
			b.start()
			b.deploy(b.configMap("a", "1"))
			if b.get(b.gadgets(), "g") != nil {
				t.Error("it is still there")
			}
		})
	}
}

func TestAnAPIServerThatIsBusyIsAskedAgain(t *testing.T) {
	b := newBundle(t)
	var refused atomic.Int64
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodPatch && refused.Add(1) <= 2 {
			return http.StatusTooManyRequests
		}
		return 0
	})
	b.start().deploy(b.configMap("a", "1"))
	b.value(configMaps, "a", "1", "data", "key")
}

func TestADeletionThatFailsIsTriedAgainAndDoesNotUndoThePass(t *testing.T) {
	b := newBundle(t)
	var broken atomic.Bool
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/goes") && broken.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	b.start().deploy(b.configMapsNamed("goes", "too", "stays")...)
	broken.Store(true)
	target := b.target(b.configMap("stays", "2"))
	if err := b.try(target); !errors.Is(err, deploy.ErrPrune) || !strings.Contains(err.Error(), "/goes") {
		t.Errorf("error %v", err)
	}
	b.value(configMaps, "stays", "2", "data", "key")
	if b.status().Applied != target.Release.Digest() || b.get(configMaps, "too") != nil {
		t.Errorf("status %+v", b.status())
	}
	broken.Store(false)
	if err := b.try(target); err != nil || b.get(configMaps, "goes") != nil {
		t.Errorf("error %v", err)
	}
}

func TestAnObjectOfTwoAppsIsTheLastOnesAndNobodyFights(t *testing.T) {
	b := newBundle(t).start()
	first := b.target(b.configMap("shared", "1"), b.configMap("a", "1"))
	second := b.of("other", b.target(b.configMap("shared", "2")))
	for _, target := range []deploy.Target{first, second} {
		if err := b.try(target); err != nil {
			t.Fatal(err)
		}
	}
	first.Verify = true
	if err := b.try(first); err != nil {
		t.Fatal(err)
	}
	b.canary()
	b.value(configMaps, "shared", "2", "data", "key")
	if s := b.status(); len(s.Conflicts) != 1 || s.Conflicts[0].Object.Name != "shared" {
		t.Errorf("conflicts %+v", s.Conflicts)
	}

	// After a restart it is still the second's.
	b.start()
	for _, target := range []deploy.Target{first, second} {
		b.load(target)
	}
	if s := b.status(); len(s.Conflicts) != 1 || s.Conflicts[0].Object.Name != "shared" {
		t.Errorf("after a restart the conflicts are %+v", s.Conflicts)
	}
	b.patch(configMaps, "shared", "someone", `{"data":{"key":"3"}}`)
	b.value(configMaps, "shared", "2", "data", "key")
	b.value(configMaps, "shared", "other", "metadata", "labels", ownerName)

	// The first drops it: it stays the second's. It wants it again, and the second drops it: it is the first's.
	b.deploy(b.configMap("a", "1"))
	b.value(configMaps, "shared", "2", "data", "key")
	third := b.deploy(b.configMap("shared", "3"), b.configMap("a", "1"))
	b.value(configMaps, "shared", "3", "data", "key")
	b.start()
	for _, target := range []deploy.Target{third, second} {
		b.load(target)
	}
	if s := b.engine.Status(second.App); len(s.Conflicts) != 1 || s.Conflicts[0].Object.Name != "shared" {
		t.Errorf("the conflicts of the second are %+v", s.Conflicts)
	}
	b.release.PruneGuard = "off"
	if err := b.try(b.of("other", b.target())); err != nil {
		t.Fatal(err)
	}
	b.canary()
	b.value(configMaps, "shared", "3", "data", "key")
	if s := b.status(); len(s.Conflicts) != 0 {
		t.Errorf("conflicts %+v", s.Conflicts)
	}
}

func TestAJobThatRemovesItselfRunsAgainWithAFullPassOnly(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), fmt.Sprintf(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"once","namespace":%q},
		"spec":{"ttlSecondsAfterFinished":1,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/app:1"}]}}}}`, b.namespace))
	jobs := deployments
	jobs.Group, jobs.Resource = "batch", "jobs"
	b.eventually("it has removed itself", func() error {
		if job := b.get(jobs, "once"); job != nil {
			return fmt.Errorf("its status is %v", job.Object["status"])
		}
		return nil
	})
	b.healthy(fleet.True)
	if err := b.try(target); err != nil || b.get(jobs, "once") != nil {
		t.Fatalf("it runs again, error %v", err)
	}
	target.Verify = true
	if err := b.try(target); err != nil || b.get(jobs, "once") == nil {
		t.Errorf("it does not run again, error %v", err)
	}
}

func TestAnEditHiddenByRestoredManagedFieldsIsFoundAfterAGap(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), b.deployment("web", ""))
	b.judged()
	b.kill()
	for name, edit := range map[string]string{"a": `{"data":{"key":"2"}}`, "web": `{"spec":{"revisionHistoryLimit":7}}`} {
		resource := configMaps
		if name == "web" {
			resource = deployments
		}
		before := b.get(resource, name)
		after := b.patch(resource, name, "someone", edit)
		after.SetManagedFields(before.GetManagedFields())
		after.SetResourceVersion("")
		_, err := b.client.Resource(resource).Namespace(b.namespace).Update(b.Context(), after, metav1.UpdateOptions{FieldManager: "someone"})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.start()
	b.load(target)
	b.value(configMaps, "a", "1", "data", "key")
	b.value(deployments, "web", 3, "spec", "revisionHistoryLimit")
}

func TestWhatAFailedPassDidNotReachIsKeptAsItWas(t *testing.T) {
	b := newBundle(t)
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "" && strings.HasSuffix(r.URL.Path, "/refused") {
			return http.StatusForbidden
		}
		return 0
	})
	b.start()
	web := b.deployment("web", "")
	b.deploy(web)
	refused := fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"refused","namespace":%q}}`, b.namespace)
	err := b.try(b.target(refused, strings.Replace(web, `"revisionHistoryLimit":3`, `"revisionHistoryLimit":4`, 1)))
	if !errors.Is(err, fleet.ErrDenied) || !strings.Contains(err.Error(), "ServiceAccount/"+b.namespace+"/refused") {
		t.Errorf("error %v", err)
	}
	if shard := b.entries(); strings.Contains(shard, "refused") || !strings.Contains(shard, `"applied"`) {
		t.Errorf("the inventory is %s", shard)
	}
	b.patch(deployments, "web", "kubectl-edit", `{"spec":{"revisionHistoryLimit":7}}`)
	b.value(deployments, "web", 3, "spec", "revisionHistoryLimit")
}

func TestAKindThatIsNotServedHoldsUpNoOtherObjectAfterARestart(t *testing.T) {
	b := newBundle(t)
	if err := b.create(crds, fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget")); err != nil {
		t.Fatal(err)
	}
	b.start()
	protected := strings.Replace(b.gadget("g", 1), `"metadata":{`, `"metadata":{"annotations":{"fleet.flotilla.dev/protect":"true"},`, 1)
	target := b.target(b.configMap("a", "1"), protected)
	b.eventually("the pass succeeds", func() error { return b.try(target) })
	for _, code := range []int{http.StatusServiceUnavailable, http.StatusNotFound} {
		b.intercept(func(r *http.Request) int {
			if strings.HasPrefix(r.URL.Path, "/apis/"+b.group()) {
				return code
			}
			return 0
		})
		b.start()
		b.load(target)
		b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2"}}`)
		b.value(configMaps, "a", "1", "data", "key")
		if s := b.status(); s.HeldPrune != nil || !s.Applied.IsZero() {
			t.Errorf("the status is %+v", s)
		}
	}
}

func TestTwoEntriesForOneObjectAreRefusedByTheirNames(t *testing.T) {
	b := newBundle(t).start()
	name := "from-" + b.namespace
	err := b.try(b.target(
		fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q}}`, name),
		fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"default"}}`, name),
	))
	if !errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), "ConfigMap/"+name) || !strings.Contains(err.Error(), "ConfigMap/default/"+name) {
		t.Errorf("error %v", err)
	}
	if b.getIn("default", configMaps, name) != nil {
		t.Error("one of them was applied")
	}
}

func TestAKindJustDefinedMayTakeAMomentToBeServed(t *testing.T) {
	b := newBundle(t)
	var refused atomic.Int64
	b.intercept(func(r *http.Request) int {
		if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/apis/"+b.group()) && refused.Add(1) <= 2 {
			return http.StatusNotFound
		}
		return 0
	})
	b.start().deploy(b.gadget("g", 1), fmt.Sprintf(widgetDefinition, "gadget", b.group(), "Gadget"))
	b.value(b.gadgets(), "g", 1, "spec", "size")
}

func TestTheHealthOfWhatIsNotToBeTouchedIsNotTheApps(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.deployment("web", ""), b.configMap("a", "1"))
	b.healthy(fleet.True)
	b.patch(deployments, "web", "someone", `{"metadata":{"annotations":{"kustomize.toolkit.fluxcd.io/reconcile":"disabled"}},
		"spec":{"replicas":2,"template":{"metadata":{"annotations":{"demo/fail":"image"}}}}}`)
	b.judged()
	b.healthy(fleet.True)
}
