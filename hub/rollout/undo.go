package rollout

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Rollback takes the Rollout back; of one that is over, it begins one to what was good before.
type Rollback struct {
	Actor, Reason string
	// Scope; empty: every cluster that was updated.
	Scope fleet.FailureScope
	// To is a Release that was good, for a Rollout of its own; zero: what each cluster had before.
	To fleet.Digest
}

func (c Rollback) apply(t *turn) error {
	active := t.ro != nil && t.ro.Phase.Active()
	switch {
	case active && t.ro.Phase == RollingBack && c.To.IsZero():
		return nil
	case active && t.ro.Phase == RollingBack:
		return t.refuse("it is on its way back: wait for it")
	case t.App.NoRollback && (!active || t.ro.NoRollback):
		return fmt.Errorf("%w: annotation %s of %s says that its Release cannot be taken back; remove it if that can be", fleet.ErrConflict, NoRollbackAnnotation, t.Key.Words())
	case active && t.ro.Kind == Backward && t.ro.Target == c.To && t.ro.Phase == Halted:
		return t.refuse("it goes to that Release already, and is Halted: go on with it (rollout resume)")
	case active && t.ro.Kind == Backward && t.ro.Target == c.To:
		return nil
	case active && c.To.IsZero():
		return c.takeBack(t)
	}
	return c.begin(t)
}

// takeBack takes the Rollout under way back.
func (c Rollback) takeBack(t *turn) error {
	scope := c.Scope
	if scope == "" {
		scope = fleet.ScopeUpdated
	}
	before := t.ro.Reason
	t.ro.Reason = ReasonUser
	if t.rollBack(scope, c.Reason); t.ro.Phase != RollingBack {
		t.ro.Reason = before
		return t.refuse("nothing can be taken back: the clusters have what they had before, or did not have the App and spec.onFailure.allowUninstall is not set")
	}
	t.byOf(string(RollingBack), c.Actor)
	return nil
}

// begin begins a Rollout to a Release that was good. The newest one does not begin by itself again.
func (c Rollback) begin(t *turn) error {
	to, err := c.To, t.lacksPolicy()
	if err == nil && to.IsZero() {
		to, err = t.before()
	}
	release, known := t.Releases[to]
	switch {
	case err != nil:
		return err
	case c.Scope != "" && c.Scope != fleet.ScopeUpdated:
		return fmt.Errorf("%w: a scope is for a Rollout under way: a Rollout to a Release that was good is about all clusters", fleet.ErrInvalid)
	case !known, t.track.Outcome(to) != Good:
		return fmt.Errorf("%w: Release %s of %s was never good", fleet.ErrConflict, to, t.Key.Words())
	}
	next, _ := t.plan(Backward, release, t.Policy.RolloutPolicy)
	if len(next.Members) == 0 {
		return fmt.Errorf("%w: %s is placed on no cluster that a wave takes", fleet.ErrConflict, t.Key.Words())
	}
	next.Actor, next.ChangeCause = c.Actor, c.Reason
	t.begin(next, nil)
	if !t.newest.IsZero() {
		t.track.Handled = t.newest
	}
	return nil
}

// before is the newest good Release but Stable. Where the newest Release of all has been taken back or given up already, it
// is Stable itself, for clusters that have not got that back.
func (t *turn) before() (fleet.Digest, error) {
	if t.track.Handled != t.track.Stable {
		if !t.track.Stable.IsZero() && t.astray() {
			return t.track.Stable, nil
		}
		if !t.track.Stable.IsZero() {
			return fleet.Digest{}, fmt.Errorf("%w: clusters of %s are at Release %s, which was good before the newest one; name another to go to that (rollout rollback --to)",
				fleet.ErrConflict, t.Key.Words(), t.track.Stable)
		}
	}
	for _, v := range slices.Backward(t.track.Verdicts) {
		if v.Outcome == Good && v.Release != t.track.Stable {
			return v.Release, nil
		}
	}
	return fleet.Digest{}, fmt.Errorf("%w: %s has no Release that was good before", fleet.ErrConflict, t.Key.Words())
}
