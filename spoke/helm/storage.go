package helm

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/drift"
)

// What Helm's Secrets are found by.
const (
	helmOwner   = "owner=helm"
	helmType    = "type=helm.sh/release.v1"
	nameLabel   = "name"
	statusLabel = "status"
)

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// storage notices that somebody writes to what Helm has stored of a release: by one watch of all releases, without their
// content, from the first App on that wants to know.
type storage struct {
	client metadata.Interface
	wake   func(fleet.Key)
	log    *slog.Logger
	once   sync.Once
	wanted chan struct{} // closed when an App wants to know

	mu       sync.Mutex
	releases map[place]*sight
	// dropped is the newest of what happened to releases that are gone.
	dropped uint64
	apps    map[fleet.Key]expectation
}

// place is where a release is stored.
type place struct{ namespace, release string }

// sight is what was seen of a release: its Secrets, and the resourceVersion of what happened to them last.
type sight struct {
	names   map[string]bool
	touched uint64
}

// expectation is that nothing happens to a release, which has these Secrets, from a resourceVersion on.
type expectation struct {
	place
	version uint64
	names   []string
}

func newStorage(client metadata.Interface, wake func(fleet.Key), log *slog.Logger) *storage {
	return &storage{
		client: client, wake: wake, log: log, wanted: make(chan struct{}), releases: map[place]*sight{}, apps: map[fleet.Key]expectation{},
	}
}

// list reads which Secrets a release has, by name, and at which resourceVersion that was so.
func (s *storage) list(ctx context.Context, of place) (found map[string]metav1.PartialObjectMetadata, version uint64, err error) {
	list, err := s.client.Resource(secrets).Namespace(of.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: helmOwner + "," + nameLabel + "=" + of.release, FieldSelector: helmType,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list what Helm has stored of %s/%s: %w", of.namespace, of.release, err)
	}
	found = map[string]metav1.PartialObjectMetadata{}
	for _, item := range list.Items {
		found[item.Name] = item
	}
	version, err = strconv.ParseUint(list.ResourceVersion, 10, 64)
	return found, version, err
}

// expect has the App woken for what happens to the release after a resourceVersion.
func (s *storage) expect(app fleet.Key, e expectation) {
	s.once.Do(func() { close(s.wanted) })
	s.mu.Lock()
	s.apps[app] = e
	seen := s.releases[e.place]
	behind := seen != nil && seen.touched > e.version || seen == nil && len(e.names) > 0 && s.dropped > e.version
	s.mu.Unlock()
	if behind {
		s.wake(app)
	}
}

// forget has the App not woken any more.
func (s *storage) forget(app fleet.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, has := s.apps[app]
	if delete(s.apps, app); has {
		s.drop(of.place)
	}
}

// run watches until the context ends, from when somebody wants to know.
func (s *storage) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.wanted:
	}
	resource := s.client.Resource(secrets)
	drift.Follow(ctx, drift.Source{
		Selector: helmOwner, Fields: helmType,
		List: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return resource.List(ctx, options)
		},
		Watch: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return resource.Watch(ctx, options)
		},
	}, drift.Follower{
		Listed: s.listed,
		Event: func(kind watch.EventType, object metav1.Object) {
			s.saw(object, kind != watch.Deleted)
		},
		Failed: func(err error) {
			s.log.Warn("what Helm has stored is not watched for now", "err", err)
		},
	})
	return nil
}

// listed takes in all that there is; what is not there any more went at some time until now.
func (s *storage) listed(items []metav1.Object, version uint64) {
	there := map[place]map[string]bool{}
	for _, item := range items {
		of := placeOf(item)
		if there[of] == nil {
			there[of] = map[string]bool{}
		}
		there[of][item.GetName()] = true
	}
	var gone []place
	s.mu.Lock()
	for _, expected := range s.apps {
		for _, name := range expected.names { // the first list may be the first that is seen of it
			s.of(expected.place).names[name] = true
		}
	}
	for of, seen := range s.releases {
		for name := range seen.names {
			if !there[of][name] {
				delete(seen.names, name)
				seen.touched = max(seen.touched, version)
				gone = append(gone, of)
			}
		}
	}
	s.mu.Unlock()
	for _, of := range gone {
		s.tell(of)
	}
	for _, item := range items {
		s.saw(item, true)
	}
}

func (s *storage) saw(object metav1.Object, present bool) {
	of := placeOf(object)
	version, _ := strconv.ParseUint(object.GetResourceVersion(), 10, 64) // Kubernetes promises a number that grows
	s.mu.Lock()
	seen := s.of(of)
	if seen.names[object.GetName()] = present; !present {
		delete(seen.names, object.GetName())
	}
	seen.touched = max(seen.touched, version)
	s.mu.Unlock()
	s.tell(of)
}

// of is what was seen of a release. The caller holds the lock.
func (s *storage) of(of place) *sight {
	seen := s.releases[of]
	if seen == nil {
		seen = &sight{names: map[string]bool{}}
		s.releases[of] = seen
	}
	return seen
}

// drop forgets a release that is gone and that nobody expects: else all that there ever were would be kept. The caller holds the
// lock.
func (s *storage) drop(of place) {
	seen := s.releases[of]
	if seen == nil || len(seen.names) > 0 {
		return
	}
	for _, expected := range s.apps {
		if expected.place == of {
			return
		}
	}
	s.dropped = max(s.dropped, seen.touched)
	delete(s.releases, of)
}

// tell wakes the Apps whose release is not what they expect.
func (s *storage) tell(of place) {
	var behind []fleet.Key
	s.mu.Lock()
	for app, expected := range s.apps {
		if seen := s.releases[of]; seen != nil && expected.place == of && seen.touched > expected.version {
			behind = append(behind, app)
		}
	}
	s.drop(of)
	s.mu.Unlock()
	for _, app := range behind {
		s.wake(app)
	}
}

func placeOf(secret metav1.Object) place {
	return place{secret.GetNamespace(), secret.GetLabels()[nameLabel]}
}
