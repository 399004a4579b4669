package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// Removal is how an App is to end.
type Removal struct {
	App       fleet.Key
	Tombstone fleet.Tombstone
	// Release is the last one: its guard holds.
	Release fleet.Release
	// ApprovedPrune is the digest of the set of deletions that a person approved.
	ApprovedPrune fleet.Digest
	// Timeout bounds how long a tombstone waits for objects to be gone; zero: without a bound.
	Timeout time.Duration
}

// Remove ends an App as its tombstone says, and reports whether it is done; while it is not, it is to be called again:
// deletions may be held (Status says so), or have failed, or the tombstone waits for the objects to be gone, of which
// Changed tells. It can be repeated after any failure and after it was done. A tombstone that deletes is refused with
// ErrManagedByFlux while that is so.
//
// A tombstone that does not delete leaves every object as it is, owner labels included, as Flux's deletion policy
// Orphan does: nothing reads the labels of an App that has no inventory, and an App of the same name, or a Flux that
// takes over, finds objects that are its own already.
func (e *Engine) Remove(ctx context.Context, r Removal) (done bool, err error) {
	if r.Tombstone.Delete {
		done, err = e.remove(ctx, r)
	} else {
		done, err = e.orphan(ctx, r.App)
	}
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", r.App.Words(), err)
	}
	return done, nil
}

// orphan needs no inventory that can be read: it says of no object what is to become of it.
func (e *Engine) orphan(ctx context.Context, key fleet.Key) (bool, error) {
	a, unlock, err := e.take(ctx, key)
	if err != nil {
		return false, err
	}
	defer unlock()
	return true, e.leave(ctx, a)
}

// leave drops an App and leaves its objects as they are.
func (e *Engine) leave(ctx context.Context, a *app) error {
	entries := a.inv.Entries()
	for _, entry := range entries {
		// No correction is under way from here on: it could make anew what somebody deleted.
		end, err := e.tracker.Begin(ctx, entry.Ref)
		if err != nil {
			return err
		}
		defer end(nil, false)
	}
	if err := e.store.Drop(ctx, a.key); err != nil {
		return err
	}
	e.disownAll(a, entries)
	if len(entries) > 0 {
		e.event(a, fleet.ObjectRef{}, false, reasonOrphaned, fmt.Sprintf("%d objects stay in the cluster, without an owner", len(entries)))
	}
	e.drop(a)
	return nil
}

func (e *Engine) remove(ctx context.Context, r Removal) (bool, error) {
	a, unlock, err := e.enter(ctx, r.App)
	if err != nil {
		return false, err
	}
	defer unlock()
	if err := e.refuseFlux(ctx, r.App); err != nil {
		return false, err
	}
	if _, err := e.agree(a, r.Release); err != nil {
		return false, err
	}
	// As with Flux, an account that is gone holds up no App's end: nobody is left who may delete the objects.
	by := e.agreed(a).by
	switch there, err := by.Exists(ctx, e.client); {
	case err != nil:
		return false, err
	case !there:
		e.event(a, fleet.ObjectRef{}, true, reasonOrphaned, fmt.Sprintf("%s does not exist: the objects cannot be deleted on its behalf", by))
		return true, e.leave(ctx, a)
	}
	going, staying, err := e.part(ctx, a, a.inv.Entries(), true)
	if err != nil {
		return false, e.blame(ctx, a, err)
	}
	guard := fleet.ParsePruneGuard(r.Release.PruneGuard)
	held := withhold(going, going, 0, guard, r.ApprovedPrune)
	if r.Tombstone.Confirmed {
		held = nil
	}
	if held != nil {
		e.hold(a, held)
		return false, e.save(ctx, a) // until an approval it is kept as it was
	}
	e.disownAll(a, staying)
	if err := e.letGo(ctx, a, going); err != nil {
		return false, err
	}
	e.hold(a, nil)
	if a.ending.IsZero() {
		a.ending = time.Now()
	}
	remaining, _, err := e.delete(ctx, a, going, r.Tombstone.Wait)
	if err == nil && len(remaining) > 0 && r.Timeout > 0 && time.Since(a.ending) >= r.Timeout {
		e.disownAll(a, remaining)
		e.event(a, fleet.ObjectRef{}, true, reasonPruned,
			fmt.Sprintf("%d objects are still being deleted after %s and are not waited for: %s", len(remaining), r.Timeout, examples(remaining)))
		remaining = nil
	}
	if saveErr := e.save(ctx, a); saveErr != nil || err != nil {
		return false, errors.Join(e.blame(ctx, a, err), saveErr)
	}
	if len(remaining) > 0 {
		return false, nil
	}
	e.drop(a)
	return true, nil
}

// disownAll takes objects out of the App; they stay in the cluster as they are.
func (e *Engine) disownAll(a *app, entries []inventory.Entry) {
	for _, entry := range entries {
		a.inv.Remove(entry.Ref)
		e.disown(a, entry.Ref)
	}
}
