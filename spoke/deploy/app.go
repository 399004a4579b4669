package deploy

import (
	"context"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/inventory"
)

// app is what the Engine knows of an App.
type app struct {
	key  fleet.Key
	pass chan struct{} // holds one token: passes of an App exclude each other

	// reload says that somebody else wrote the inventory, ending is when the App's deletion began, inputs are those of the
	// newest pass or Load; nil: the Manifest is all there is. They belong to who has the token.
	reload bool
	ending time.Time
	inputs *inputs

	turns drift.Turns // of corrections

	// aside says that this is no App of the Engine's, but a stand-in for one that is compared: what it reads wakes nobody.
	aside bool
	// blob has the content of its Manifest.
	blob func(fleet.Digest) ([]byte, error)

	mu  sync.Mutex
	inv *inventory.Inventory
	// manifest is that of the newest pass or Load; nil before the first.
	manifest *manifest.Manifest
	// unknown is why Load could not make all objects: which of the inventory's are the App's is not known before a pass
	// has made them.
	unknown error
	// objects is how many the Manifest comes to in this cluster.
	objects int
	terms   terms
	// stale objects are in the inventory and not in the Manifest: held, or not gone yet. They are left alone, and what
	// happens to them is looked at when they are wanted again.
	stale map[fleet.ObjectRef]bool
	// origins has what the content is made of that the inventory does not name by the digest of a blob: of Secrets, and of
	// what was resolved.
	origins map[fleet.ObjectRef]origin
	// lost objects are another App's since, though this one wants them too.
	lost map[fleet.ObjectRef]bool
	// exprs are the App's health expressions as they were compiled last, and health what became of them.
	exprs  []fleet.HealthCheckExpr
	health *expr.Health
	// checks are the objects that Ready waits for; zero: none, or all that were applied.
	checks []fleet.ObjectRef
	// applied is the release, bound the binding, whose objects are all applied.
	applied, bound fleet.Digest
	suspended      bool
	held           *withheld
	corrections    uint64
	// wakes counts the changes of what the App refers to that no pass had seen.
	wakes uint64
}

func (e *Engine) app(key fleet.Key) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.apps[key]
	if a == nil {
		a = newApp(key, e.config.Blob)
		e.apps[key] = a
	}
	return a
}

func newApp(key fleet.Key, blob func(fleet.Digest) ([]byte, error)) *app {
	return &app{
		key: key, blob: blob, pass: make(chan struct{}, 1), inv: inventory.New(key),
		stale: map[fleet.ObjectRef]bool{}, lost: map[fleet.ObjectRef]bool{}, origins: map[fleet.ObjectRef]origin{},
	}
}

// known returns the App if there is anything to know about it.
func (e *Engine) known(key fleet.Key) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.apps[key]
}

// wake asks for a pass: what the App refers to has changed.
func (e *Engine) wake(key fleet.Key) {
	a := e.known(key)
	if a == nil {
		return
	}
	a.mu.Lock()
	a.wakes++
	a.mu.Unlock()
	e.config.Changed(a.key)
}

// drop forgets an App that is gone.
func (e *Engine) drop(a *app) {
	e.lookout.Follow(a.key, nil, nil, "")
	e.references.Set(a.key, nil)
	e.mu.Lock()
	if e.apps[a.key] == a {
		delete(e.apps, a.key)
	}
	e.mu.Unlock()
	a.mu.Lock()
	by := a.terms.by
	a.terms = terms{}
	a.mu.Unlock()
	e.accounts.Dismiss(by)
}

// setAside has exactly these objects left alone.
func (a *app) setAside(entries []inventory.Entry) {
	stale := make(map[fleet.ObjectRef]bool, len(entries))
	for _, entry := range entries {
		stale[entry.Ref.ID()] = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = stale
}

// inventory returns the App's inventory; a pass may use the field, as only a pass replaces it.
func (a *app) inventory() *inventory.Inventory {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inv
}

func (a *app) owner() apply.Owner { return apply.Owner{Name: a.key.Name, Namespace: a.key.Namespace} }

// lock begins a pass; the returned function ends it.
func (a *app) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case a.pass <- struct{}{}:
		return func() { <-a.pass }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take is the beginning of whatever is done with an App: the Engine is ready, and it is nobody else's turn.
func (e *Engine) take(ctx context.Context, key fleet.Key) (a *app, unlock func(), err error) {
	if err := e.awaitReady(ctx); err != nil {
		return nil, nil, err
	}
	for {
		a = e.app(key)
		if unlock, err = a.lock(ctx); err != nil {
			return nil, nil, err
		}
		if e.known(key) == a {
			return a, unlock, nil
		}
		unlock() // it was removed while this waited
	}
}

// enter is take, and the inventory is the one in the cluster.
func (e *Engine) enter(ctx context.Context, key fleet.Key) (*app, func(), error) {
	a, unlock, err := e.take(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	if a.reload || a.inv.Broken() != nil {
		inv, err := e.store.Load(ctx, key)
		if err == nil {
			err = inv.Broken()
		}
		if err != nil {
			unlock()
			return nil, nil, err
		}
		a.mu.Lock()
		a.inv, a.reload = inv, false
		a.mu.Unlock()
		e.adopt(a, inv)
	}
	return a, unlock, nil
}

// save writes the inventory. It is written even when the pass was cancelled: what is not would be looked at again.
func (e *Engine) save(ctx context.Context, a *app) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := e.store.Save(ctx, a.inv)
	if isConflict(err) {
		a.reload = true
	}
	return err
}
