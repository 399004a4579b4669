package helm

import (
	"context"
	"errors"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/drift"
)

// app is what the Engine knows of an App.
type app struct {
	key  fleet.Key
	pass chan struct{} // holds one token: passes of an App exclude each other

	// reload says that somebody else wrote the record; confirmed that what it depends on was compared with the cluster since the
	// start, so that what changes it is watched. They belong to who has the token.
	reload, confirmed bool
	// busy is the action that the newest pass found under way. It belongs to who has the token too.
	busy busy

	turns drift.Turns // of corrections

	mu sync.Mutex
	// stored is the record; who has the token changes it.
	stored stored
	// plan is that of the newest pass or Load; nil before the first.
	plan *flux.HelmPlan
	// doing is what is being done, in words; empty: nothing is.
	doing string
	// stale says that what the newest pass depended on has changed since.
	stale bool
	// wakes counts those changes.
	wakes     uint64
	suspended bool
	// detail is the record's status, encoded, with that condition Drifted.
	detail []byte
	drifts fleet.Condition
	following
}

func (e *Engine) app(key fleet.Key) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.apps[key]
	if a == nil {
		a = &app{key: key, pass: make(chan struct{}, 1), stored: stored{app: key}, following: newFollowing()}
		e.apps[key] = a
	}
	return a
}

// known returns the App if there is anything to know about it.
func (e *Engine) known(key fleet.Key) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apps[key]
}

// wake asks for a pass: what the App depends on has changed.
func (e *Engine) wake(key fleet.Key) {
	a := e.known(key)
	if a == nil {
		return
	}
	a.mu.Lock()
	a.wakes++
	a.stale = true
	a.mu.Unlock()
	e.config.Changed(key)
}

// take is the beginning of whatever is done with an App: the records are read, and it is nobody else's turn.
func (e *Engine) take(ctx context.Context, key fleet.Key) (a *app, unlock func(), err error) {
	if err := e.awaitRecords(ctx); err != nil {
		return nil, nil, err
	}
	e.concern.Do(func() { close(e.concerned) })
	for {
		a = e.app(key)
		select {
		case a.pass <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
		if e.known(key) == a {
			return a, func() { <-a.pass }, nil
		}
		<-a.pass // it was removed while this waited
	}
}

// enter is take, and the record is the one in the cluster.
func (e *Engine) enter(ctx context.Context, key fleet.Key) (*app, func(), error) {
	a, unlock, err := e.take(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if a.reload || a.stored.broken != nil {
		s, err := e.store.load(ctx, key)
		if err = errors.Join(err, s.broken); err != nil {
			unlock()
			return nil, nil, err
		}
		a.mu.Lock()
		a.stored, a.detail = s, nil
		a.mu.Unlock()
		a.reload, a.confirmed = false, false
	}
	return a, unlock, nil
}

// record returns the record as it is now.
func (a *app) record() record {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stored.record
}

// update changes the record; it is in the cluster after the next save.
func (a *app) update(change func(*record)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.stored.record)
	a.detail = nil
}

// save writes the record. It is written even when the pass was cut short: what is not would be looked at again.
func (e *Engine) save(ctx context.Context, a *app) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	a.mu.Lock()
	s := a.stored
	a.mu.Unlock()
	err := e.store.save(ctx, &s)
	if errors.Is(err, fleet.ErrConflict) {
		a.reload = true
	}
	a.mu.Lock()
	a.stored.version, a.stored.content = s.version, s.content
	a.mu.Unlock()
	return err
}

// does says what is being done, in words.
func (e *Engine) does(a *app, doing string) {
	a.mu.Lock()
	a.doing = doing
	a.mu.Unlock()
	e.config.Changed(a.key)
}

// drop forgets an App that is gone.
func (e *Engine) drop(a *app) {
	e.references.Set(a.key, nil)
	e.storage.forget(a.key)
	e.mu.Lock()
	if e.apps[a.key] == a {
		delete(e.apps, a.key)
	}
	e.mu.Unlock()
	e.unfollow(a)
}

// unfollow lets go of the objects of an App that is gone, and of who acts for it.
func (e *Engine) unfollow(a *app) {
	e.replace(a, nil, nil)
	a.mu.Lock()
	terms := a.terms
	a.terms, a.plan = nil, nil
	a.mu.Unlock()
	if terms != nil {
		e.accounts.Dismiss(terms.by)
	}
}

func (e *Engine) event(a *app, event fleet.Event) {
	event.App = a.key
	if event.At.IsZero() {
		event.At = time.Now()
	}
	e.config.Event(event)
}

// SetSuspended stops or resumes the correction of an App's drift. What drifted meanwhile is put right on resuming.
func (e *Engine) SetSuspended(key fleet.Key, suspended bool) {
	a := e.known(key)
	if a == nil && !suspended {
		return // of one that is gone there is nothing to resume
	}
	if a == nil {
		a = e.app(key)
	}
	a.mu.Lock()
	before := a.suspended
	a.suspended = suspended
	a.mu.Unlock()
	if before && !suspended {
		e.kick(a)
	}
}
