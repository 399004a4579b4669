package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
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

// delete asks for the deletion of objects in reverse order of their application, and drops those from the inventory
// that are gone, will be, or are not ours any more; with wait, only those that are gone. It returns the others.
func (e *Engine) delete(ctx context.Context, a *app, going []inventory.Entry, wait bool) (remaining []inventory.Entry, err error) {
	going = slices.Clone(going)
	var deleted atomic.Int64
	defer func() {
		if n := deleted.Load(); n > 0 {
			e.event(a, fleet.ObjectRef{}, false, reasonPruned, fmt.Sprintf("%d objects were deleted: %s", n, examples(going)))
			e.metrics.pruned.Add(float64(n))
		}
	}()
	slices.SortFunc(going, func(x, y inventory.Entry) int { return compareDeletion(x.Ref, y.Ref) })
	var problems []error
	for rest := going; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(entry inventory.Entry) bool { return !together(entry.Ref, rest[0].Ref) })
		if n < 0 {
			n = len(rest)
		}
		group := rest[:n]
		rest = rest[n:]
		left := make([]bool, n)
		index := make([]int, n)
		for i := range index {
			index[i] = i
		}
		problems = append(problems, each(ctx, index, func(ctx context.Context, i int) error {
			gone, err := e.deleteOne(ctx, a, group[i], &deleted)
			left[i] = err != nil || wait && !gone
			return err
		}))
		for i, entry := range group {
			if left[i] {
				remaining = append(remaining, entry)
				continue
			}
			a.inv.Remove(entry.Ref)
			e.disown(a, entry.Ref)
		}
	}
	return remaining, errors.Join(problems...)
}

// examples names the first of many.
func examples(entries []inventory.Entry) string {
	const few = 3
	var names []string
	for _, entry := range entries[:min(len(entries), few)] {
		names = append(names, entry.Ref.String())
	}
	if len(entries) > few {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

func compareDeletion(a, b fleet.ObjectRef) int {
	return -cmp.Or(
		cmp.Compare(manifest.StageOf(a), manifest.StageOf(b)), cmp.Compare(manifest.GroupOf(a), manifest.GroupOf(b)), a.Compare(b),
	)
}

func together(a, b fleet.ObjectRef) bool {
	return manifest.StageOf(a) == manifest.StageOf(b) && manifest.GroupOf(a) == manifest.GroupOf(b)
}

// deleteOne asks for the deletion of one object, if it still is the one that the entry means. Gone says that nothing
// of ours is there any more.
func (e *Engine) deleteOne(ctx context.Context, a *app, entry inventory.Entry, deleted *atomic.Int64) (gone bool, err error) {
	end, err := e.tracker.Begin(ctx, entry.Ref)
	if err != nil {
		return false, err
	}
	defer end(nil, false)
	const attempts = 8 // somebody may write the object between our look and our deletion
	for attempt := 1; ; attempt++ {
		live, mapping, err := e.live(ctx, entry.Ref)
		switch {
		case err != nil:
			return false, err
		case live == nil:
			return true, nil
		case !e.ours(a, entry, live):
			e.log.Info("not deleted: it is not ours any more", "app", a.key.String(), "object", entry.Ref.String())
			return true, nil
		case apply.ModeOf(live.Labels, live.Annotations).Kept():
			e.log.Info("not deleted: it says so", "app", a.key.String(), "object", entry.Ref.String())
			return true, nil
		case live.DeletionTimestamp != nil:
			return false, nil // what holds it is its finalizers' business
		}
		err = e.applier.Delete(ctx, entry.Ref, mapping, live)
		switch {
		case err == nil:
			deleted.Add(1)
			return false, nil
		case errors.Is(err, fleet.ErrNotFound):
			return true, nil
		case !isConflict(err) || attempt == attempts:
			return false, err
		}
	}
}

// ours reports whether a live object is the one that an entry means: with our owner labels and, unless it has the very
// uid that was recorded, with our Apply entry.
func (e *Engine) ours(a *app, entry inventory.Entry, live *metav1.PartialObjectMetadata) bool {
	if !e.marks.Owns(live.Labels, a.owner()) {
		return false
	}
	return entry.UID == string(live.UID) || e.marks.Entry(live.ManagedFields) != nil
}

// live returns the metadata of an object, nil when it certainly does not exist.
func (e *Engine) live(ctx context.Context, ref fleet.ObjectRef) (*metav1.PartialObjectMetadata, apply.Mapping, error) {
	for attempt := 1; ; attempt++ {
		mapping, err := e.mapper.Served(ctx, ref)
		if errors.Is(err, fleet.ErrNotFound) {
			gone, goneErr := e.mapper.Gone(ctx, ref)
			if gone {
				return nil, mapping, nil
			}
			err = errors.Join(err, goneErr)
		}
		if err != nil {
			return nil, mapping, fmt.Errorf("%s: %w", ref, err)
		}
		live, err := e.applier.Get(ctx, ref, mapping)
		switch {
		case err == nil:
			return live, mapping, nil
		case errors.Is(err, fleet.ErrNotFound):
			return nil, mapping, nil
		case attempt > 1:
			return nil, mapping, err
		}
		e.mapper.Forget(ref.Group) // the kind may have moved to another version
	}
}
