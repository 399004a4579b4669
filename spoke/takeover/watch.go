package takeover

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
)

// Timeout is how long is waited until it is known what a Flux manages.
const Timeout = 30 * time.Second

// Config says what is watched.
type Config struct {
	// Kind refers to Flux's objects of the App kind; another version of theirs will do.
	Kind   fleet.ObjectRef
	Client dynamic.Interface
	Mapper *apply.Mapper
	// Origin names the state of what a suspended object is taken over by; empty: there is nothing.
	Origin func(*unstructured.Unstructured) string
	// Synced is called once, when it is known for the first time what Flux manages. Changed is called when an object begins or
	// ceases to be managed, Noted when the origin of a suspended one is another. Each may be nil.
	Synced  func()
	Changed func(namespace, name string)
	Noted   func(namespace, name string)
	// Held says why an object is on hold, by its annotations; HoldChanged is called when that of one is another. Nil: none is.
	Held        func(metav1.Object) string
	HoldChanged func()
	Log         *slog.Logger
}

// Watch knows which objects of an App kind a Flux in the cluster manages. It is told whether there is their definition. It is
// safe for concurrent use.
type Watch struct {
	Config
	wake   run.Wake
	synced chan struct{} // closed when it is known what Flux manages
	once   sync.Once

	mu      sync.Mutex
	defined bool
	stop    context.CancelFunc // of the watch under way
	objects map[objectName]object
	trouble error // why it is not known, as far as that is known
}

type objectName struct{ namespace, name string }

// object is what is known of one of Flux's.
type object struct {
	active bool   // it is not suspended
	origin string // if it is suspended
	held   string // why it is on hold
}

// New returns a Watch that does nothing until Run.
func New(config Config) *Watch {
	if config.Synced == nil {
		config.Synced = func() {}
	}
	if config.Changed == nil {
		config.Changed = func(string, string) {}
	}
	if config.Held == nil {
		config.Held = func(metav1.Object) string { return "" }
	}
	if config.HoldChanged == nil {
		config.HoldChanged = func() {}
	}
	if config.Noted == nil {
		config.Noted = func(string, string) {}
	}
	return &Watch{Config: config, wake: run.NewWake(), synced: make(chan struct{}), objects: map[objectName]object{}}
}

// Present says that Flux's objects are defined, Absent that they are not.
func (w *Watch) Present() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.defined {
		return
	}
	w.defined = true
	w.wake.Set()
}

// Absent says that nothing is Flux's.
func (w *Watch) Absent() {
	w.mu.Lock()
	w.defined = false
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.replace(context.Background(), map[objectName]object{})
}

// Run watches the objects while they are defined.
func (w *Watch) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake.C():
		}
		watching, stop := context.WithCancel(ctx)
		w.mu.Lock()
		w.stop = stop
		if !w.defined {
			stop()
		}
		w.mu.Unlock()
		w.follow(watching)
		stop()
	}
}

// follow watches Flux's objects until the context ends.
func (w *Watch) follow(ctx context.Context) {
	mapping, err := w.served(ctx)
	if err != nil {
		return
	}
	resource := w.Client.Resource(mapping.Resource)
	drift.Follow(ctx, drift.Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, _ uint64) {
			objects := map[objectName]object{}
			for _, item := range items {
				objects[objectName{item.GetNamespace(), item.GetName()}] = w.objectOf(item)
			}
			w.replace(ctx, objects)
		},
		Event: func(kind watch.EventType, object metav1.Object) { w.event(ctx, kind, object) },
		Failed: func(err error) {
			w.Failed(fmt.Errorf("list Flux's %ss: %w", w.Kind.Kind, err))
			w.Log.Warn("Flux's objects are not watched for now", "kind", w.Kind.Kind, "err", err)
		},
	})
}

// event takes in an event of one object.
func (w *Watch) event(ctx context.Context, kind watch.EventType, item metav1.Object) {
	w.mu.Lock()
	objects := maps.Clone(w.objects)
	w.mu.Unlock()
	name := objectName{item.GetNamespace(), item.GetName()}
	if objects[name] = w.objectOf(item); kind == watch.Deleted {
		delete(objects, name)
	}
	w.replace(ctx, objects)
}

// served waits until the objects are served: their definition may be younger than what serves it.
func (w *Watch) served(ctx context.Context) (apply.Mapping, error) {
	for {
		mapping, err := w.Mapper.Served(ctx, w.Kind)
		if err == nil {
			return mapping, nil
		}
		w.Failed(err)
		w.Mapper.Forget(w.Kind.Group)
		if err := run.Sleep(ctx, time.Second); err != nil {
			return mapping, err
		}
	}
}

func (w *Watch) objectOf(item metav1.Object) object {
	if u, isUnstructured := item.(*unstructured.Unstructured); isUnstructured && !IsActive(item) {
		return object{origin: w.Origin(u), held: w.Held(item)}
	}
	return object{active: true, held: w.Held(item)}
}

// IsActive reports whether an object of Flux's is not suspended.
func IsActive(item metav1.Object) bool {
	u, isUnstructured := item.(*unstructured.Unstructured)
	if !isUnstructured {
		return true
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend") // what is no bool does not suspend
	return !suspended
}

// Failed notes why it is not known what Flux manages.
func (w *Watch) Failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = err
}

// replace takes in what Flux has now, unless what says so has ended. With the first time, corrections begin.
func (w *Watch) replace(ctx context.Context, objects map[objectName]object) {
	w.mu.Lock()
	if ctx.Err() != nil {
		w.mu.Unlock()
		return
	}
	before := w.objects
	w.objects = objects
	w.mu.Unlock()
	w.once.Do(func() {
		close(w.synced)
		w.Synced()
	})
	holds := false
	for name, was := range before {
		holds = holds || was.held != objects[name].held
		if was.active && !objects[name].active {
			w.Changed(name.namespace, name.name)
		}
	}
	for name, is := range objects {
		was := before[name]
		holds = holds || is.held != was.held
		if is.active && !was.active {
			w.Changed(name.namespace, name.name)
		}
		if is.origin != "" && is.origin != was.origin {
			w.Noted(name.namespace, name.name)
		}
	}
	if holds {
		w.HoldChanged()
	}
}

// Await waits until it is known what Flux manages.
func (w *Watch) Await(ctx context.Context) error {
	if _, known := w.Manages(fleet.Key{}); known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	select {
	case <-w.synced:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == nil {
		return fmt.Errorf("it is not known yet whether a Flux manages the App: %w", context.Cause(ctx))
	}
	return fmt.Errorf("it is not known yet whether a Flux manages the App: %w: %w", w.trouble, context.Cause(ctx))
}

// Manages reports whether a Flux manages the App, and whether that is known.
func (w *Watch) Manages(key fleet.Key) (managed, known bool) {
	select {
	case <-w.synced:
	default:
		return false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[objectName{key.Namespace, key.Name}].active, true
}

// HeldBy is why the App's Flux object is on hold; empty: it is not, or there is none.
func (w *Watch) HeldBy(key fleet.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[objectName{key.Namespace, key.Name}].held
}

// Read returns the App's suspended Flux object; nil: it is gone. One that is not suspended any more is active.
func (w *Watch) Read(ctx context.Context, key fleet.Key) (item *unstructured.Unstructured, active bool, err error) {
	mapping, err := w.Mapper.Served(ctx, w.Kind)
	if err != nil {
		return nil, false, fmt.Errorf("take over from Flux: %w", err)
	}
	item, err = w.Client.Resource(mapping.Resource).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("take over from Flux: read %s: %w", key.Words(), err)
	}
	return item, IsActive(item), nil
}

// OriginOf names the state of the App's suspended Flux object; empty: there is none.
func (w *Watch) OriginOf(key fleet.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[objectName{key.Namespace, key.Name}].origin
}
