package drift

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// Definitions watches CustomResourceDefinitions: objects of a kind whose schema changed have to be looked at, and no event of
// theirs says so; and a cluster has a Flux when it has the definition of Flux's objects.
type Definitions struct {
	// Resource is that of the definitions.
	Resource metadata.ResourceInterface
	Tracker  *Tracker
	// Forget drops what is known of how the kinds of a group are served.
	Forget func(group string)
	// Flux is the name of the definition of Flux's objects: Present is called when it is there, Absent when it is not, Failed when
	// it is not known.
	Flux            string
	Present, Absent func()
	Failed          func(error)
	Log             *slog.Logger

	mu          sync.Mutex
	generations map[string]int64 // by name
}

// Run watches until the context ends.
func (d *Definitions) Run(ctx context.Context) error {
	Follow(ctx, Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return d.Resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return d.Resource.Watch(ctx, options)
		},
	}, Follower{
		Listed: func(items []metav1.Object, _ uint64) { d.listed(items) },
		Event: func(kind watch.EventType, object metav1.Object) {
			if kind == watch.Deleted {
				d.gone(object.GetName())
				return
			}
			d.defined(object)
		},
		Failed: func(err error) {
			d.Failed(fmt.Errorf("list definitions: %w", err))
			d.Log.Warn("definitions are not watched for now", "err", err)
		},
	})
	return nil
}

func (d *Definitions) listed(items []metav1.Object) {
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
	d.Tracker.Memory().KeepDefinitions(present)
	if !present[d.Flux] {
		d.Absent()
	}
}

// defined takes in a definition as it is now.
func (d *Definitions) defined(crd metav1.Object) {
	name := crd.GetName()
	if name == d.Flux {
		d.Present()
	}
	d.mu.Lock()
	if d.generations == nil {
		d.generations = map[string]int64{}
	}
	before, known := d.generations[name]
	d.generations[name] = crd.GetGeneration()
	d.mu.Unlock()
	memory := d.Tracker.Memory()
	if !known { // since the start: what it was before that counts
		before = memory.Definition(name)
		known = before != 0
	}
	if known && before == crd.GetGeneration() {
		return
	}
	group := groupOf(name)
	d.Forget(group)
	if known {
		d.Tracker.DoubtKind(func(gk schema.GroupKind) bool { return gk.Group == group })
	}
	memory.SetDefinition(name, crd.GetGeneration()) // last: a crash before it has the objects looked at again
}

func (d *Definitions) gone(name string) {
	d.mu.Lock()
	delete(d.generations, name)
	d.mu.Unlock()
	if name == d.Flux {
		d.Absent()
	}
	d.Tracker.Memory().SetDefinition(name, 0)
	d.Forget(groupOf(name))
}

// groupOf is the API group in a definition's name.
func groupOf(name string) string {
	_, group, _ := strings.Cut(name, ".")
	return group
}
