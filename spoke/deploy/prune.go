package deploy

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/inventory"
)

// prune gets rid of what the inventory has and the Manifest has not. Every stage is done by now.
func (p *pass) prune(ctx context.Context) error {
	e, a := p.engine, p.app
	var leaving []inventory.Entry
	change := inventory.Change{Desired: len(p.desired)}
	for _, entry := range a.inv.Entries() {
		if !p.desired[entry.Ref.ID()] {
			leaving = append(leaving, entry)
		} else if entry.Fresh {
			change.Created = append(change.Created, entry.Ref)
		}
		if !entry.Fresh {
			change.Total++
		}
	}
	going, err := e.goable(ctx, a, leaving, p.target.Release.Prune)
	if err != nil {
		return err
	}
	change.Going = going
	guard := fleet.ParsePruneGuard(p.target.Release.PruneGuard)
	if e.holds(a, change, guard, p.target.ApprovedPrune) {
		return nil
	}
	remaining, err := e.delete(ctx, a, going, false)
	p.tally.deleted = len(going) - len(remaining)
	if len(remaining) == 0 {
		e.ripen(a)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrune, err)
	}
	return nil
}

// goable returns what is to be deleted of the objects that leave. The others leave the inventory and stay in the
// cluster: those that are kept, all when nothing is pruned, and what was only intended and is not there, or not ours.
func (e *Engine) goable(ctx context.Context, a *app, leaving []inventory.Entry, prune bool) ([]inventory.Entry, error) {
	var going []inventory.Entry
	for _, entry := range leaving {
		if entry.Kept || !prune {
			a.inv.Remove(entry.Ref)
			e.disown(a, entry.Ref)
			continue
		}
		if entry.UID == "" {
			live, _, err := e.live(ctx, entry.Ref)
			if err != nil {
				return nil, err
			}
			if live == nil || !e.ours(a, entry, live) {
				a.inv.Remove(entry.Ref)
				e.disown(a, entry.Ref)
				continue
			}
		}
		going = append(going, entry)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stale = map[fleet.ObjectRef]bool{}
	for _, entry := range going {
		a.stale[entry.Ref.ID()] = true
	}
	return going, nil
}

// holds asks the guard, unless exactly these deletions were approved, and keeps what Status will say.
func (e *Engine) holds(a *app, change inventory.Change, guard fleet.PruneGuard, approved fleet.Digest) bool {
	refs := make([]fleet.ObjectRef, len(change.Going))
	for i, entry := range change.Going {
		refs[i] = entry.Ref
	}
	digest := fleet.PruneDigest(refs)
	reason := ""
	if approved != digest {
		reason = inventory.Guard(change, guard)
	}
	a.mu.Lock()
	before := a.held
	a.held, a.heldRefs = nil, nil
	if reason != "" {
		a.held, a.heldRefs = &fleet.HeldPrune{Digest: digest, Count: len(refs), Reason: reason}, refs
	}
	a.mu.Unlock()
	if reason != "" && (before == nil || before.Digest != digest) {
		e.event(a, fleet.ObjectRef{}, true, fleet.ReasonPruneHeld, fmt.Sprintf("%d deletions are held: %s", len(refs), reason))
		e.log.Warn("prune held", "app", a.key.String(), "count", len(refs), "reason", reason)
	}
	return reason != ""
}

// ripen notes that the App's objects are settled: what comes next is measured against them.
func (e *Engine) ripen(a *app) {
	for _, entry := range a.inv.Entries() {
		if entry.Fresh {
			entry.Fresh = false
			a.inv.Put(entry)
		}
	}
}
