package health_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/health"
)

// others are ConfigMaps that an App waits for; those in missing are not there.
type others struct {
	mu         sync.Mutex
	missing    map[string]bool
	moved      map[string]func()
	open, most int
	reads      int
	changed    int
}

func (o *others) read(_ context.Context, _ fleet.Key, ref fleet.ObjectRef) (*unstructured.Unstructured, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	if o.missing[ref.Name] {
		return nil, fleet.ErrNotFound
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q}}`, ref.Name))
}

func (o *others) follow(ctx context.Context, _ fleet.Key, ref fleet.ObjectRef, moved func()) error {
	o.mu.Lock()
	o.open++
	o.most = max(o.most, o.open)
	o.moved[ref.Name] = moved
	o.mu.Unlock()
	moved()
	<-ctx.Done()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open--
	return nil
}

func (o *others) set(name string, missing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missing[name] = missing
	if moved := o.moved[name]; moved != nil {
		moved()
	}
}

func configMaps(n int) (refs []fleet.ObjectRef) {
	for i := range n {
		refs = append(refs, fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: fmt.Sprint("c", i)})
	}
	return refs
}

func TestObjectsOfOthersAreFollowedWithABoundOfWatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 50
		o := &others{missing: map[string]bool{}, moved: map[string]func(){}}
		l := health.NewLookout(health.LookoutConfig{Read: o.read, Follow: o.follow, Changed: func(fleet.Key) { o.changed++ }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		app := fleet.Key{Name: "app"}
		l.Follow(app, configMaps(many), nil, "")
		if n := len(l.NotReady(app)); n != many {
			t.Errorf("before anybody looked %d are not ready", n)
		}
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		if n := len(l.NotReady(app)); n != 0 || o.open != 32 || o.most != 32 {
			t.Errorf("%d are not ready, %d are watched", n, o.open)
		}
		for i := range many {
			o.set(fmt.Sprint("c", i), true)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := len(l.NotReady(app)); n != many {
			t.Errorf("%d of those that went are not ready", n)
		}
		before := o.reads
		l.Follow(app, configMaps(many), nil, "") // as after a pass that changed nothing
		synctest.Wait()
		if o.reads != before {
			t.Errorf("asked again for the same it read %d objects", o.reads-before)
		}
		l.Follow(app, configMaps(1), nil, "")
		synctest.Wait()
		if n := len(l.NotReady(app)); n != 1 || o.open > 1 {
			t.Errorf("of one %d are not ready, %d are watched", n, o.open)
		}
		o.set("c0", false)
		time.Sleep(30 * time.Second)
		l.Follow(app, nil, nil, "")
		synctest.Wait()
		if len(l.NotReady(app)) != 0 || o.open != 0 {
			t.Errorf("%d are watched for nobody", o.open)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestObjectThatMovesAllTheTimeIsReadOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &others{missing: map[string]bool{}, moved: map[string]func(){}}
		l := health.NewLookout(health.LookoutConfig{Read: o.read, Follow: o.follow, Changed: func(fleet.Key) {}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		l.Follow(fleet.Key{Name: "app"}, configMaps(1), nil, "")
		for range 1000 {
			time.Sleep(10 * time.Millisecond)
			o.set("c0", false)
		}
		if o.reads < 9 || o.reads > 12 {
			t.Errorf("it was read %d times in 10 s", o.reads)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
