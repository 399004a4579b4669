package rollout

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Command is what somebody, or a check, has to say to the Rollout of an App. An error says why it cannot be done, and
// what can.
type Command interface{ apply(t *turn) error }

// underWay refuses where no Rollout is.
func (t *turn) underWay() error {
	if t.ro == nil || !t.ro.Phase.Active() {
		return fmt.Errorf("a Rollout of %s under way: %w", t.Key.Words(), fleet.ErrNotFound)
	}
	return nil
}

// lacksPolicy refuses where no policy says how a Rollout goes.
func (t *turn) lacksPolicy() error {
	switch {
	case t.Policy != nil:
		return nil
	case t.Placement.RolloutPolicyRef != nil:
		return fmt.Errorf("%w: RolloutPolicy %s, which Placement %s names, is not declared", fleet.ErrConflict, t.Placement.RolloutPolicyRef.Name, t.Placement.Name)
	}
	return fmt.Errorf("%w: Placement %s names no RolloutPolicy: Releases of %s go to every cluster at once", fleet.ErrConflict, t.Placement.Name, t.Key.Words())
}

// refuse says why the Rollout cannot do that.
func (t *turn) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: rollout %s: %s", fleet.ErrConflict, t.ro.ID, fmt.Sprintf(format, args...))
}

// by says who had the last event happen.
func (t *turn) by(actor string) {
	if n := len(t.events); n > 0 {
		t.events[n-1].Actor = actor
	}
}

// byOf says who had the last event of a type happen.
func (t *turn) byOf(event, actor string) {
	for i := range slices.Backward(t.events) {
		if t.events[i].Type == event {
			t.events[i].Actor = actor
			return
		}
	}
}

// forget drops what is known of a Release.
func (k *Track) forget(release fleet.Digest) {
	k.Verdicts = slices.DeleteFunc(k.Verdicts, func(v Verdict) bool { return v.Release == release })
}
