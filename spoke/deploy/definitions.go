package deploy

import (
	"context"
	"fmt"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
)

// definitions watches CustomResourceDefinitions: objects of a kind whose schema changed have to be looked at, and no
// event of theirs says so; and a cluster has a Flux when it has the definition of Flux's Kustomizations.
type definitions struct {
	engine *Engine
	client metadata.Interface

	mu          sync.Mutex
	generations map[string]int64 // by name
}

func newDefinitions(e *Engine, client metadata.Interface) *definitions {
	return &definitions{engine: e, client: client, generations: map[string]int64{}}
}

func (d *definitions) run(ctx context.Context) error {
	resource := d.client.Resource(apply.CRDs)
	drift.Follow(ctx, drift.Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, _ uint64) { d.listed(items) },
		Event: func(kind watch.EventType, object metav1.Object) {
			if kind == watch.Deleted {
				d.gone(object.GetName())
				return
			}
			d.defined(object)
		},
		Failed: func(err error) {
			d.engine.flux.failed(fmt.Errorf("list definitions: %w", err))
			d.engine.log.Warn("definitions are not watched for now", "err", err)
		},
	})
	return nil
}

func (d *definitions) listed(items []metav1.Object) {
	present := map[string]bool{}
	for _, item := range items {
		present[item.GetName()] = true
		d.defined(item)
	}
	d.mu.Lock()
	var gone []string
	for name := range d.generations {
		if !present[name] {
			gone = append(gone, name)
		}
	}
	d.mu.Unlock()
	for _, name := range gone {
		d.gone(name)
	}
	d.engine.tracker.Memory().KeepDefinitions(present)
	if !present[fluxDefinition] {
		d.engine.flux.absent()
	}
}

// defined takes in a definition as it is now.
func (d *definitions) defined(crd metav1.Object) {
	name := crd.GetName()
	if name == fluxDefinition {
		d.engine.flux.present()
	}
	d.mu.Lock()
	before, known := d.generations[name]
	d.generations[name] = crd.GetGeneration()
	d.mu.Unlock()
	memory := d.engine.tracker.Memory()
	if !known { // since the start: what it was before that counts
		before = memory.Definition(name)
		known = before != 0
	}
	if known && before == crd.GetGeneration() {
		return
	}
	group := groupOf(name)
	d.engine.mapper.Forget(group)
	if known {
		d.engine.tracker.DoubtKind(func(gk schema.GroupKind) bool { return gk.Group == group })
	}
	memory.SetDefinition(name, crd.GetGeneration()) // last: a crash before it has the objects looked at again
}

func (d *definitions) gone(name string) {
	d.mu.Lock()
	delete(d.generations, name)
	d.mu.Unlock()
	if name == fluxDefinition {
		d.engine.flux.absent()
	}
	d.engine.tracker.Memory().SetDefinition(name, 0)
	d.engine.mapper.Forget(groupOf(name))
}

// groupOf is the API group in a definition's name.
func groupOf(name string) string {
	_, group, _ := strings.Cut(name, ".")
	return group
}
