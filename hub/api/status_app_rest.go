package api

import (
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Reasons of an App whose newest Release goes nowhere by itself: it has failed in a Rollout, or somebody has taken it back.
const (
	reasonBad       = "ReleaseIsBad"
	reasonTakenBack = "ReleaseTakenBack"
)

// reasonRollout begins the reason of an App that is where its Rollout in that phase has left it.
const reasonRollout = "Rollout"

// isRest reports whether the reason is of an App whose Rollouts do nothing more for its newest Release until somebody acts.
func isRest(reason string) bool {
	return reason == reasonBad || reason == reasonTakenBack || strings.HasPrefix(reason, reasonRollout)
}

// rest is where an App's Rollouts leave it that do nothing more by themselves, and what begins them again.
type rest struct {
	standing
	// ahead: the newest Release is not to go anywhere, whatever clusters say of what they run.
	ahead bool
}

// restOf is where an App's Rollouts leave it, if they do nothing more for its newest Release until somebody acts.
func restOf(app fleet.Key, state fleet.AppState, placed *placedOn, places []place) (r rest, rests bool) {
	if placed == nil || placed.standing == nil || state.Reason != "" || state.Release.IsZero() {
		return rest{}, false
	}
	s := placed.standing
	var kept []place
	elsewhere := false
	for _, p := range places {
		elsewhere = elsewhere || p.elsewhere
		if p.kept {
			kept = append(kept, p)
		}
	}
	again := func(flags string) string {
		start := inQuotes("rollout start"+flags, app)
		if r := s.Rollout; r != nil && r.Policy.AutoStart != nil && !*r.Policy.AutoStart {
			return "; " + start + " begins another"
		}
		return "; the next revision begins another, and so does " + start
	}
	stops := s.Rollout != nil && s.Rollout.Phase == rollout.Halted && s.takenUp(state)
	r.Status = fleet.False
	switch {
	case s.bad(state):
		r.ahead, r.Reason, r.Message, r.since = true, reasonBad, s.ahead(state), latest(s.BadSince, state.ReleaseSince)
		switch {
		case stops:
			r.Message += waysOn(app)
		case s.Rollout == nil || s.Rollout.Phase.Final():
			r.Message += again(" --allow-bad")
		}
	case s.takenBack(state):
		r.ahead, r.Reason, r.Message, r.since = true, reasonTakenBack, s.ahead(state)+again(""), s.Rollout.Finished
	case elsewhere && s.ended(state):
		r.Reason, r.Message = s.words(state)
		r.Message, r.since = r.Message+again(""), s.Rollout.Finished
	case len(kept) > 0:
		r.Reason, r.Message, r.since = reasonRollout+string(s.Rollout.Phase), s.leaves(kept)+again(""), s.Rollout.Finished
	case stops && slices.ContainsFunc(places, place.missing):
		r.Reason, r.Message = s.words(state)
		r.Message += waysOn(app)
		r.since = s.HaltedSince
	default:
		return rest{}, false
	}
	return r, true
}

// waysOn says where a person finds what a Rollout that is halted goes on by.
func waysOn(app fleet.Key) string { return "; what leads on is in " + inQuotes("rollout status", app) }

// missing reports whether the place is neither ready nor failed.
func (p place) missing() bool { return p.ready.Status == fleet.Unknown }
