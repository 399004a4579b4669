package helm

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"

	"flotilla.dev/flotilla/pkg/fleet"
)

// followers is how many Apps' objects are looked up at once.
const followers = 2

// newRefreshes returns the queue of Apps whose objects may be others.
func newRefreshes() workqueue.TypedRateLimitingInterface[fleet.Key] {
	return workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[fleet.Key](time.Second, 5*time.Minute))
}

// refresh has the App's objects looked up: it may have another version of its release.
func (e *Engine) refresh(a *app) {
	a.mu.Lock()
	a.recheck = true
	a.mu.Unlock()
	e.refreshes.Add(a.key)
}

// runRefreshes looks up objects until the context ends.
func (e *Engine) runRefreshes(ctx context.Context) error {
	done := make(chan struct{})
	for range followers {
		go func() {
			defer func() { done <- struct{}{} }()
			for {
				key, stop := e.refreshes.Get()
				if stop {
					return
				}
				e.refreshed(ctx, key)
				e.refreshes.Done(key)
			}
		}()
	}
	<-ctx.Done()
	e.refreshes.ShutDown()
	for range followers {
		<-done
	}
	return nil
}

func (e *Engine) refreshed(ctx context.Context, key fleet.Key) {
	a := e.known(key)
	if a == nil || ctx.Err() != nil {
		e.refreshes.Forget(key)
		return
	}
	err := e.follow(ctx, a)
	if e.known(key) != a { // it ended meanwhile
		e.replace(a, nil, nil)
		e.refreshes.Forget(key)
		return
	}
	a.mu.Lock()
	a.unread = err
	a.recheck = a.recheck || err != nil
	a.mu.Unlock()
	if err == nil {
		e.refreshes.Forget(key)
	} else if ctx.Err() == nil {
		e.log.Warn("the objects of a release are not known; trying again", "app", key.String(), "err", err)
		e.refreshes.AddRateLimited(key)
	}
	e.config.Changed(key)
}
