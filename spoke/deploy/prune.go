package deploy

import (
	"context"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/inventory"
)

// prune gets rid of what the inventory has and the Manifest has not. Every stage is done by now. What was let go before
// goes on going, even while the guard holds the rest.
func (p *pass) prune(ctx context.Context) error {
	e, a := p.engine, p.app
	going, staying, err := e.part(ctx, a, leavers(a.inv.Entries(), p.desired), p.target.Release.Prune)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrune, err)
	}
	e.disownAll(a, staying)
	a.setAside(going)
	guard := fleet.ParsePruneGuard(p.target.Release.PruneGuard)
	held := withhold(going, a.inv.Entries(), len(p.desired), guard, p.target.ApprovedPrune)
	if held != nil {
		e.hold(a, held)
		going = slices.DeleteFunc(going, func(entry inventory.Entry) bool { return !entry.Going })
	}
	if err := e.letGo(ctx, a, going); err != nil {
		return fmt.Errorf("%w: %w", ErrPrune, err)
	}
	if held == nil {
		e.hold(a, nil)
		a.ripen()
	}
	_, p.tally.deleted, err = e.delete(ctx, a, going, false)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrune, err)
	}
	return nil
}

// ripen notes that all that leaves the App has been let go: what it has now is what the next change is measured against.
func (a *app) ripen() {
	for _, entry := range a.inv.Entries() {
		a.inv.Edit(entry.Ref, func(entry *inventory.Entry) { entry.Fresh = false })
	}
}

// part tells what is to be deleted of the objects that leave from what stays in the cluster without an owner: objects
// that are kept, all when nothing is pruned, and what was only intended and is not there, or not ours.
func (e *Engine) part(ctx context.Context, a *app, leaving []inventory.Entry, prune bool) (going, staying []inventory.Entry, err error) {
	for _, entry := range leaving {
		if !prune || entry.Kept {
			staying = append(staying, entry)
			continue
		}
		if entry.UID == "" {
			live, _, err := e.live(ctx, e.agreed(a).by, entry.Ref)
			if err != nil {
				return nil, nil, err
			}
			if live == nil || !e.ours(a, entry, live) || manifest.ModeOf(live.Labels, live.Annotations).Kept() {
				staying = append(staying, entry)
				continue
			}
			entry.UID = string(live.UID)
			entry.Protected = entry.Protected || manifest.ModeOf(live.Labels, live.Annotations).Protected
			a.inv.Edit(entry.Ref, func(e *inventory.Entry) { e.UID, e.Protected = entry.UID, entry.Protected })
		}
		going = append(going, entry)
	}
	return going, staying, nil
}

// withheld are deletions that wait for an approval.
type withheld struct {
	fleet.HeldPrune
	refs []fleet.ObjectRef
}

// withhold asks the guard about the deletions that nobody was asked about yet: nil, they may go. Going are all deletions,
// entries all that the App has with them, desired is of how many objects it consists from now on. An approval may be of
// the whole set too: a crash can leave some of its objects marked and the others not.
func withhold(going, entries []inventory.Entry, desired int, guard fleet.PruneGuard, approved fleet.Digest) *withheld {
	change := inventory.Change{Desired: desired}
	leaves := map[fleet.ObjectRef]bool{}
	var all, asked []fleet.ObjectRef
	for _, entry := range going {
		leaves[entry.Ref.ID()] = true
		all = append(all, entry.Ref)
		if !entry.Going {
			asked = append(asked, entry.Ref)
			change.Going = append(change.Going, entry)
		}
	}
	for _, entry := range entries {
		switch {
		case entry.Going:
		case !entry.Fresh:
			change.Total++
		case !leaves[entry.Ref.ID()]:
			change.Created = append(change.Created, entry.Ref)
		}
	}
	digest := fleet.PruneDigest(asked)
	if approved == digest || approved == fleet.PruneDigest(all) {
		return nil
	}
	reason := inventory.Guard(change, guard)
	if reason == "" {
		return nil
	}
	return &withheld{fleet.HeldPrune{Digest: digest, Count: len(asked), Reason: reason}, asked}
}

// hold takes note of what waits for an approval, if anything does, and tells it when it is news. Nothing waits any more
// only once all that was let go is saved: with the word of that the hub takes the approval for carried out.
func (e *Engine) hold(a *app, held *withheld) {
	a.mu.Lock()
	before := a.held
	a.held = held
	a.mu.Unlock()
	if held != nil && (before == nil || before.Digest != held.Digest) {
		e.event(a, fleet.ObjectRef{}, true, fleet.ReasonPruneHeld, fmt.Sprintf("%d deletions are held: %s", held.Count, held.Reason))
		e.log.Warn("prune held", "app", a.key.String(), "count", held.Count, "reason", held.Reason)
	}
}
