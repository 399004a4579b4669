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
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/inventory"
)

// letGo marks what is to be deleted, and saves that before the first deletion is sent: after a crash none of it is put
// back, and what was agreed to once is carried through without asking again.
func (e *Engine) letGo(ctx context.Context, a *app, going []inventory.Entry) error {
	if len(going) == 0 {
		return nil
	}
	for _, entry := range going {
		a.inv.Edit(entry.Ref, func(entry *inventory.Entry) { entry.Going = true })
	}
	return e.save(ctx, a)
}

// delete asks for the deletion of objects in reverse order of their application, and drops those from the inventory
// that are gone, will be, or are not ours any more; with wait, only those that are gone. It returns the others, and how
// many deletions it sent.
func (e *Engine) delete(ctx context.Context, a *app, going []inventory.Entry, wait bool) (remaining []inventory.Entry, sent int, err error) {
	going = slices.Clone(going)
	var deleted atomic.Int64
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
	if sent = int(deleted.Load()); sent > 0 {
		e.event(a, fleet.ObjectRef{}, false, reasonPruned, fmt.Sprintf("%d objects were deleted: %s", sent, examples(going)))
		e.metrics.pruned.Add(float64(sent))
	}
	return remaining, sent, errors.Join(problems...)
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
	by := e.agreed(a).by
	const attempts = 8 // somebody may write the object between our look and our deletion
	for attempt := 1; ; attempt++ {
		live, mapping, err := e.live(ctx, by, entry.Ref)
		switch {
		case err != nil:
			return false, err
		case live == nil:
			return true, nil
		case !e.ours(a, entry, live):
			e.log.Info("not deleted: it is not ours any more", "app", a.key.String(), "object", entry.Ref.String())
			return true, nil
		case manifest.ModeOf(live.Labels, live.Annotations).Kept():
			e.log.Info("not deleted: it says so", "app", a.key.String(), "object", entry.Ref.String())
			return true, nil
		case live.DeletionTimestamp != nil:
			return false, nil // what holds it is its finalizers' business
		}
		err = by.Applier.Delete(ctx, entry.Ref, mapping, live)
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
func (e *Engine) live(ctx context.Context, by *account.Account, ref fleet.ObjectRef) (*metav1.PartialObjectMetadata, apply.Mapping, error) {
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
		live, err := by.Applier.Get(ctx, ref, mapping)
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
