package health

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

const (
	// maxPodWatches bounds the workloads whose Pods are watched at once.
	maxPodWatches = 16
	// podTurn is how long a workload may have that while others wait. What its Pods said stays.
	podTurn = 20 * time.Second
)

// askPods watches the Pods of a workload until it is ready, in turn with the others.
func (w *Watcher) askPods(ctx context.Context, ref fleet.ObjectRef, object *unstructured.Unstructured) {
	selector := Selector(ref, object)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.notReady[ref]
	if selector == "" || p == nil || p.stop != nil || p.waits {
		return
	}
	p.selector = selector
	w.queuePods(ctx, p)
}

// queuePods puts an object at the end of the line; the caller holds the lock.
func (w *Watcher) queuePods(ctx context.Context, p *patient) {
	p.waits = true
	w.line = append(w.line, p)
	w.admitPods(ctx)
}

// admitPods begins the watches that there is room for; the caller holds the lock.
func (w *Watcher) admitPods(ctx context.Context) {
	for len(w.watched) < maxPodWatches && len(w.line) > 0 {
		p := w.line[0]
		w.line = w.line[1:]
		p.waits = false
		if ctx.Err() != nil || w.notReady[p.ref] != p {
			continue
		}
		watching, cancel := context.WithCancel(ctx)
		p.stop, p.since = cancel, time.Now()
		w.watched = append(w.watched, p)
		w.pods.Go(func() {
			w.watchPods(watching, p)
			cancel()
			w.mu.Lock()
			defer w.mu.Unlock()
			p.stop = nil
			w.watched = slices.DeleteFunc(w.watched, func(other *patient) bool { return other == p })
			w.queuePods(ctx, p) // it goes on if it still is not ready
		})
	}
}

// rotate has those who have had their turn make room for as many as wait.
func (w *Watcher) rotate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.watched[:min(len(w.watched), len(w.line))] {
		if p.stop != nil && time.Since(p.since) >= podTurn {
			p.stop()
		}
	}
}

func (w *Watcher) watchPods(ctx context.Context, p *patient) {
	for ctx.Err() == nil {
		events, err := w.config.Pods(ctx, p.ref, p.selector)
		if err == nil {
			w.followPods(events, p)
			events.Stop()
		}
		_ = run.Sleep(ctx, restMax) // the loop looks at ctx
	}
}

func (w *Watcher) followPods(events watch.Interface, p *patient) {
	pods := map[string]*corev1.Pod{}
	for event := range events.ResultChan() {
		object, isObject := event.Object.(*unstructured.Unstructured)
		if !isObject {
			return
		}
		pod := &corev1.Pod{}
		if err := fromUnstructured(object.Object, pod); err != nil {
			continue
		}
		pods[pod.Name] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, CreationTimestamp: pod.CreationTimestamp}, Status: pod.Status}
		if event.Type == watch.Deleted {
			delete(pods, pod.Name)
		}
		all := make([]*corev1.Pod, 0, len(pods))
		for _, pod := range pods {
			all = append(all, pod)
		}
		reason := Reason(all)
		w.mu.Lock()
		changed := p.reason != reason && w.notReady[p.ref] == p
		p.reason = reason
		w.mu.Unlock()
		if changed {
			w.config.Changed(p.ref)
		}
	}
}

func fromUnstructured(content map[string]any, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content, into)
}
