package rollout

import (
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Start begins a Rollout of the App's newest Release, or of another one that was built.
type Start struct {
	Actor, Reason, RequestID string
	// Target; zero: the newest.
	Target fleet.Digest
	// AllowBad takes one that has failed. Supersede takes the place of the Rollout under way.
	AllowBad, Supersede bool
	// Plan that is expected; zero: any.
	Plan fleet.Digest
}

func (c Start) apply(t *turn) error {
	release, err := t.releaseOf(c.Target)
	if err := errors.Join(t.lacksPolicy(), err); err != nil {
		return err
	}
	target := release.Digest()
	switch active := t.ro != nil && t.ro.Phase.Active(); {
	case active && t.ro.Target == target && !c.Plan.IsZero() && c.Plan != t.ro.Plan && !c.Supersede:
		return t.refuse("it is under way to that Release by another plan, %s: follow it, or cancel it and start anew", t.ro.Plan)
	case active && t.ro.Phase == RollingBack:
		return t.refuse("it is on its way back: wait for it")
	case active && t.ro.Target == target && t.ro.Phase == Halted && !c.Supersede:
		return t.refuse("it is Halted: go on with it (rollout resume), or begin anew with --supersede")
	case active && t.ro.Target == target && t.ro.Phase != Halted && c.Supersede:
		return t.refuse("it is under way to that Release: there is nothing to take the place of; cancel it to begin anew")
	case active && t.ro.Target == target && t.ro.Phase != Halted:
		return nil
	case active && !c.Supersede && t.ro.Phase != Halted:
		return t.refuse("it is under way: wait for it, cancel it, or take its place with --supersede")
	case t.track.Outcome(target) == Bad && !c.AllowBad:
		return fmt.Errorf("%w: Release %s of %s has failed before: --allow-bad starts it all the same", fleet.ErrConflict, target, t.Key.Words())
	}
	next, left := t.plan(t.kindTo(target), release, t.Policy.RolloutPolicy)
	switch {
	case next.rejects(left):
		return fmt.Errorf("%w: no wave takes %s, and spec.unmatched is Reject", fleet.ErrConflict, clusterNames(left))
	case len(next.Members) == 0:
		return fmt.Errorf("%w: %s is placed on no cluster that a wave takes", fleet.ErrConflict, t.Key.Words())
	case !c.Plan.IsZero() && c.Plan != next.Plan:
		return fmt.Errorf("%w: the plan is %s now, not %s: look at it again", fleet.ErrConflict, next.Plan, c.Plan)
	}
	next.Actor, next.ChangeCause, next.RequestID, next.AllowBad = c.Actor, c.Reason, c.RequestID, c.AllowBad
	var queued *Rollout
	if t.Queued != nil && t.Queued.Target == target {
		queued = t.unqueue()
	}
	t.begin(next, queued)
	return nil
}

// Cancel ends the Rollout where it is: clusters stay at what they have.
type Cancel struct{ Actor, Reason string }

func (c Cancel) apply(t *turn) error {
	if t.Queued != nil && (t.ro == nil || !t.ro.Phase.Active()) {
		c.dequeue(t)
		return nil
	}
	if err := t.underWay(); err != nil {
		return err
	}
	t.keep()
	t.phase(Cancelled, ReasonUser, c.Reason)
	t.by(c.Actor)
	return nil
}

// dequeue cancels the one that waits. Its Release does not begin by itself again.
func (c Cancel) dequeue(t *turn) {
	t.track.Handled = t.Queued.Target
	t.dequeued(Cancelled, ReasonUser, "", c.Reason)
	t.by(c.Actor)
}
