package deploy

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// Remove ends an App as its tombstone says, and reports whether it is done; while it is not, it is to be called again:
// deletions may be held (Status says so), or have failed, or the tombstone waits for the objects to be gone, of which
// Changed tells. It can be repeated after any failure and after it was done.
//
// A tombstone that does not delete leaves every object as it is, owner labels included, as Flux's deletion policy
// Orphan does: nothing reads the labels of an App that has no inventory, and an App of the same name, or a Flux that
// takes over, finds objects that are its own already.
func (e *Engine) Remove(ctx context.Context, app fleet.Key, tomb fleet.Tombstone, approved fleet.Digest) (done bool, err error) {
	a, unlock, err := e.enter(ctx, app)
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", app, err)
	}
	defer unlock()
	if tomb.Delete {
		done, err = e.removeObjects(ctx, a, tomb, approved)
	} else {
		done, err = e.orphan(ctx, a)
	}
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", app, err)
	}
	if done {
		e.drop(a)
	}
	return done, nil
}

func (e *Engine) orphan(ctx context.Context, a *app) (bool, error) {
	entries := a.inv.Entries()
	if err := e.store.Drop(ctx, a.key); err != nil {
		return false, err
	}
	for _, entry := range entries {
		a.inv.Remove(entry.Ref)
		e.disown(a, entry.Ref)
	}
	if len(entries) > 0 {
		e.event(a, fleet.ObjectRef{}, false, reasonOrphaned, fmt.Sprintf("%d objects stay in the cluster, without an owner", len(entries)))
	}
	return true, nil
}

func (e *Engine) removeObjects(ctx context.Context, a *app, tomb fleet.Tombstone, approved fleet.Digest) (done bool, err error) {
	a.mu.Lock()
	resumed := a.removing
	guard := fleet.ParsePruneGuard(a.release.PruneGuard)
	a.mu.Unlock()
	total := a.inv.Len()
	going, err := e.goable(ctx, a, a.inv.Entries(), true)
	if err != nil {
		return false, err
	}
	change := inventory.Change{Going: going, Total: total}
	if !tomb.Confirmed && !resumed && e.holds(a, change, guard, approved) {
		a.mu.Lock()
		a.stale = map[fleet.ObjectRef]bool{} // until an approval it is kept as it was
		a.mu.Unlock()
		return false, e.save(ctx, a)
	}
	a.mu.Lock()
	a.removing = true // from here on nothing of it is put back, and nothing asked again
	a.held, a.heldRefs = nil, nil
	a.mu.Unlock()
	remaining, err := e.delete(ctx, a, going, tomb.Wait)
	if saveErr := e.save(ctx, a); saveErr != nil || err != nil {
		return false, join([]error{err, saveErr})
	}
	return len(remaining) == 0, nil
}
