package rollout

import (
	"reflect"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// watch brings the members of the Rollout under way up to what is known.
func (t *turn) watch() {
	if t.ro != nil {
		t.observe()
	}
}

// steer takes the Rollout under way as far as it goes now.
func (t *turn) steer() {
	if t.ro == nil || !t.ro.Phase.Active() {
		return
	}
	if t.Policy == nil && t.Placement.RolloutPolicyRef == nil && (t.ro.Phase == Halted || t.ro.Phase == Paused) {
		t.phase(Cancelled, "", "its Placement names no RolloutPolicy any more")
		return
	}
	t.judge()
	switch t.ro.Phase {
	case Running:
		t.advance()
	case RollingBack:
		t.restore()
	}
	if t.ro.Phase != Running {
		t.rest()
	}
}

// abandon ends a Rollout whose App, or its Placement, is gone.
func (t *turn) abandon() {
	if t.ro != nil && t.ro.Phase.Active() {
		t.phase(Cancelled, "", "the App, or its Placement, is gone")
		if t.track.Handled == t.ro.Target {
			t.track.Handled = fleet.Digest{} // it begins anew once there is one again
		}
	}
	t.dropQueued("")
}

// stays reports whether a tombstone in a cluster that is to have the App stays until it is done, or the cluster gets
// something: it goes back to having nothing, or what it had is not known to be good.
func (t *turn) stays(s *site, row *Row) bool {
	if _, given := t.want[s.ID]; given || !t.Managed || row.Assignment == nil || row.Assignment.State != fleet.Removed || row.Removed {
		return false
	}
	if m := t.memberAt(s); m != nil && m.Phase == MemberRollingBack && m.Base.IsZero() {
		return true
	}
	return t.track.Outcome(row.Release) != Good && row.Release != t.track.Stable
}

// write compares what was decided with the State.
func (t *turn) write() Step {
	step := t.rows()
	t.stamp(step)
	if t.ro != nil {
		t.sum()
	}
	if t.ro != nil && !same(t.ro, t.State.Active) {
		t.ro.Version++
		step.Rollouts = append(step.Rollouts, t.ro)
	}
	for _, other := range t.others {
		other.Version++
		step.Rollouts = append(step.Rollouts, other)
	}
	switch {
	case !t.Managed:
		step.Forget = t.State.Track != nil && t.App != nil && t.Placement != nil
	case t.State.Track == nil && (t.App == nil || t.Placement == nil): // nothing is known, and nothing is to be
	case t.State.Track == nil || !reflect.DeepEqual(*t.State.Track, t.track):
		step.Track = &t.track
	}
	step.Requests, step.Events, step.Checks, step.Wake = t.requests, t.events, t.checks, t.wake
	return step
}

// stamp notes from which generation on reports of those count that got something.
func (t *turn) stamp(step Step) {
	for _, id := range t.dispatched {
		s := t.site(id)
		generation := s.row.generation()
		if put, written := step.Put[id]; written {
			generation = put.Assignment.Generation
		}
		if u, under := t.track.CatchingUp[id]; under && !t.belongs(s) {
			u.Generation = generation
			t.track.CatchingUp[id] = u
		}
		if m := t.memberAt(s); m != nil && t.belongs(s) {
			m.Generation = generation
		}
	}
}

// generation from which on what the row says now is run.
func (r *Row) generation() uint64 {
	if r.Assignment == nil {
		return 0
	}
	return r.Assignment.Pin
}

// same reports whether nothing of a Rollout has changed.
func same(a, b *Rollout) bool {
	if b == nil || !slices.Equal(a.Members, b.Members) {
		return false
	}
	x, y := *a, *b
	x.Members, y.Members = nil, nil
	return reflect.DeepEqual(x, y)
}
