package deploy_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// hook has the API server ask a webhook of the test's about ConfigMaps of its namespace whose names begin with hooked. It
// waits a second for the answer, or as many as patience is told.
func (b *bundle) hook(answer http.HandlerFunc) (patience func(seconds int32)) {
	b.Helper()
	server := httptest.NewTLSServer(answer)
	b.Cleanup(server.Close)
	url, timeout, fail, none := server.URL, int32(1), admissionv1.Fail, admissionv1.SideEffectClassNone
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	hooks := b.typed.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	hook, err := hooks.Create(b.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: b.namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:         "hook.example.com",
			ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: ca},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.namespace}},
			MatchConditions:   []admissionv1.MatchCondition{{Name: "hooked", Expression: `object.metadata.name.startsWith("hooked")`}},
			FailurePolicy:     &fail, SideEffects: &none, TimeoutSeconds: &timeout, AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = hooks.Delete(context.Background(), b.namespace, metav1.DeleteOptions{}) })
	return func(seconds int32) {
		b.Helper()
		hook.Webhooks[0].TimeoutSeconds = &seconds
		if hook, err = hooks.Update(b.Context(), hook, metav1.UpdateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// fails waits until a pass fails, and says so as it should; what is asked for may take a moment to be in force.
func (b *bundle) fails(f func() error, says ...string) {
	b.Helper()
	b.eventually("the pass fails and says why", func() error {
		err := f()
		if err == nil {
			return errors.New("it does not fail")
		}
		for _, part := range says {
			if !strings.Contains(err.Error(), part) {
				return fmt.Errorf("the error does not say %q: %w", part, err)
			}
		}
		return nil
	})
}

func TestAWebhookThatRejectsIsNamedAndHoldsUpNobodyElse(t *testing.T) {
	b := newBundle(t).start()
	var allows atomic.Bool
	b.hook(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":%t,"status":{"code":403,"message":"not on a Friday"}}}`,
			review.Request.UID, allows.Load())
	})
	next := 0
	b.fails(func() error {
		next++
		return b.try(b.target(b.configMap("hooked", fmt.Sprint(next)), b.configMap("beside", "1")))
	},
		"ConfigMap/"+b.namespace+"/hooked", `"hook.example.com"`, "not on a Friday")
	b.canary()
	allows.Store(true)
	b.deploy(b.configMap("hooked", "1"), b.configMap("beside", "1"))
}

func TestAWebhookThatHangsIsNamedAndHoldsUpNobodyElse(t *testing.T) {
	b := newBundle(t).start()
	asked, goOn := make(chan struct{}, 1), make(chan struct{})
	patience := b.hook(func(w http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		_ = json.NewDecoder(r.Body).Decode(&review) // the request may be over
		if r.URL.Query().Get("timeout") == "30s" {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true}}`, review.Request.UID)
	})
	release := sync.OnceFunc(func() { close(goOn) })
	b.Cleanup(release)
	next := 0
	b.fails(func() error { next++; return b.try(b.target(b.configMap("hooked", fmt.Sprint(next)))) },
		"ConfigMap/"+b.namespace+"/hooked", `failed calling webhook "hook.example.com"`)

	// While one pass hangs, another App's passes and corrections are made: the hook lets it go on only after them, and
	// before the API server has lost patience.
	patience(30)
	hanging := make(chan error, 1)
	b.eventually("a pass that hangs", func() error {
		next++
		target := b.target(b.configMap("hooked", fmt.Sprint(next)))
		go func() { hanging <- b.try(target) }()
		select {
		case err := <-hanging:
			return fmt.Errorf("it is over: %w", err) // the API server has not heard of its new patience
		case <-asked:
		}
		return nil
	})
	b.canary()
	release()
	if err := <-hanging; err != nil {
		t.Errorf("the pass that hung while the others were made: %v", err)
	}
}

func TestANamespaceThatIsStuckTerminatingIsNamedAndHoldsUpNobodyElse(t *testing.T) {
	b := newBundle(t).start()
	extra := b.namespace + "-extra"
	namespace := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, extra)
	inside := func(name, more string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q%s}}`, name, extra, more)
	}
	b.deploy(namespace)
	theirs := b.unstructured(inside("stuck", `,"finalizers":["example.com/stuck"]`))
	if _, err := b.client.Resource(configMaps).Namespace(extra).Create(b.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	spaces := b.client.Resource(namespaces)
	if err := spaces.Delete(b.Context(), extra, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	whole := func() error {
		return b.try(b.target(namespace, inside("new", "")))
	}
	b.fails(whole, "ConfigMap/"+extra+"/new", "because it is being terminated", "its namespace has to be gone first")
	b.canary()
	if _, err := b.client.Resource(configMaps).Namespace(extra).Patch(b.Context(), "stuck", "application/merge-patch+json",
		[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{FieldManager: "someone"}); err != nil {
		t.Fatal(err)
	}
	b.eventually("the pass succeeds when the namespace is gone", whole)
	if b.getIn(extra, configMaps, "new") == nil {
		t.Error("it is not there")
	}
}

func TestAnswersThatPassAreWaitedForAndOthersGoOn(t *testing.T) {
	for _, code := range []int{http.StatusTooManyRequests, http.StatusConflict} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			b := newBundle(t)
			var refusals atomic.Int64
			b.intercept(func(r *http.Request) int {
				if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/busy") && refusals.Add(-1) >= 0 {
					return code
				}
				return 0
			})
			b.start()
			refusals.Store(2) // and is taken
			b.deploy(b.configMap("busy", "1"), b.configMap("beside", "1"))
			refusals.Store(1 << 30)
			err := b.try(b.target(b.configMap("busy", "2"), b.configMap("beside", "2")))
			if err == nil || !strings.Contains(err.Error(), "ConfigMap/"+b.namespace+"/busy") || errors.Is(err, fleet.ErrInvalid) {
				t.Errorf("error %v", err)
			}
			b.canary()
			b.value(configMaps, "beside", "1", "data", "key")
			refusals.Store(0)
			b.deploy(b.configMap("busy", "2"), b.configMap("beside", "2"))
			b.value(configMaps, "busy", "2", "data", "key")
			refusals.Store(2)
			if _, got := b.diff(b.target(b.configMap("busy", "3"), b.configMap("beside", "2")), false); got["ConfigMap/busy"].Change != fleet.ChangeChange {
				t.Errorf("a diff says %+v", got["ConfigMap/busy"])
			}
		})
	}
}
