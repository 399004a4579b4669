package rollout

import (
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// At is a Command of somebody who has looked at a Rollout: it is refused where that is not as it was any more.
type At struct {
	// ID of the Rollout, and its Version; empty and zero: any.
	ID      string
	Version uint64
	// DryRun: it is to be told what the Rollout would be, and nothing is stored.
	DryRun  bool
	Command Command
}

// ErrChanged says that a Rollout is not the one, or as it was, that somebody looked at.
var ErrChanged = errors.New("changed")

func (c At) apply(t *turn) error {
	seen := t.ro
	if seen == nil || !seen.Phase.Active() {
		seen = t.Queued
	}
	switch cancel, cancels := c.Command.(Cancel); {
	case seen == nil && c.undoes() && c.ID != "" && c.ID != t.track.foundBy(t.track.Stable):
		return fmt.Errorf("%w: rollout %s has %w: what clusters run is not of it any more; look at the newest", fleet.ErrConflict, c.ID, ErrChanged)
	case seen != nil && c.ID == "" && c.Version == 0 && c.undoes() && seen.Kind == Backward && (seen.Phase == Running || seen.Phase == Paused):
		return nil // it is what was asked for before: only who names it has it taken back itself
	case seen != nil && c.ID == "" && c.undoes() && seen.Kind == Backward && seen.Phase == Halted:
		return fmt.Errorf("%w: rollout %s takes clusters back already, and is Halted: go on with it (rollout resume), or name it to have it taken back itself", fleet.ErrConflict, seen.ID)
	case seen == nil: // what else can be said to one that is over, the Command knows
	case t.Queued != nil && c.ID == t.Queued.ID && seen != t.Queued:
		if !cancels {
			return fmt.Errorf("%w: rollout %s is Queued: it waits for %s", fleet.ErrConflict, c.ID, seen.ID)
		}
		cancel.dequeue(t)
		return nil
	case c.ID != "" && c.ID != seen.ID:
		return fmt.Errorf("%w: rollout %s has %w: %s is there now; look at it again", fleet.ErrConflict, c.ID, ErrChanged, seen.ID)
	case c.Version != 0 && c.Version != seen.Version:
		return fmt.Errorf("%w: rollout %s has %w: it is at version %d, not %d; look at it again", fleet.ErrConflict, seen.ID, ErrChanged, seen.Version, c.Version)
	}
	return c.Command.apply(t)
}

// undoes reports whether the Command takes back what a Rollout that is over has brought.
func (c At) undoes() bool {
	undo, is := c.Command.(Rollback)
	return is && undo.To.IsZero()
}
