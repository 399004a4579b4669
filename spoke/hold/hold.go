package hold

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/drift"
)

// Config is what a Watch needs.
type Config struct {
	Client metadata.Interface
	// Namespace is the spoke's own: one that is on hold holds every App.
	Namespace string
	// Changed is called when something else is on hold. It must not block.
	Changed func()
	Log     *slog.Logger
}

// Watch knows which namespaces are on hold. It is safe for concurrent use.
type Watch struct {
	Config
	synced chan struct{} // closed when it is known for the first time
	once   sync.Once

	mu sync.Mutex
	// held says why, by namespace: what stands in the annotation.
	held    map[string]string
	trouble error // why it is not known, as far as that is known
}

// New returns a Watch that does nothing until Run.
func New(config Config) *Watch {
	return &Watch{Config: config, synced: make(chan struct{}), held: map[string]string{}}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	namespaces := w.Client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	drift.Follow(ctx, drift.Source{
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return namespaces.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return namespaces.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, _ uint64) {
			held := map[string]string{}
			for _, item := range items {
				if why := Of(item); why != "" {
					held[item.GetName()] = why
				}
			}
			w.replace(held)
		},
		Event: func(kind watch.EventType, item metav1.Object) {
			w.mu.Lock()
			held := maps.Clone(w.held)
			w.mu.Unlock()
			delete(held, item.GetName())
			if why := Of(item); why != "" && kind != watch.Deleted {
				held[item.GetName()] = why
			}
			w.replace(held)
		},
		Failed: func(err error) {
			w.mu.Lock()
			w.trouble = err
			w.mu.Unlock()
			w.Log.Warn("namespaces are not watched for now: what is put on hold is noticed later", "err", err)
		},
	})
	return nil
}

// Of is what the annotation of an object says, "true" where that is nothing; empty: it is not on hold. So is one that says
// "false".
func Of(object metav1.Object) string {
	why, held := object.GetAnnotations()[fleet.HoldAnnotation]
	if !held || why == "false" {
		return ""
	}
	return cmp.Or(why, "true")
}

// Say says for people which object holds an App, and why.
func Say(object, why string) string {
	text := object + " is on hold (annotation " + fleet.HoldAnnotation + ")"
	if why != "true" {
		text += ": " + why
	}
	return text
}

func (w *Watch) replace(held map[string]string) {
	w.mu.Lock()
	changed := !maps.Equal(w.held, held)
	w.held = held
	w.mu.Unlock()
	first := false
	w.once.Do(func() {
		first = true
		close(w.synced)
	})
	if changed || first {
		w.Changed()
	}
}

// Await waits until it is known what is on hold.
func (w *Watch) Await(ctx context.Context) error {
	select {
	case <-w.synced:
		return nil
	default:
	}
	select {
	case <-w.synced:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trouble == nil {
		return fmt.Errorf("it is not known yet what is on hold in the cluster: %w", context.Cause(ctx))
	}
	return fmt.Errorf("it is not known yet what is on hold in the cluster: list namespaces: %w", w.trouble)
}

// OnHold says why nothing new is to be applied of an App; empty: it may be.
func (w *Watch) OnHold(app fleet.Key) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, namespace := range []string{w.Namespace, app.Namespace} {
		if why := w.held[namespace]; why != "" {
			return Say("Namespace/"+namespace, why)
		}
	}
	return ""
}
