package api

import (
	"maps"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// summarize is the Ready condition of an App in the whole fleet: False when it was not built or failed in a place, or its Rollouts
// leave it without its newest Release; True when it is ready in every place. The places that decide its status say since when it
// is so; what the others were before is not remembered.
func summarize(object *resource.Object, state fleet.AppState, instances []fleet.Instance, placed *placedOn, places []place) standing {
	t := tally(places)
	began := latest(*object.Metadata.CreationTimestamp, object.UnplacedAt)
	at := 0
	rest, rests := restOf(object.Key(), state, placed, places)
	for _, p := range places {
		if !p.leftOut || p.has(state.Release) {
			at++
		}
	}
	switch {
	case state.Reason != "":
		return standing{fleet.Condition{Status: fleet.False, Reason: state.Reason, Message: state.Message}, earliest(state.ReasonSince, t.failedSince)}
	case rests && rest.ahead:
		if len(t.failing) > 0 {
			rest.Message += "; " + grouped(t.failing)
		}
		return standing{rest.Condition, earliest(rest.since, t.failedSince)}
	case len(t.failing) > 0:
		return standing{fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: grouped(t.failing)}, t.failedSince}
	case placed == nil:
		return standing{unknown(reasonNotPlaced, "no Placement names it"+stillIn(instances)), began}
	case state.Release.IsZero():
		return standing{unknown(fleet.ReasonProgressing, "waiting for its source to be fetched and built"), began}
	case at == 0 && len(placed.leftOut) > 0:
		return standing{unknown(reasonNoClusters, "no cluster gets it"+placed.without()), latest(began, placed.since)}
	case len(places) == 0:
		return standing{unknown(reasonNoClusters, "its Placement matches no cluster"+stillIn(instances)), latest(began, placed.since)}
	case len(t.dependent) > 0:
		return standing{fleet.Condition{Status: fleet.False, Reason: fleet.ReasonDependency, Message: grouped(t.dependent)}, latest(began, t.dependentSince)}
	case rests:
		return rest.standing
	case t.missing():
		since := latest(began, t.unknownSince, state.ReasonSince)
		if t.first && placed.first(instances) {
			since = latest(began, state.ReasonSince)
		}
		reason, message := placed.standing.words(state)
		if message == "" || placed.standing.ended(state) {
			reason, message = t.reason(), t.message()
		}
		return standing{unknown(reason, message), since}
	}
	message := "applied revision " + string(state.Revision) + " in " + plural(at, "cluster") + placed.without()
	return standing{fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded, Message: message}, latest(began, t.readySince, state.ReasonSince, placed.since)}
}

// without says which clusters go without new Releases.
func (p placedOn) without() string {
	if len(p.leftOut) == 0 {
		return ""
	}
	return "; no wave of RolloutPolicy/" + p.policy + " takes " + listed(slices.Sorted(maps.Keys(p.leftOut))) + ", and its spec.unmatched is Exclude"
}

// first reports whether the App was placed nowhere before.
func (p placedOn) first(instances []fleet.Instance) bool {
	for _, i := range instances {
		if i.CreatedAt.Before(p.since) {
			return false
		}
	}
	return true
}

// stillIn says which clusters have the App without its being placed there.
func stillIn(instances []fleet.Instance) string {
	if len(instances) == 0 {
		return ""
	}
	names := make([]string, len(instances))
	for n, i := range instances {
		names[n] = i.Cluster
	}
	return "; it is still in " + listed(names)
}

// tallied are places by what they lack, and since when.
type tallied struct {
	failing                                     []failure
	dependent                                   []failure // they wait for a dependency
	waiting, unassigned, suspended, unreachable []string
	held                                        []string // nothing new goes there
	// readySince is since when the last place is ready; failedSince and unknownSince since when the first one failed or is
	// not known to be either.
	readySince, failedSince, unknownSince, dependentSince time.Time
	// first says that in some place the App was never anything but Unknown.
	first bool
}

func tally(places []place) tallied {
	var t tallied
	for _, p := range places {
		t.first = t.first || p.first
		switch {
		case p.ready.Status == fleet.True:
			t.readySince = latest(t.readySince, p.ready.since)
			continue
		case p.ready.Reason == fleet.ReasonDependency:
			t.dependent = append(t.dependent, failure{p.cluster, p.ready.Message})
			t.dependentSince = earliest(t.dependentSince, p.ready.since)
		case p.ready.Status == fleet.False:
			t.failing = append(t.failing, failure{p.cluster, p.ready.Message})
			t.failedSince = earliest(t.failedSince, p.ready.since)
			continue
		case p.ready.Reason == fleet.ReasonUnreachable:
			t.unreachable = append(t.unreachable, p.cluster)
		case p.ready.Reason == reasonHeld:
			t.held = append(t.held, p.cluster+" ("+p.ready.Message+")")
		case p.ready.Reason == reasonUnassigned:
			t.unassigned = append(t.unassigned, p.cluster)
		case p.ready.Reason == fleet.ReasonSuspended:
			t.suspended = append(t.suspended, p.cluster)
		default:
			t.waiting = append(t.waiting, p.cluster)
		}
		t.unknownSince = earliest(t.unknownSince, p.ready.since)
	}
	return t
}

// missing reports whether some place is not known to be ready.
func (t tallied) missing() bool {
	return len(t.dependent)+len(t.waiting)+len(t.unassigned)+len(t.held)+len(t.suspended)+len(t.unreachable) > 0
}

// reason is that of what may still come; what is out of reach, or suspended, is the reason only when it is all there is.
func (t tallied) reason() string {
	switch {
	case len(t.waiting)+len(t.unassigned) > 0:
		return fleet.ReasonProgressing
	case len(t.dependent) > 0:
		return fleet.ReasonDependency
	case len(t.held) > 0:
		return reasonHeld
	case len(t.unreachable) > 0:
		return fleet.ReasonUnreachable
	}
	return fleet.ReasonSuspended
}

func (t tallied) message() string {
	var parts []string
	for _, part := range []struct {
		words    string
		clusters []string
	}{
		{"waiting for ", t.waiting}, {"waiting to be assigned in ", t.unassigned},
		{"nothing new goes to ", t.held},
		{"suspended before it was applied in ", t.suspended}, {"no word from ", t.unreachable},
	} {
		if len(part.clusters) > 0 {
			parts = append(parts, part.words+listed(part.clusters))
		}
	}
	return strings.Join(parts, "; ")
}
