package reference

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/drift"
)

// maxReferences bounds the watches. What is referred to beyond it is looked at in every pass, and starts none.
const maxReferences = 256

// Watch watches the ConfigMaps and Secrets that Apps refer to: one watch each, by name and without the content, however
// many Apps refer to it. A change wakes those that have read something older. It is safe for concurrent use.
type Watch struct {
	client metadata.Interface
	wake   func(fleet.Key)
	log    *slog.Logger
	moved  run.Wake

	mu      sync.Mutex
	apps    map[fleet.Key][]Reading
	watched map[fleet.ObjectRef]*reference
	// full says that the bound was told of.
	full bool
}

// Reading is a ConfigMap or Secret and the resourceVersion that was read; empty: it was not there.
type Reading struct {
	Ref     fleet.ObjectRef
	Version string
}

// reference is one watch.
type reference struct {
	cancel context.CancelFunc
	sight  glimpse
}

// glimpse is what a watch has seen last: the object at a resourceVersion, or that it was not there at one. Zero: nothing
// yet.
type glimpse struct {
	version uint64
	present bool
}

// outdates reports whether there is something newer than what was read.
func (g glimpse) outdates(read Reading) bool {
	version, _ := strconv.ParseUint(read.Version, 10, 64) // not there: 0
	return version < g.version && (g.present || read.Version != "")
}

// New returns a Watch that calls wake, without holding anything, for an App that has read something older than there is.
func New(client metadata.Interface, wake func(fleet.Key), log *slog.Logger) *Watch {
	return &Watch{
		client: client, wake: wake, log: log, moved: run.NewWake(), apps: map[fleet.Key][]Reading{}, watched: map[fleet.ObjectRef]*reference{},
	}
}

// Set says what an App's newest pass has read, in place of what it had before.
func (r *Watch) Set(app fleet.Key, read []Reading) {
	r.mu.Lock()
	before := r.apps[app]
	r.apps[app] = read
	if len(read) == 0 {
		delete(r.apps, app)
	}
	behind := slices.ContainsFunc(read, func(reading Reading) bool {
		// It may have changed between the reading and this. What was not there twice in a row is the watch's to tell: it
		// may be behind itself.
		watch := r.watched[reading.Ref]
		return watch != nil && watch.sight.outdates(reading) && (reading.Version != "" || !slices.Contains(before, reading))
	})
	r.mu.Unlock()
	if behind {
		r.wake(app)
	}
	if len(before)+len(read) > 0 {
		r.moved.Set()
	}
}

// Watched is how many objects are watched.
func (r *Watch) Watched() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.watched)
}

// Run watches until the context ends.
func (r *Watch) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	for {
		r.arrange(ctx, &watching)
		select {
		case <-ctx.Done():
			return nil
		case <-r.moved.C():
		}
	}
}

// arrange begins to watch what is referred to newly, and stops where nobody refers any more.
func (r *Watch) arrange(ctx context.Context, watching *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[fleet.ObjectRef]bool{}
	for _, read := range r.apps {
		for _, reading := range read {
			wanted[reading.Ref] = true
		}
	}
	for ref, watch := range r.watched {
		if !wanted[ref] {
			watch.cancel()
			delete(r.watched, ref)
		}
	}
	for ref := range wanted {
		if r.watched[ref] != nil {
			continue
		}
		if len(r.watched) == maxReferences {
			if !r.full {
				r.log.Warn("too many ConfigMaps and Secrets are referred to: changes of some are noticed with the next pass only", "watched", maxReferences)
			}
			r.full = true
			return
		}
		one, cancel := context.WithCancel(ctx)
		watch := &reference{cancel: cancel}
		r.watched[ref] = watch
		watching.Go(func() { r.follow(one, ref, watch) })
	}
	r.full = false
}

func (r *Watch) follow(ctx context.Context, ref fleet.ObjectRef, to *reference) {
	resource := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(ref.Namespace)
	if ref.Kind == "Secret" {
		resource = r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(ref.Namespace)
	}
	told := ""
	drift.Follow(ctx, drift.Source{
		Fields: fields.OneTermEqualSelector(metav1.ObjectNameField, ref.Name).String(),
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: func(items []metav1.Object, version uint64) {
			told = ""
			if len(items) > 0 {
				r.saw(ref, to, glimpse{versionOf(items[0]), true})
				return
			}
			r.saw(ref, to, glimpse{version, false})
		},
		Event: func(kind watch.EventType, object metav1.Object) {
			r.saw(ref, to, glimpse{versionOf(object), kind != watch.Deleted})
		},
		Failed: func(err error) {
			if text := err.Error(); text != told {
				r.log.Warn("what Apps refer to is not watched for now", "object", ref.String(), "err", err)
				told = text
			}
		},
	})
}

// saw wakes the Apps that have read something older than what there is now.
func (r *Watch) saw(ref fleet.ObjectRef, to *reference, now glimpse) {
	var behind []fleet.Key
	r.mu.Lock()
	if r.watched[ref] == to && to.sight != now {
		to.sight = now
		for app, read := range r.apps {
			if slices.ContainsFunc(read, func(reading Reading) bool { return reading.Ref == ref && now.outdates(reading) }) {
				behind = append(behind, app)
			}
		}
	}
	r.mu.Unlock()
	for _, app := range behind {
		r.wake(app)
	}
}

// versionOf is an object's resourceVersion, which is a number that grows.
func versionOf(object metav1.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64) // Kubernetes promises it, as drift relies on too
	return version
}
