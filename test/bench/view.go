package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// view is the bench's own watch of a namespace's ConfigMaps: neither Flotilla nor the bare loop has a say in when
// something counts as applied. It is safe for concurrent use.
type view struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed

	mu   sync.Mutex
	seen map[string]map[string]string
	want map[string]map[string]string
	goal *goal
}

// goal is reached when each of its objects has gone from wrong to right once.
type goal struct {
	missing map[string]bool
	reached chan time.Time // capacity one
}

// startView watches until stop.
func startView(ctx context.Context, client kubernetes.Interface, namespace string) (*view, error) {
	configMaps := client.CoreV1().ConfigMaps(namespace)
	list, err := configMaps.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	// The watch outlives the start. The API server itself ends one after half an hour at the earliest.
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	events, err := configMaps.Watch(watching, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		cancel()
		return nil, err
	}
	v := newView()
	v.cancel = cancel
	for _, object := range list.Items {
		v.observe(object.Name, object.Data, time.Now())
	}
	go func() {
		defer close(v.done)
		v.err = v.follow(events)
	}()
	return v, nil
}

func newView() *view {
	return &view{done: make(chan struct{}), seen: map[string]map[string]string{}, want: map[string]map[string]string{}}
}

// stop ends the watch and waits for that.
func (v *view) stop() {
	v.cancel()
	<-v.done
}

func (v *view) follow(events watch.Interface) error {
	defer events.Stop()
	for event := range events.ResultChan() {
		at := time.Now()
		object, isConfigMap := event.Object.(*corev1.ConfigMap)
		switch {
		case !isConfigMap:
			return fmt.Errorf("watch: %w", apierrors.FromObject(event.Object))
		case event.Type == watch.Deleted:
			v.observe(object.Name, nil, at)
		default:
			v.observe(object.Name, object.Data, at)
		}
	}
	return errors.New("watch: it ended")
}

// observe notes an object's data; nil: it is gone.
func (v *view) observe(name string, data map[string]string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.right(name)
	v.seen[name] = data
	if v.goal == nil || before || !v.right(name) {
		return
	}
	delete(v.goal.missing, name)
	if len(v.goal.missing) == 0 {
		v.goal.reached <- at
		v.goal = nil
	}
}

// right tells whether an object was last seen with the data it is to have, all of it and nothing else.
func (v *view) right(name string) bool {
	want, wanted := v.want[name]
	return wanted && v.seen[name] != nil && maps.Equal(v.seen[name], want)
}

// expect says what objects are to have, by name. It comes before the change that brings it about: the goal is reached
// when each of them has become right, and an object that is right already has to become wrong first. There is one goal
// at a time.
func (v *view) expect(want map[string]map[string]string) *goal {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.goal = &goal{missing: map[string]bool{}, reached: make(chan time.Time, 1)}
	for name, data := range want {
		v.want[name] = data
		v.goal.missing[name] = true
	}
	return v.goal
}

// await returns when the goal was reached, as the watch saw it.
func (v *view) await(ctx context.Context, g *goal) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case at := <-g.reached:
		return at, nil
	case <-v.done:
		return time.Time{}, v.err
	case <-ctx.Done():
		return time.Time{}, v.missed(g)
	}
}

func (v *view) missed(g *goal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for name := range g.missing {
		return fmt.Errorf("%d ConfigMaps are not as they should be, %s among them", len(g.missing), name)
	}
	return errors.New("reached too late") // between the end of patience and here
}
