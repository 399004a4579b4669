package deploy

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
)

// ErrManagedByFlux says that a Flux in the cluster manages the App, unsuspended.
var ErrManagedByFlux = fmt.Errorf("%w: a Flux Kustomization of this name in the cluster is not suspended", fleet.ErrConflict)

const (
	fluxGroup      = "kustomize.toolkit.fluxcd.io"
	fluxDefinition = "kustomizations." + fluxGroup
	fluxTimeout    = 30 * time.Second
)

// fluxKind refers to Flux's Kustomizations; another version of theirs will do.
var fluxKind = fleet.ObjectRef{Group: fluxGroup, Version: "v1", Kind: "Kustomization"}

// ManagedByFlux reports whether this cluster has a Flux Kustomization of the App's namespace and name that is not
// suspended. Two who apply the same objects would undo each other's work.
func (e *Engine) ManagedByFlux(ctx context.Context, key fleet.Key) (bool, error) {
	if err := e.flux.await(ctx); err != nil {
		return false, err
	}
	managed, _ := e.flux.manages(key)
	return managed, nil
}

func (e *Engine) refuseFlux(ctx context.Context, key fleet.Key) error {
	managed, err := e.ManagedByFlux(ctx, key)
	if err == nil && managed {
		err = managedByFlux(key)
	}
	return err
}

// managedByFlux is ErrManagedByFlux with the way out.
func managedByFlux(key fleet.Key) error {
	return fmt.Errorf("%w; to let Flotilla take over: flux suspend kustomization %s -n %s", ErrManagedByFlux, key.Name, key.Namespace)
}

// fluxWatch knows which Kustomizations a Flux in the cluster manages. It is told whether there is their definition.
type fluxWatch struct {
	engine *Engine
	wake   run.Wake
	noted  run.Wake      // that the inventory of a suspended one is another
	synced chan struct{} // closed when it is known what Flux manages
	once   sync.Once

	mu      sync.Mutex
	defined bool
	stop    context.CancelFunc // of the watch under way
	objects map[fluxName]fluxObject
	trouble error // why it is not known, as far as that is known
}

type fluxName struct{ namespace, name string }

// fluxObject is what is known of a Kustomization of Flux's.
type fluxObject struct {
	active bool   // it is not suspended
	origin string // of its inventory, if it is suspended
}

func newFluxWatch(e *Engine) *fluxWatch {
	return &fluxWatch{
		engine: e, wake: run.NewWake(), noted: run.NewWake(), synced: make(chan struct{}), objects: map[fluxName]fluxObject{},
	}
}

// present says that Flux's Kustomizations are defined, absent that they are not.
func (w *fluxWatch) present() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.defined {
		return
	}
	w.defined = true
	w.wake.Set()
}

func (w *fluxWatch) absent() {
	w.mu.Lock()
	w.defined = false
	if w.stop != nil {
		w.stop()
	}
	w.mu.Unlock()
	w.replace(context.Background(), map[fluxName]fluxObject{})
}

// run watches Kustomizations while they are defined.
func (w *fluxWatch) run(ctx context.Context) error {
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

// follow watches Flux's Kustomizations until the context ends.
func (w *fluxWatch) follow(ctx context.Context) {
	mapping, err := w.served(ctx)
	if err != nil {
		return
	}
	resource := w.engine.dynamic.Resource(mapping.Resource)
	drift.Follow(ctx, drift.Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, _ uint64) {
			objects := map[fluxName]fluxObject{}
			for _, item := range items {
				objects[fluxName{item.GetNamespace(), item.GetName()}] = fluxObjectOf(item)
			}
			w.replace(ctx, objects)
		},
		Event: func(kind watch.EventType, object metav1.Object) { w.changed(ctx, kind, object) },
		Failed: func(err error) {
			w.failed(fmt.Errorf("list Flux's Kustomizations: %w", err))
			w.engine.log.Warn("Flux's Kustomizations are not watched for now", "err", err)
		},
	})
}

// changed takes in an event of one Kustomization.
func (w *fluxWatch) changed(ctx context.Context, kind watch.EventType, object metav1.Object) {
	w.mu.Lock()
	objects := maps.Clone(w.objects)
	w.mu.Unlock()
	name := fluxName{object.GetNamespace(), object.GetName()}
	if objects[name] = fluxObjectOf(object); kind == watch.Deleted {
		delete(objects, name)
	}
	w.replace(ctx, objects)
}

// served waits until Kustomizations are served: their definition may be younger than what serves it.
func (w *fluxWatch) served(ctx context.Context) (apply.Mapping, error) {
	for {
		mapping, err := w.engine.mapper.Served(ctx, fluxKind)
		if err == nil {
			return mapping, nil
		}
		w.failed(err)
		w.engine.mapper.Forget(fluxGroup)
		if err := run.Sleep(ctx, time.Second); err != nil {
			return mapping, err
		}
	}
}

func fluxObjectOf(kustomization metav1.Object) fluxObject {
	if u, isUnstructured := kustomization.(*unstructured.Unstructured); isUnstructured && !isActive(kustomization) {
		return fluxObject{origin: originOf(u)}
	}
	return fluxObject{active: true}
}

func isActive(kustomization metav1.Object) bool {
	u, isUnstructured := kustomization.(*unstructured.Unstructured)
	if !isUnstructured {
		return true
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend") // what is no bool does not suspend
	return !suspended
}

// failed notes why it is not known what Flux manages.
func (w *fluxWatch) failed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = err
}

// replace takes in what Flux has now, unless what says so has ended. With the first time, corrections begin.
func (w *fluxWatch) replace(ctx context.Context, objects map[fluxName]fluxObject) {
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
		w.engine.kickAll()
	})
	for name, was := range before {
		if was.active && !objects[name].active {
			w.engine.fluxChanged(name)
		}
	}
	for name, is := range objects {
		was := before[name]
		if is.active && !was.active {
			w.engine.fluxChanged(name)
		}
		if is.origin != "" && is.origin != was.origin {
			w.noted.Set()
		}
	}
}

// fluxChanged has the Apps of that name looked at: to be refused, or to go on.
func (e *Engine) fluxChanged(name fluxName) {
	e.mu.Lock()
	var concerned []*app
	for key, a := range e.apps {
		if key.Namespace == name.namespace && key.Name == name.name {
			concerned = append(concerned, a)
		}
	}
	e.mu.Unlock()
	for _, a := range concerned {
		e.kick(a)
		e.config.Changed(a.key)
	}
}

func (w *fluxWatch) await(ctx context.Context) error {
	if _, known := w.manages(fleet.Key{}); known {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fluxTimeout)
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

// manages reports whether a Flux manages the App, and whether that is known.
func (w *fluxWatch) manages(key fleet.Key) (managed, known bool) {
	select {
	case <-w.synced:
	default:
		return false, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[fluxName{key.Namespace, key.Name}].active, true
}

// origin names the inventory of the App's suspended Flux object; empty: there is none.
func (w *fluxWatch) origin(key fleet.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[fluxName{key.Namespace, key.Name}].origin
}
