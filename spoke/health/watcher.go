package health

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Config is what a Watcher needs.
type Config struct {
	// Read returns an object in full; the error wraps fleet.ErrNotFound when there is none.
	Read func(context.Context, fleet.ObjectRef) (*unstructured.Unstructured, error)
	// Pods watches the Pods of a workload: those of its namespace that match a label selector, beginning with those that are
	// there.
	Pods func(ctx context.Context, of fleet.ObjectRef, selector string) (watch.Interface, error)
	// Wanted reports whether anybody still asks for that object.
	Wanted func(fleet.ObjectRef) bool
	// Expressions are those of who asks for that object. Nil: nobody has any.
	Expressions func(fleet.ObjectRef) *expr.Health
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
	// watched are those whose Pods are watched, the longest first; line are those who wait for that.
	watched, line []*patient
	pods          sync.WaitGroup
}

// patient is an object that is not ready.
type patient struct {
	ref     fleet.ObjectRef
	state   string
	message string
	reason  string // from its Pods
	// selector of its Pods; stop ends the watch of them, begun at since; waits says that it stands in line for one.
	selector string
	stop     context.CancelFunc
	since    time.Time
	waits    bool
}

// rest makes reads of an object rarer while they find nothing new.
type rest struct {
	last time.Time
	calm int
}

const (
	readers       = 4
	restFirst     = 100 * time.Millisecond
	restMax       = 5 * time.Second
	restForgotten = 30 * time.Second
)

// NewWatcher returns a Watcher that does nothing until Run.
func NewWatcher(config Config) *Watcher {
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	if config.Expressions == nil {
		config.Expressions = func(fleet.ObjectRef) *expr.Health { return nil }
	}
	return &Watcher{
		config:   config,
		queue:    workqueue.NewTypedDelayingQueue[fleet.ObjectRef](),
		notReady: map[fleet.ObjectRef]*patient{},
		rests:    map[fleet.ObjectRef]*rest{},
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
	turn := time.NewTicker(podTurn)
	defer turn.Stop()
	for {
		select {
		case <-tick.C:
			w.sweep()
		case <-turn.C:
			w.rotate()
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
	if p := w.notReady[ref.ID()]; p != nil && p.stop != nil {
		p.stop()
	}
	w.notReady[ref.ID()] = &patient{ref: ref.ID(), state: InProgress, message: "not looked at yet"}
}

// Applied notes that an object was written: its state is what its controller makes of it from now on.
func (w *Watcher) Applied(ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata) {
	ref = ref.ID()
	switch {
	case meta.DeletionTimestamp != nil:
		w.set(ref, Terminating, "it is being deleted")
	case Stateless(ref) && !w.judges(ref):
		w.clear(ref)
	default:
		w.set(ref, InProgress, "applied, not looked at since")
		w.soon(ref)
	}
}

// Again has an object looked at that other expressions are about now.
func (w *Watcher) Again(ref fleet.ObjectRef) {
	ref = ref.ID()
	w.set(ref, InProgress, "not looked at by these expressions yet")
	w.soon(ref)
}

// Seen takes in an event of an object's metadata, nil when the object is gone. Ready says that it is known to be ready
// at that resourceVersion; where expressions tell, it may have been others that said so.
func (w *Watcher) Seen(ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata, ready bool) {
	ref = ref.ID()
	switch {
	case meta == nil:
		w.set(ref, NotFound, "it is gone")
	case meta.DeletionTimestamp != nil:
		w.set(ref, Terminating, "it is being deleted")
	case (ready || Stateless(ref)) && !w.judges(ref):
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

// NotReady returns those of the objects that are not ready. It looks at them or, where these are fewer, at all that are
// not ready.
func (w *Watcher) NotReady(of fleet.ObjectSet) (found []fleet.ObjectStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if of.Len() < len(w.notReady) {
		for _, ref := range of.Refs() {
			if p := w.notReady[ref]; p != nil {
				found = append(found, p.status())
			}
		}
		return found
	}
	for ref, p := range w.notReady {
		if of.Has(ref) {
			found = append(found, p.status())
		}
	}
	return found
}

func (p *patient) status() fleet.ObjectStatus {
	message := p.message
	if p.reason != "" {
		message = p.reason
		if p.message != "" {
			message += " (" + p.message + ")"
		}
	}
	return fleet.ObjectStatus{Object: p.ref, Status: p.state, Message: message}
}

// judges reports whether expressions tell the object's health.
func (w *Watcher) judges(ref fleet.ObjectRef) bool { return w.config.Expressions(ref).Judges(ref) }

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
	by := w.config.Expressions(ref)
	object, err := w.config.Read(ctx, ref)
	changed := false
	switch {
	case ctx.Err() != nil:
		return
	case !w.config.Wanted(ref), by != w.config.Expressions(ref): // forgotten, or to be looked at again
		return
	case errors.Is(err, fleet.ErrNotFound):
		changed = w.set(ref, NotFound, "it is gone")
	case err != nil:
		w.config.Log.Debug("read an object's status", "object", ref.String(), "err", err)
		w.queue.AddAfter(ref, restMax)
		return
	default:
		state, message := Evaluate(object, by)
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
	r.calm++
	if changed {
		r.calm = 0
	}
}

func (w *Watcher) set(ref fleet.ObjectRef, state, message string) (changed bool) {
	w.mu.Lock()
	p := w.notReady[ref]
	if p == nil {
		p = &patient{ref: ref}
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
	if p != nil && p.stop != nil {
		p.stop()
	}
	w.mu.Unlock()
	if p == nil {
		return false
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
