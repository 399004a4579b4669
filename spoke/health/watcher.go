package health

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Config is what a Watcher needs.
type Config struct {
	// Read returns an object in full; the error wraps fleet.ErrNotFound when there is none.
	Read func(context.Context, fleet.ObjectRef) (*unstructured.Unstructured, error)
	// Pods watches the Pods of a namespace that match a label selector, beginning with those that are there.
	Pods func(ctx context.Context, namespace, selector string) (watch.Interface, error)
	// Wanted reports whether anybody still asks for that object.
	Wanted func(fleet.ObjectRef) bool
	// Changed is told when an object's state or message changed. It must not block.
	Changed func(fleet.ObjectRef)
	// Judged is told of every object read: whether it was ready at that resourceVersion. It must not block.
	Judged func(ref fleet.ObjectRef, version string, ready bool)
	Log    *slog.Logger
}

// Watcher knows the objects that are not ready.
type Watcher struct {
	config Config
	queue  workqueue.TypedDelayingInterface[fleet.ObjectRef]

	mu       sync.Mutex
	notReady map[fleet.ObjectRef]*patient
	rests    map[fleet.ObjectRef]*rest
	podSlots int
	pods     sync.WaitGroup
}

// patient is an object that is not ready.
type patient struct {
	state   string
	message string
	reason  string // from its Pods
	stop    context.CancelFunc
}

// rest makes reads of an object rarer while they find nothing new.
type rest struct {
	last time.Time
	calm int
}

const (
	readers = 4
	// maxPodWatches bounds the workloads whose Pods are watched at once; the others show no reason from theirs.
	maxPodWatches = 16
	restFirst     = 100 * time.Millisecond
	restMax       = 5 * time.Second
	restForgotten = 30 * time.Second
)

// NewWatcher returns a Watcher that does nothing until Run.
func NewWatcher(config Config) *Watcher {
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	return &Watcher{
		config:   config,
		queue:    workqueue.NewTypedDelayingQueue[fleet.ObjectRef](),
		notReady: map[fleet.ObjectRef]*patient{},
		rests:    map[fleet.ObjectRef]*rest{},
		podSlots: maxPodWatches,
	}
}

// Run reads what may have changed until the context ends.
func (w *Watcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for range readers {
		running.Go(func() {
			for {
				ref, stop := w.queue.Get()
				if stop {
					return
				}
				w.read(ctx, ref)
				w.queue.Done(ref)
			}
		})
	}
	tick := time.NewTicker(restForgotten)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.sweep()
		case <-ctx.Done():
			w.queue.ShutDown()
			running.Wait()
			w.pods.Wait()
			return nil
		}
	}
}

// Expect notes an object of which nothing is known yet. Changed is not told.
func (w *Watcher) Expect(ref fleet.ObjectRef) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notReady[ref.ID()] = &patient{state: InProgress, message: "not looked at yet"}
}

// Applied notes that an object was written: its state is what its controller makes of it from now on.
func (w *Watcher) Applied(ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata) {
	ref = ref.ID()
	switch {
	case meta.DeletionTimestamp != nil:
		w.set(ref, Terminating, "it is being deleted")
	case Stateless(ref):
		w.clear(ref)
	default:
		w.set(ref, InProgress, "applied, not looked at since")
		w.soon(ref)
	}
}

// Seen takes in an event of an object's metadata, nil when the object is gone. Ready says that it is known to be ready
// at that resourceVersion.
func (w *Watcher) Seen(ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata, ready bool) {
	ref = ref.ID()
	switch {
	case meta == nil:
		w.set(ref, NotFound, "it is gone")
	case meta.DeletionTimestamp != nil:
		w.set(ref, Terminating, "it is being deleted")
	case ready, Stateless(ref):
		w.clear(ref)
	default:
		w.soon(ref)
	}
}

// Forget drops an object.
func (w *Watcher) Forget(ref fleet.ObjectRef) {
	w.clear(ref.ID())
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.rests, ref.ID())
}

// NotReady returns the objects that are not ready, of all Apps.
func (w *Watcher) NotReady() []fleet.ObjectStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]fleet.ObjectStatus, 0, len(w.notReady))
	for ref, p := range w.notReady {
		message := p.message
		if p.reason != "" {
			message = p.reason
			if p.message != "" {
				message += " (" + p.message + ")"
			}
		}
		all = append(all, fleet.ObjectStatus{Object: ref, Status: p.state, Message: message})
	}
	return all
}

// soon has an object read, the later the more often that found nothing new.
func (w *Watcher) soon(ref fleet.ObjectRef) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.rests[ref]; r != nil {
		pause := min(restFirst<<min(r.calm, 10), restMax)
		if wait := time.Until(r.last.Add(pause)); wait > 0 {
			w.queue.AddAfter(ref, wait)
			return
		}
	}
	w.queue.Add(ref)
}

func (w *Watcher) read(ctx context.Context, ref fleet.ObjectRef) {
	if !w.config.Wanted(ref) {
		return
	}
	object, err := w.config.Read(ctx, ref)
	changed := false
	switch {
	case ctx.Err() != nil:
		return
	case !w.config.Wanted(ref): // forgotten while it was read
		return
	case errors.Is(err, fleet.ErrNotFound):
		changed = w.set(ref, NotFound, "it is gone")
	case err != nil:
		w.config.Log.Debug("read an object's status", "object", ref.String(), "err", err)
		w.queue.AddAfter(ref, restMax)
		return
	default:
		state, message := Evaluate(object)
		if state == Current {
			changed = w.clear(ref)
		} else {
			changed = w.set(ref, state, message)
			w.askPods(ctx, ref, object)
		}
		w.config.Judged(ref, object.GetResourceVersion(), state == Current)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rests[ref]
	if r == nil {
		r = &rest{}
		w.rests[ref] = r
	}
	r.last = time.Now()
	if r.calm++; changed {
		r.calm = 0
	}
}

func (w *Watcher) set(ref fleet.ObjectRef, state, message string) (changed bool) {
	w.mu.Lock()
	p := w.notReady[ref]
	if p == nil {
		p = &patient{}
		w.notReady[ref] = p
	}
	changed = p.state != state || p.message != message
	p.state, p.message = state, message
	w.mu.Unlock()
	if changed {
		w.config.Changed(ref)
	}
	return changed
}

func (w *Watcher) clear(ref fleet.ObjectRef) (changed bool) {
	w.mu.Lock()
	p := w.notReady[ref]
	delete(w.notReady, ref)
	w.mu.Unlock()
	if p == nil {
		return false
	}
	if p.stop != nil {
		p.stop()
	}
	w.config.Changed(ref)
	return true
}

func (w *Watcher) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ref, r := range w.rests {
		if time.Since(r.last) > restForgotten {
			delete(w.rests, ref)
		}
	}
}

// askPods watches the Pods of a workload until it is ready.
func (w *Watcher) askPods(ctx context.Context, ref fleet.ObjectRef, object *unstructured.Unstructured) {
	selector := podSelector(ref, object)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.notReady[ref]
	if selector == "" || p == nil || p.stop != nil || w.podSlots == 0 {
		return
	}
	w.podSlots--
	watching, cancel := context.WithCancel(ctx)
	p.stop = cancel
	w.pods.Go(func() {
		w.watchPods(watching, ref, p, selector)
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.podSlots++
		p.stop = nil
	})
}

func (w *Watcher) watchPods(ctx context.Context, ref fleet.ObjectRef, p *patient, selector string) {
	for ctx.Err() == nil {
		events, err := w.config.Pods(ctx, ref.Namespace, selector)
		if err == nil {
			w.followPods(events, ref, p)
			events.Stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(restMax):
		}
	}
}

func (w *Watcher) followPods(events watch.Interface, ref fleet.ObjectRef, p *patient) {
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
		changed := p.reason != reason && w.notReady[ref] == p
		p.reason = reason
		w.mu.Unlock()
		if changed {
			w.config.Changed(ref)
		}
	}
}

func fromUnstructured(content map[string]any, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructured(content, into)
}
