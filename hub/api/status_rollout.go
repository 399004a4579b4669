package api

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// rolloutStatus is what the status of an App says of its Rollout: the one under way, or else the newest.
type rolloutStatus struct {
	ID       string         `json:"id"`
	Phase    rollout.Phase  `json:"phase"`
	Reason   rollout.Reason `json:"reason,omitempty"`
	Message  string         `json:"message,omitempty"`
	Target   string         `json:"target"`
	Revision fleet.Revision `json:"revision,omitempty"`
	// Wave under way, its number and how many there are.
	Wave       string `json:"wave,omitempty"`
	WaveNumber int    `json:"waveNumber,omitempty"`
	Waves      int    `json:"waves,omitempty"`
	// Updated of Total clusters have succeeded.
	Updated int `json:"updated"`
	Total   int `json:"total"`
	// Queued is the id of one that waits, and QueuedReason why.
	Queued       string         `json:"queued,omitempty"`
	QueuedReason rollout.Reason `json:"queuedReason,omitempty"`
	// Stable is the Release that clusters get which are new, and a Revision of it.
	Stable         string         `json:"stable,omitempty"`
	StableRevision fleet.Revision `json:"stableRevision,omitempty"`
}

// standingOf is where an App stands that a RolloutPolicy is for, with the Revisions of the Releases that are named.
type standingOf struct {
	rollout.Standing
	revisions map[fleet.Digest]fleet.Revision
}

// status of the Rollout; nil: there is none.
func (s *standingOf) status() *rolloutStatus {
	if s == nil {
		return nil
	}
	r := cmp.Or(s.Rollout, s.Queued)
	if r == nil {
		return nil
	}
	n := r.Totals()
	status := &rolloutStatus{
		ID: r.ID, Phase: r.Phase, Reason: r.Reason, Message: r.Message, Target: r.Target.String(), Revision: s.revisions[r.Target], Waves: len(r.Waves),
		Updated: n.Succeeded, Total: n.Counted(), Stable: digestText(s.Stable), StableRevision: s.revisions[s.Stable],
	}
	if r.Wave < len(r.Waves) {
		status.Wave, status.WaveNumber = r.Waves[r.Wave].Name, r.Wave+1
	}
	if s.Queued != nil {
		status.Queued, status.QueuedReason = s.Queued.ID, s.Queued.Reason
	}
	return status
}

// bad reports whether the App's newest Release has failed: no cluster gets it by itself. While somebody has it tried all the same,
// clusters do.
func (s *standingOf) bad(state fleet.AppState) bool {
	if s == nil || s.BadSince.IsZero() {
		return false
	}
	r := s.Rollout
	return r == nil || !r.AllowBad || r.Target != state.Release || r.Phase != rollout.Running && r.Phase != rollout.Paused
}

// takenUp reports whether the engine has seen the App's newest Release. Until then nothing that Rollouts have done says what
// becomes of it: one may begin at once.
func (s *standingOf) takenUp(state fleet.AppState) bool {
	return s.Handled == state.Release || s.Queued != nil && s.Queued.Target == state.Release
}

// takenBack reports whether somebody has taken the App's newest Release back: no cluster gets it by itself either.
func (s *standingOf) takenBack(state fleet.AppState) bool {
	return s != nil && s.Queued == nil && s.Rollout != nil && s.Rollout.Phase == rollout.Succeeded &&
		s.Rollout.Target == s.Stable && s.Handled == state.Release && s.Stable != state.Release
}

// ended reports whether the Rollout of the App's newest Release is over without success, though nothing is known against it: no
// cluster gets it by itself either. It may be everywhere all the same.
func (s *standingOf) ended(state fleet.AppState) bool {
	return s != nil && s.Queued == nil && s.Rollout != nil && s.Rollout.Phase.Final() && s.Rollout.Phase != rollout.Succeeded &&
		s.Rollout.Target == state.Release && s.Handled == state.Release && s.Stable != state.Release
}

// keeps reports whether a cluster that has that older Release stays at it by what a Rollout has left there, which was ended on
// the way to it or from it.
func (s *standingOf) keeps(state fleet.AppState, release fleet.Digest) bool {
	return s != nil && s.Queued == nil && s.Rollout != nil && s.Rollout.Phase.Final() && s.Rollout.Phase != rollout.Succeeded &&
		s.Stable == state.Release && s.Handled == state.Release && slices.Contains(s.Kept, release)
}

// leaves says which clusters stay at which older Releases since a Rollout was ended on the way.
func (s *standingOf) leaves(kept []place) string {
	at := map[string][]string{}
	for _, p := range kept {
		release := p.instance.Assignment.Release.Digest()
		name := cmp.Or(string(s.revisions[release]), release.String())
		at[name] = append(at[name], p.cluster)
	}
	message := inWords(*s.Rollout)
	for _, name := range slices.Sorted(maps.Keys(at)) {
		message += "; " + listed(at[name]) + " stay at " + name
	}
	return message
}

// stays reports whether no cluster gets the App's newest Release by itself: what they run is what they are to run.
func (s *standingOf) stays(state fleet.AppState) bool {
	return s.bad(state) || s.takenBack(state) || s.ended(state)
}

// failed reports whether a cluster was to get the App's newest Release and stays at what it had, and why.
func (s *standingOf) failed(cluster string, state fleet.AppState) (why string, is bool) {
	if s == nil || s.Stable != state.Release {
		return "", false
	}
	why, is = s.Failed[cluster]
	return why, is
}

// ahead is what there is to say of a newest Release that has failed, or was taken back.
func (s *standingOf) ahead(state fleet.AppState) string {
	text := "Git ahead of stable: " + string(state.Revision)
	if s.bad(state) {
		text += " is Bad"
	} else {
		text += " was taken back by " + s.Rollout.ID
	}
	if r := s.Rollout; r != nil && r.Target == state.Release {
		text += "; " + inWords(*r)
	}
	if stable := s.revisions[s.Stable]; stable != "" {
		text += "; stable is " + string(stable)
	}
	return text
}

// words say what the App's Rollouts do about its newest Release, and the reason that is; empty: nothing keeps it from the
// clusters.
func (s *standingOf) words(state fleet.AppState) (reason, message string) {
	switch {
	case s == nil:
	case s.Rollout != nil && (s.Rollout.Phase.Active() || s.Rollout.Target == state.Release && s.Rollout.Phase != rollout.Succeeded):
		reason, message = fleet.ReasonProgressing, inWords(*s.Rollout)
		if s.Rollout.Phase != rollout.Running && s.takenUp(state) {
			reason = reasonRollout + string(s.Rollout.Phase)
		}
		if s.Queued != nil {
			message += "; " + inWords(*s.Queued)
		}
	case s.Queued != nil:
		reason, message = reasonRollout+string(rollout.Queued), inWords(*s.Queued)
	}
	return reason, message
}

// inWords is "rollout ro-7 is Running, wave canary (1/2): what it waits for".
func inWords(r rollout.Rollout) string {
	text := "rollout " + r.ID + " is " + string(r.Phase)
	if r.Phase.Active() && r.Wave < len(r.Waves) {
		name := r.Waves[r.Wave].Name
		text += ", wave " + name + " (" + itoa(r.Wave+1) + "/" + itoa(len(r.Waves)) + ")"
		r.Message = strings.TrimPrefix(r.Message, "wave "+name+": ")
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}
