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
var ErrManagedByFlux = fmt.Errorf(
	"%w: a Flux Kustomization of this name in the cluster is not suspended; suspend it to let Flotilla take over", fleet.ErrConflict)

const (
	fluxGroup      = "kustomize.toolkit.fluxcd.io"
	fluxDefinition = "kustomizations." + fluxGroup
	fluxTimeout    = 30 * time.Second
)

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
		err = ErrManagedByFlux
	}
	return err
}

// fluxWatch knows which Kustomizations a Flux in the cluster manages. It is told whether there is their definition.
type fluxWatch struct {
	engine *Engine
	wake   run.Wake
	synced chan struct{} // closed when it is known what Flux manages
	once   sync.Once

	mu      sync.Mutex
	defined bool
	stop    context.CancelFunc // of the watch under way
	active  map[fluxName]bool  // Kustomizations that are not suspended
	trouble error              // why it is not known, as far as that is known
}

type fluxName struct{ namespace, name string }

func newFluxWatch(e *Engine) *fluxWatch {
	return &fluxWatch{engine: e, wake: run.NewWake(), synced: make(chan struct{}), active: map[fluxName]bool{}}
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
	w.replace(context.Background(), map[fluxName]bool{})
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
			active := map[fluxName]bool{}
			for _, item := range items {
				if isActive(item) {
					active[fluxName{item.GetNamespace(), item.GetName()}] = true
				}
			}
			w.replace(ctx, active)
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
	active := maps.Clone(w.active)
	w.mu.Unlock()
	name := fluxName{object.GetNamespace(), object.GetName()}
	delete(active, name)
	if kind != watch.Deleted && isActive(object) {
		active[name] = true
	}
	w.replace(ctx, active)
}

// served waits until Kustomizations are served: their definition may be younger than what serves it.
func (w *fluxWatch) served(ctx context.Context) (apply.Mapping, error) {
	ref := fleet.ObjectRef{Group: fluxGroup, Version: "v1", Kind: "Kustomization"}
	for {
		mapping, err := w.engine.mapper.Served(ctx, ref)
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

// replace takes in what Flux manages now, unless what says so has ended. With the first time, corrections begin.
func (w *fluxWatch) replace(ctx context.Context, active map[fluxName]bool) {
	w.mu.Lock()
	if ctx.Err() != nil {
		w.mu.Unlock()
		return
	}
	before := w.active
	w.active = active
	w.mu.Unlock()
	w.once.Do(func() {
		close(w.synced)
		w.engine.kickAll()
	})
	for name := range before {
		if !active[name] {
			w.engine.fluxChanged(name)
		}
	}
	for name := range active {
		if !before[name] {
			w.engine.fluxChanged(name)
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
	return w.active[fluxName{key.Namespace, key.Name}], true
}
