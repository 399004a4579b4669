package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// view is the bench's own watch of a namespace's objects: neither Flotilla nor the bare loop has a say in when something
// counts as applied. It is safe for concurrent use.
type view struct {
	shows  func(*unstructured.Unstructured) string // what of an object counts
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	failed chan error // of a watch that ended; never full

	mu   sync.Mutex
	seen map[string]string // by kind and name; empty: it is not there
	want map[string]string
	goal *goal
}

// goal is reached when each of its objects has gone from wrong to right once.
type goal struct {
	missing map[string]bool
	reached chan time.Time // capacity one
}

// startView watches until stop.
func startView(ctx context.Context, client dynamic.Interface, namespace string, shows func(*unstructured.Unstructured) string,
	resources ...schema.GroupVersionResource,
) (*view, error) {
	v := newView(shows, len(resources))
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the watches outlive the start
	v.cancel = cancel
	for _, resource := range resources {
		objects := client.Resource(resource).Namespace(namespace)
		events, err := v.look(watching, objects)
		if err != nil {
			v.stop()
			return nil, err
		}
		v.tasks.Go(func() { v.failed <- v.keep(watching, objects, events) })
	}
	return v, nil
}

// look takes in what is there, and watches from then on.
func (v *view) look(ctx context.Context, objects dynamic.ResourceInterface) (watch.Interface, error) {
	list, err := objects.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	present := map[string]bool{}
	for i := range list.Items {
		key := keyOf(&list.Items[i])
		present[key] = true
		v.observe(key, v.shows(&list.Items[i]), time.Now())
	}
	kind := strings.TrimSuffix(list.GetKind(), "List") + "/"
	for key := range v.now() {
		if strings.HasPrefix(key, kind) && !present[key] {
			v.observe(key, "", time.Now())
		}
	}
	return objects.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
}

// keep follows the watch, and others after it: the API server ends one after half an hour, or when it cannot keep up.
func (v *view) keep(ctx context.Context, objects dynamic.ResourceInterface, events watch.Interface) error {
	for {
		if err := v.follow(events); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var err error
		if events, err = v.look(ctx, objects); err != nil {
			return err
		}
	}
}

func newView(shows func(*unstructured.Unstructured) string, watches int) *view {
	return &view{shows: shows, cancel: func() {}, failed: make(chan error, watches), seen: map[string]string{}, want: map[string]string{}}
}

// stop ends the watches and waits for that.
func (v *view) stop() {
	v.cancel()
	v.tasks.Wait()
}

func (v *view) follow(events watch.Interface) error {
	defer events.Stop()
	for event := range events.ResultChan() {
		at := time.Now()
		object, isObject := event.Object.(*unstructured.Unstructured)
		switch {
		case !isObject || event.Type == watch.Error:
			return fmt.Errorf("watch: %w", apierrors.FromObject(event.Object))
		case event.Type == watch.Deleted:
			v.observe(keyOf(object), "", at)
		default:
			v.observe(keyOf(object), v.shows(object), at)
		}
	}
	return nil // it ended
}

func keyOf(u *unstructured.Unstructured) string { return u.GetKind() + "/" + u.GetName() }

// observe notes what an object shows; empty: it is gone.
func (v *view) observe(key, shows string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.right(key)
	v.seen[key] = shows
	if v.goal == nil || before || !v.right(key) {
		return
	}
	delete(v.goal.missing, key)
	if len(v.goal.missing) == 0 {
		v.goal.reached <- at
		v.goal = nil
	}
}

// right tells whether an object was last seen as it is to be.
func (v *view) right(key string) bool {
	want, wanted := v.want[key]
	return wanted && v.seen[key] == want
}

// expect says what objects are to show, by kind and name. It comes before the change that brings it about: the goal is
// reached when each of them has become right, and an object that is right already has to become wrong first. There is one
// goal at a time.
func (v *view) expect(want map[string]string) *goal {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.goal = &goal{missing: map[string]bool{}, reached: make(chan time.Time, 1)}
	for key, shows := range want {
		v.want[key] = shows
		v.goal.missing[key] = true
	}
	return v.goal
}

// now is what every object shows.
func (v *view) now() map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]string{}
	for key, shows := range v.seen {
		if shows != "" {
			all[key] = shows
		}
	}
	return all
}

// errMissed says that a goal was not reached in time.
var errMissed = errors.New("not as they should be")

// await returns when the goal was reached, as the watch saw it.
func (v *view) await(ctx context.Context, g *goal, patience time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case at := <-g.reached:
		return at, nil
	case err := <-v.failed:
		v.failed <- err
		return time.Time{}, err
	case <-ctx.Done():
		return time.Time{}, v.missed(g)
	}
}

func (v *view) missed(g *goal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for key := range g.missing {
		return fmt.Errorf("%d objects are %w, %s among them", len(g.missing), errMissed, key)
	}
	return errors.New("reached too late") // between the end of patience and here
}
