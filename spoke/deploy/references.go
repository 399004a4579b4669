package deploy

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

// references watches the ConfigMaps and Secrets that Apps refer to: one watch each, by name and without the content,
// however many Apps refer to it. A change wakes those that have read something older.
type references struct {
	client metadata.Interface
	wake   func(*app)
	log    *slog.Logger
	moved  run.Wake

	mu      sync.Mutex
	apps    map[*app]reads
	watched map[fleet.ObjectRef]*reference
	// full says that the bound was told of.
	full bool
}

// reads are what an App's newest pass has read.
type reads []reading

// reading is an object and the resourceVersion that was read; empty: it was not there.
type reading struct {
	ref     fleet.ObjectRef
	version string
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
func (g glimpse) outdates(read reading) bool {
	version, _ := strconv.ParseUint(read.version, 10, 64) // not there: 0
	return version < g.version && (g.present || read.version != "")
}

func newReferences(client metadata.Interface, wake func(*app), log *slog.Logger) *references {
	return &references{
		client: client, wake: wake, log: log, moved: run.NewWake(), apps: map[*app]reads{}, watched: map[fleet.ObjectRef]*reference{},
	}
}

// set says what an App has read, in place of what it had before.
func (r *references) set(a *app, read reads) {
	if a.aside {
		return
	}
	r.mu.Lock()
	before := r.apps[a]
	r.apps[a] = read
	if len(read) == 0 {
		delete(r.apps, a)
	}
	behind := slices.ContainsFunc(read, func(reading reading) bool {
		// It may have changed between the reading and this. What was not there twice in a row is the watch's to tell: it
		// may be behind itself.
		watch := r.watched[reading.ref]
		return watch != nil && watch.sight.outdates(reading) && (reading.version != "" || !slices.Contains(before, reading))
	})
	r.mu.Unlock()
	if behind {
		r.wake(a)
	}
	if len(before)+len(read) > 0 {
		r.moved.Set()
	}
}

// run watches until the context ends.
func (r *references) run(ctx context.Context) error {
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
func (r *references) arrange(ctx context.Context, watching *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[fleet.ObjectRef]bool{}
	for _, read := range r.apps {
		for _, reading := range read {
			wanted[reading.ref] = true
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

func (r *references) follow(ctx context.Context, ref fleet.ObjectRef, to *reference) {
	resource := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(ref.Namespace)
	if isSecret(ref) {
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
func (r *references) saw(ref fleet.ObjectRef, to *reference, now glimpse) {
	var behind []*app
	r.mu.Lock()
	if r.watched[ref] == to && to.sight != now {
		to.sight = now
		for a, read := range r.apps {
			if slices.ContainsFunc(read, func(reading reading) bool { return reading.ref == ref && now.outdates(reading) }) {
				behind = append(behind, a)
			}
		}
	}
	r.mu.Unlock()
	for _, a := range behind {
		r.wake(a)
	}
}

// versionOf is an object's resourceVersion, which is a number that grows.
func versionOf(object metav1.Object) uint64 {
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64) // Kubernetes promises it, as drift relies on too
	return version
}
