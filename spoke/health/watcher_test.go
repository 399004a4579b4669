package health_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// ward is a Watcher of Deployments that never get ready, each with a Pod that says why.
type ward struct {
	*health.Watcher
	cancel context.CancelFunc

	mu         sync.Mutex
	ready      map[string]bool
	open, most int // watches of Pods
}

// newWard runs a Watcher in a synctest bubble.
func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{ready: map[string]bool{}}
	w.Watcher = health.NewWatcher(health.Config{
		Read:    w.read,
		Pods:    w.pods,
		Wanted:  func(fleet.ObjectRef) bool { return true },
		Changed: func(fleet.ObjectRef) {},
		Judged:  func(fleet.ObjectRef, string, bool) {},
	})
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if w.open != 0 {
			t.Errorf("%d watches of Pods are left", w.open)
		}
	})
	return w
}

func deployment(i int) fleet.ObjectRef {
	return fleet.ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "n", Name: fmt.Sprint("web", i)}
}

func metadata(i int) *metav1.PartialObjectMetadata {
	ref := deployment(i)
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, Namespace: ref.Namespace, ResourceVersion: "1"}}
}

func (w *ward) read(_ context.Context, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	replicas := 0
	if w.ready[ref.Name] {
		replicas = 1
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"apps/v1","kind":"Deployment",
		"metadata":{"name":%q,"namespace":"n","generation":1,"resourceVersion":"1"},
		"spec":{"replicas":1,"selector":{"matchLabels":{"app":%q}}},
		"status":{"observedGeneration":1,"replicas":%[3]d,"updatedReplicas":%[3]d,"readyReplicas":%[3]d,"availableReplicas":%[3]d,
			"conditions":[{"type":"Available","status":"True"}]}}`, ref.Name, ref.Name, replicas))
}

// pods is a watch that shows the one Pod, then nothing, until its context ends.
func (w *ward) pods(ctx context.Context, _ fleet.ObjectRef, selector string) (watch.Interface, error) {
	events := watch.NewFakeWithChanSize(1, false)
	pod := &unstructured.Unstructured{}
	err := pod.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"status":{"containerStatuses":[
		{"name":"main","state":{"waiting":{"reason":"ErrImagePull","message":%q}}}]}}`, strings.TrimPrefix(selector, "app=")))
	events.Add(pod)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	w.most = max(w.most, w.open)
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open--
		events.Stop()
	})
	return events, err
}

// set is some Deployments.
type set []fleet.ObjectRef

func deployments(from, to int) (s set) {
	for i := from; i < to; i++ {
		s = append(s, deployment(i))
	}
	return s
}

func (s set) Len() int                     { return len(s) }
func (s set) Has(ref fleet.ObjectRef) bool { return slices.Contains(s, ref) }
func (s set) Refs() []fleet.ObjectRef      { return s }

// explained counts the Deployments whose Pod's reason is told.
func (w *ward) explained() (n int) {
	for _, status := range w.NotReady(deployments(0, 100)) {
		if strings.Contains(status.Message, "ErrImagePull: container main of Pod p: "+status.Object.Name+" ") {
			n++
		}
	}
	return n
}

func TestOnlyTheObjectsAskedAboutAreTold(t *testing.T) {
	t.Parallel()
	w := health.NewWatcher(health.Config{Changed: func(fleet.ObjectRef) {}})
	for _, ref := range deployments(5, 10) {
		w.Expect(ref)
	}
	for _, test := range []struct{ from, to, want int }{
		{from: 0, to: 0}, {from: 0, to: 2}, {from: 4, to: 6, want: 1}, {from: 5, to: 9, want: 4}, // fewer than are not ready
		{from: 0, to: 5}, {from: 0, to: 7, want: 2}, {from: 5, to: 10, want: 5}, {from: 0, to: 20, want: 5},
	} {
		of := deployments(test.from, test.to)
		found := w.NotReady(of)
		for _, status := range found {
			if !of.Has(status.Object) || status.Status != health.InProgress {
				t.Errorf("of %+v there is %+v", test, status)
			}
		}
		if len(found) != test.want {
			t.Errorf("of %+v there are %v", test, found)
		}
	}
}

func TestEveryWorkloadThatIsNotReadyHasItsTurnToSayWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workloads = 100
		w := newWard(t)
		for i := range workloads {
			w.Expect(deployment(i))
			w.Seen(deployment(i), metadata(i), false)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := w.explained(); n != workloads {
			t.Errorf("%d of %d say why", n, workloads)
		}
		if w.most > 16 {
			t.Errorf("%d watches of Pods at once", w.most)
		}
	})
}

func TestPodsOfAWorkloadThatAloneIsNotReadyAreWatchedWithoutInterruption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t)
		w.Seen(deployment(0), metadata(0), false)
		synctest.Wait()
		before := w.open
		w.mu.Lock()
		w.most = 0
		w.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if before != 1 || w.open != 1 || w.most != 0 || w.explained() != 1 {
			t.Errorf("%d watches at first, %d an hour later, begun in between: %t", before, w.open, w.most != 0)
		}
	})
}

func TestAWorkloadThatGetsReadyIsWatchedNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t)
		for i := range 20 {
			w.Seen(deployment(i), metadata(i), false)
		}
		synctest.Wait()
		w.mu.Lock()
		for i := range 20 {
			w.ready[deployment(i).Name] = true
		}
		w.mu.Unlock()
		time.Sleep(time.Minute)
		for i := range 20 {
			w.Seen(deployment(i), metadata(i), false)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.open != 0 || len(w.NotReady(deployments(0, 20))) != 0 {
			t.Errorf("%d watches are open, not ready are %v", w.open, w.NotReady(deployments(0, 20)))
		}
	})
}

func TestAWorkloadMayGetReadyWhileTheWatcherStops(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWard(t)
			for i := range 16 {
				w.Seen(deployment(i), metadata(i), false)
			}
			synctest.Wait()
			go w.cancel()
			for i := range 16 {
				w.Forget(deployment(i))
			}
			synctest.Wait()
			if len(w.NotReady(deployments(0, 16))) != 0 {
				t.Errorf("not ready are %v", w.NotReady(deployments(0, 16)))
			}
		})
	}
}
