package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
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

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// fluxWatch watches definitions: for one, whether there is a Flux and what it manages; for another, because objects of
// a kind whose schema changed have to be looked at, and no event of theirs says so.
type fluxWatch struct {
	engine *Engine
	client metadata.Interface

	synced chan struct{} // closed when it is known what Flux manages
	once   sync.Once

	mu          sync.Mutex
	generations map[string]int64   // of definitions
	active      map[fluxName]bool  // Kustomizations that are not suspended
	stop        context.CancelFunc // of the watch of Kustomizations
}

type fluxName struct{ namespace, name string }

func newFluxWatch(e *Engine, client metadata.Interface) *fluxWatch {
	return &fluxWatch{
		engine: e, client: client, synced: make(chan struct{}),
		generations: map[string]int64{}, active: map[fluxName]bool{},
	}
}

func (w *fluxWatch) run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	resource := w.client.Resource(apply.CRDs)
	drift.Follow(ctx, drift.Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, _ uint64) { w.listed(ctx, &running, items) },
		Event: func(kind watch.EventType, object metav1.Object) {
			if kind == watch.Deleted {
				w.gone(object.GetName())
				return
			}
			w.defined(ctx, &running, object)
		},
		Failed: func(err error) { w.engine.log.Warn("definitions are not watched for now", "err", err) },
	})
	return nil
}

func (w *fluxWatch) listed(ctx context.Context, running *sync.WaitGroup, items []metav1.Object) {
	present := map[string]bool{}
	for _, item := range items {
		present[item.GetName()] = true
		w.defined(ctx, running, item)
	}
	w.mu.Lock()
	var gone []string
	for name := range w.generations {
		if !present[name] {
			gone = append(gone, name)
		}
	}
	w.mu.Unlock()
	for _, name := range gone {
		w.gone(name)
	}
	w.engine.tracker.Memory().KeepDefinitions(present)
	if !present[fluxDefinition] {
		w.once.Do(func() { close(w.synced) })
	}
}

// defined takes in a definition as it is now.
func (w *fluxWatch) defined(ctx context.Context, running *sync.WaitGroup, crd metav1.Object) {
	name := crd.GetName()
	w.mu.Lock()
	before, known := w.generations[name]
	w.generations[name] = crd.GetGeneration()
	follow := name == fluxDefinition && w.stop == nil
	if follow {
		var watching context.Context
		watching, w.stop = context.WithCancel(ctx)
		running.Go(func() { w.follow(watching) })
	}
	w.mu.Unlock()
	memory := w.engine.tracker.Memory()
	if !known { // since the start: what it was before that counts
		before = memory.Definition(name)
		known = before != 0
	}
	if known && before == crd.GetGeneration() {
		return
	}
	_, group, _ := strings.Cut(name, ".")
	w.engine.mapper.Forget(group)
	if known {
		w.engine.tracker.DoubtKind(func(gk schema.GroupKind) bool { return gk.Group == group })
	}
	memory.SetDefinition(name, crd.GetGeneration())
}

func (w *fluxWatch) gone(name string) {
	w.mu.Lock()
	delete(w.generations, name)
	if name == fluxDefinition && w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.mu.Unlock()
	if name == fluxDefinition {
		w.replace(nil)
	}
	w.engine.tracker.Memory().SetDefinition(name, 0)
	_, group, _ := strings.Cut(name, ".")
	w.engine.mapper.Forget(group)
}

// follow watches Flux's Kustomizations until the context ends.
func (w *fluxWatch) follow(ctx context.Context) {
	var mapping apply.Mapping
	for {
		var err error
		ref := fleet.ObjectRef{Group: fluxGroup, Version: "v1", Kind: "Kustomization"}
		if mapping, err = w.engine.mapper.Served(ctx, ref); err == nil {
			break
		}
		w.engine.mapper.Forget(fluxGroup)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second): // the definition may be younger than what serves it
		}
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
			w.replace(active)
			w.once.Do(func() { close(w.synced) })
		},
		Event: func(kind watch.EventType, object metav1.Object) {
			w.mu.Lock()
			active := maps.Clone(w.active)
			w.mu.Unlock()
			name := fluxName{object.GetNamespace(), object.GetName()}
			if delete(active, name); kind != watch.Deleted && isActive(object) {
				active[name] = true
			}
			w.replace(active)
		},
		Failed: func(err error) { w.engine.log.Warn("Flux's Kustomizations are not watched for now", "err", err) },
	})
}

func isActive(kustomization metav1.Object) bool {
	u, isUnstructured := kustomization.(*unstructured.Unstructured)
	if !isUnstructured {
		return true
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend") // what is no bool does not suspend
	return !suspended
}

// replace takes in what Flux manages now.
func (w *fluxWatch) replace(active map[fluxName]bool) {
	w.mu.Lock()
	before := w.active
	w.active = active
	w.mu.Unlock()
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
	timeout := time.NewTimer(fluxTimeout)
	defer timeout.Stop()
	select {
	case <-w.synced:
		return nil
	case <-timeout.C:
		return errors.New("it is not known yet whether a Flux manages the App: its Kustomizations cannot be listed")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *fluxWatch) manages(key fleet.Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.active[fluxName{key.Namespace, key.Name}]
}
