package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// arbitrationTimeout bounds what the start may take to find out whose objects of several Apps are.
const arbitrationTimeout = 10 * time.Second

func (e *Engine) owner(ref fleet.ObjectRef) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.owners[ref.ID()]
}

// claim makes an object an App's. Whose it was loses it, and is told.
func (e *Engine) claim(ref fleet.ObjectRef, a *app) {
	before := e.give(ref.ID(), a)
	if before == nil {
		return
	}
	e.event(before, ref, true, reasonConflict, fmt.Sprintf("%s is also in %s, which has it now", ref, a.key.Words()))
	e.config.Changed(before.key)
}

// give makes an object an App's, and returns whose it was if that is another.
func (e *Engine) give(id fleet.ObjectRef, a *app) (before *app) {
	e.mu.Lock()
	before = e.owners[id]
	e.owners[id] = a
	e.mu.Unlock()
	if before == a {
		return nil
	}
	a.gain(id)
	if before != nil {
		before.lose(id)
	}
	return before
}

// lose notes that an object is another App's, though this one wants it too.
func (a *app) lose(id fleet.ObjectRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost[id] = true
}

// gain notes that an object is the App's, even if it was lost before.
func (a *app) gain(id fleet.ObjectRef) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lost, id)
}

// adopt makes an inventory's objects an App's, but for those that another has: watched, and asked for their health.
func (e *Engine) adopt(a *app, inv *inventory.Inventory) {
	for _, entry := range inv.Entries() {
		switch owner := e.owner(entry.Ref); owner {
		case a:
		case nil:
			e.give(entry.Ref.ID(), a)
			e.health.Expect(entry.Ref)
		default:
			a.lose(entry.Ref.ID())
		}
		e.tracker.Track(entry.Ref)
	}
}

// arbitrate gives the objects that several inventories have to the Apps that applied them last, as their labels say.
// Where that cannot be found out, the first App has them.
func (e *Engine) arbitrate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, arbitrationTimeout)
	defer cancel()
	e.mu.Lock()
	apps := slices.Collect(maps.Values(e.apps))
	e.mu.Unlock()
	for _, a := range apps {
		for _, entry := range a.inventory().Entries() {
			if e.owner(entry.Ref) == a {
				continue
			}
			live, _, err := e.live(ctx, e.accounts.Self, entry.Ref)
			switch {
			case err != nil:
				e.log.Warn("it is not known which App applied an object last", "app", a.key.String(), "object", entry.Ref.String(), "err", err)
			case live != nil && e.marks.Owns(live.Labels, a.owner()):
				e.give(entry.Ref.ID(), a)
			}
		}
	}
}

// disown stops watching an object that is not an App's any more.
func (e *Engine) disown(a *app, ref fleet.ObjectRef) {
	id := ref.ID()
	a.mu.Lock()
	delete(a.stale, id)
	delete(a.lost, id)
	delete(a.origins, id)
	a.mu.Unlock()
	e.mu.Lock()
	if e.owners[id] != a {
		e.mu.Unlock()
		return // another App's by now
	}
	// An App that lost the object to this one, and still wants it, gets it back.
	var heir *app
	for _, other := range e.apps {
		if other != a && other.wants(id) {
			heir = other
			break
		}
	}
	if heir != nil {
		e.owners[id] = heir
		e.mu.Unlock()
		heir.gain(id)
		e.tracker.Doubt(id)
		return
	}
	delete(e.owners, id)
	e.mu.Unlock()
	e.tracker.Forget(id)
	e.health.Forget(id)
}

// wants reports whether the object is in the App's inventory for good.
func (a *app) wants(id fleet.ObjectRef) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, has := a.inv.Get(id)
	return has && !a.stale[id] && !entry.Going
}
