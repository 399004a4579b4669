package hold_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/test/lab"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) { lab.Main(m) }

// bench is a cluster with a namespace of an App and the spoke's own.
type bench struct {
	*testing.T
	client         kubernetes.Interface
	rest           *rest.Config
	namespace, own string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	cluster := lab.TestCluster(t)
	client, err := kubernetes.NewForConfig(cluster.REST())
	if err != nil {
		t.Fatal(err)
	}
	return &bench{T: t, client: client, rest: cluster.REST(), namespace: lab.TestNamespace(t, cluster), own: lab.TestNamespace(t, cluster)}
}

// watching is a Watch, and how often it told that something else is on hold.
type watching struct {
	*hold.Watch
	told atomic.Int32
}

func (b *bench) watch(config *rest.Config) *watching {
	b.Helper()
	client, err := metadata.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	w := &watching{}
	w.Watch = hold.New(hold.Config{Client: client, Namespace: b.own, Log: slog.New(slog.DiscardHandler), Changed: func() { w.told.Add(1) }})
	return w
}

// run has it watch until the test ends.
func (b *bench) run(w *watching) {
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
}

// annotate says that a namespace is on hold; nil: not any more.
func (b *bench) annotate(namespace string, why any) {
	b.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{fleet.HoldAnnotation: why}}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := b.client.CoreV1().Namespaces().Patch(b.Context(), namespace, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

// end has a namespace be gone, as the cluster's controller does once it is empty.
func (b *bench) end(namespace string) {
	b.Helper()
	namespaces := b.client.CoreV1().Namespaces()
	if err := namespaces.Delete(b.Context(), namespace, metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
	lab.Eventually(b, patience, "the namespace is gone", func() error {
		live, err := namespaces.Get(b.Context(), namespace, metav1.GetOptions{})
		if err != nil {
			return nil
		}
		live.Spec.Finalizers = nil
		_, err = namespaces.Finalize(b.Context(), live, metav1.UpdateOptions{})
		return fmt.Errorf("it was there (%w)", err)
	})
}

func app(namespace string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: namespace, Name: "app"}
}

// says waits until an App of the namespace is on hold for a reason, and until that was told.
func (b *bench) says(w *watching, namespace, want string, told int32) {
	b.Helper()
	lab.Eventually(b, patience, "App in "+namespace+": "+want, func() error {
		if why, n := w.OnHold(app(namespace)), w.told.Load(); why != want || n < told {
			return fmt.Errorf("it is %q, and was told %d times", why, n)
		}
		return nil
	})
}

// ended is a context that is over: what is known is all that is said.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestAnAppIsOnHoldWhileItsNamespaceOrTheSpokesSaysSo(t *testing.T) {
	b := newBench(t)
	w := b.watch(b.rest)
	if err := w.Await(ended(t)); err == nil || !strings.Contains(err.Error(), "not known yet") {
		t.Errorf("before it has looked: %v", err)
	}
	b.run(w)
	if err := w.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.says(w, b.namespace, "", 1) // that it is known is told as well
	why := "Namespace/" + b.namespace + " is on hold (annotation " + fleet.HoldAnnotation + ")"
	b.annotate(b.namespace, "maintenance")
	b.says(w, b.namespace, why+": maintenance", 2)
	b.says(w, b.own, "", 2)
	b.annotate(b.namespace, "true")
	b.says(w, b.namespace, why, 3)

	again := b.watch(b.rest) // after a restart it is known at once
	b.run(again)
	if err := again.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := again.OnHold(app(b.namespace)); got != why {
		t.Errorf("after a restart it is on hold by %q", got)
	}

	b.annotate(b.namespace, "false")
	b.says(w, b.namespace, "", 4)
	b.annotate(b.own, "the fleet's")
	b.says(w, b.namespace, "Namespace/"+b.own+" is on hold (annotation "+fleet.HoldAnnotation+"): the fleet's", 5)
	b.annotate(b.own, nil)
	b.says(w, b.namespace, "", 6)
}

func TestANamespaceThatIsGoneHoldsNothing(t *testing.T) {
	b := newBench(t)
	b.annotate(b.namespace, "maintenance")
	w := b.watch(b.rest)
	b.run(w)
	b.says(w, b.namespace, "Namespace/"+b.namespace+" is on hold (annotation "+fleet.HoldAnnotation+"): maintenance", 1)
	b.end(b.namespace)
	b.says(w, b.namespace, "", 2)
}

func TestThatNamespacesCannotBeListedIsSaid(t *testing.T) {
	b := newBench(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(server.Close)
	w := b.watch(&rest.Config{Host: server.URL})
	b.run(w)
	lab.Eventually(t, patience, "it says why it is not known", func() error {
		if err := w.Await(ended(t)); err == nil || !strings.Contains(err.Error(), "list namespaces: ") {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	})
}

func TestAnAnnotationHoldsWhateverItSaysButFalse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		annotations map[string]string
		said        string // empty: it is not on hold
	}{
		{nil, ""},
		{map[string]string{fleet.HoldAnnotation: "false"}, ""},
		{map[string]string{fleet.HoldAnnotation: "true"}, "Namespace/apps is on hold (annotation fleet.flotilla.dev/hold)"},
		{map[string]string{fleet.HoldAnnotation: ""}, "Namespace/apps is on hold (annotation fleet.flotilla.dev/hold)"},
		{map[string]string{fleet.HoldAnnotation: "incident"}, "Namespace/apps is on hold (annotation fleet.flotilla.dev/hold): incident"},
	} {
		said := ""
		if why := hold.Of(&metav1.ObjectMeta{Annotations: test.annotations}); why != "" {
			said = hold.Say("Namespace/apps", why)
		}
		if said != test.said {
			t.Errorf("%v: %q, want %q", test.annotations, said, test.said)
		}
	}
}
