package rollout

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// candidate begins a Rollout to the App's newest Release, queues one, or says why there is none.
func (t *turn) candidate() {
	if t.App.Release == nil || t.Policy == nil {
		return
	}
	target := t.newest
	if t.ro != nil && t.ro.Phase.Active() {
		t.candidateBeside(target)
		return
	}
	if queued := t.Queued; queued != nil && queued.Target == target {
		if why, message := t.heldBack(); why != "" {
			t.requeue(queued, why, message)
			return
		}
		t.start(target, queued)
		return
	}
	if target == t.track.Handled {
		t.dropQueued("")
		return
	}
	switch {
	case target == t.track.Stable && !t.astray():
		t.track.Handled = target
		t.dropQueued("")
	case t.track.Outcome(target) == Bad:
		t.refuseBad(target)
	default:
		t.start(target, nil)
	}
}

// candidateBeside is for a candidate while a Rollout is under way.
func (t *turn) candidateBeside(target fleet.Digest) {
	if target == t.ro.Target || target == t.track.Handled {
		t.dropQueued("")
		return
	}
	if t.track.Outcome(target) == Bad {
		t.refuseBad(target)
		return
	}
	if !t.supersedes(t.ro) {
		t.enqueue(target, ReasonNewerCandidate, "waits for "+t.ro.ID)
		return
	}
	t.start(target, nil)
}

// refuseBad does not begin a Release that has failed before. The Rollout that found it so says it.
func (t *turn) refuseBad(target fleet.Digest) {
	t.track.Handled = target
	t.dropQueued("")
	t.tell(Event{Rollout: t.track.foundBy(target), Type: "CandidateIsBad",
		Message: "the newest Release has failed before: `fleetctl rollout start --allow-bad` starts it all the same"})
}

// supersedes reports whether a newer Release takes the place of the Rollout under way, and does not wait for its end: one
// that is halted is not waited for, and one that is on its way back always is.
func (t *turn) supersedes(under *Rollout) bool {
	return under.Phase == Halted || under.Phase != RollingBack && under.Policy.OnNewRevision == fleet.SupersedeOld
}

// astray reports whether a cluster has what is neither good nor Stable, as a Rollout that was cancelled leaves it.
func (t *turn) astray() bool {
	for i := range t.sites {
		s := &t.sites[i]
		if s.has && s.placed && s.row.Release != t.track.Stable && t.track.Outcome(s.row.Release) != Good {
			return true
		}
	}
	return false
}

// heldBack says why a Rollout does not start by itself; empty: it does.
func (t *turn) heldBack() (Reason, string) {
	if !*t.Policy.AutoStart {
		return ReasonAwaitingStart, "spec.autoStart of the policy is false: `fleetctl rollout start` starts it"
	}
	return "", ""
}

// start begins a Rollout, in place of the one under way. What cannot begin is queued, with the reason.
func (t *turn) start(target fleet.Digest, from *Rollout) {
	if why, message := t.heldBack(); why != "" && from == nil {
		t.enqueue(target, why, message)
		return
	}
	next, left := t.plan(t.kindTo(target), *t.App.Release, t.Policy.RolloutPolicy)
	if next.rejects(left) {
		t.enqueue(target, ReasonUnmatched, fmt.Sprintf("no wave takes %s, and spec.unmatched is Reject", clusterNames(left)))
		return
	}
	if len(next.Members) == 0 {
		return // no cluster is to have it: it begins when there is one
	}
	if from != nil {
		t.unqueue()
	}
	t.begin(next, from)
}

// rejects reports whether the Rollout must not begin because no wave takes those clusters.
func (r *Rollout) rejects(left []*Cluster) bool {
	return len(left) > 0 && r.Kind == Forward && r.Policy.Unmatched == fleet.UnmatchedReject
}

// begin makes next the Rollout under way: the one that was queued from now on, if one was.
func (t *turn) begin(next *Rollout, from *Rollout) {
	if from != nil {
		next.ID, next.Created, next.Version = from.ID, from.Created, from.Version
	} else {
		next.ID = t.newID()
	}
	next.NoRollback = t.App.NoRollback
	next.Started = t.Now
	if old := t.ro; old != nil && old.Phase.Active() {
		t.inherit(next, old)
		old.SupersededBy = next.ID
		next.CausedBy = old.ID
		clear(t.requests) // what it would have tried again in this step is given something else, or stays
		t.dispatched = nil
		t.phase(Superseded, ReasonNewerCandidate, "by "+next.ID)
	}
	if t.ro != nil {
		t.others = append(t.others, t.ro)
	}
	t.under(next)
	if t.newest == next.Target {
		t.track.Handled = next.Target
	}
	t.dropQueued(next.ID)
	message := fmt.Sprintf("%s: %s in %s", next.Target, number(len(next.Members), "cluster", "clusters"), number(len(next.Waves), "wave", "waves"))
	t.tell(Event{Type: "Started", Actor: next.Actor, Message: message + after("; reason: ", next.ChangeCause)})
	t.observe() // what it has inherited may have come to its end
}

// inherit takes over what the Rollout before has changed: what it had under way counts in the budgets of the next one,
// until that gives it something else.
func (t *turn) inherit(next, old *Rollout) {
	before := map[string]Member{}
	for _, m := range old.Members {
		before[m.Cluster] = m
	}
	for i := range next.Members {
		m, was := &next.Members[i], before[next.Members[i].Cluster]
		if !was.Moved || was.Phase == MemberRolledBack || was.Phase == MemberRemoved {
			continue
		}
		m.BaseAvailable, m.Moved, m.Inherited, m.Generation = was.BaseAvailable, true, was.inFlight(), was.Generation
		if m.Inherited {
			m.Deadline, m.Lost = was.Deadline, was.Lost
		}
	}
}

// enqueue has a Release wait for its turn, in place of another that waits.
func (t *turn) enqueue(target fleet.Digest, reason Reason, message string) {
	if t.Queued != nil && t.Queued.Target == target {
		t.requeue(t.Queued, reason, message)
		return
	}
	id := t.newID()
	t.dropQueued(id)
	queued := &Rollout{
		ID: id, Kind: Forward, Release: *t.App.Release, Target: target, Phase: Queued, Reason: reason, Message: message,
		Actor: System, Created: t.Now,
	}
	t.Queued = queued
	t.others = append(t.others, queued)
	t.tell(Event{Rollout: queued.ID, Type: string(Queued), Reason: string(reason), Message: message})
}

// requeue notes why a queued Rollout still waits.
func (t *turn) requeue(queued *Rollout, reason Reason, message string) {
	if queued.Reason == reason && queued.Message == message {
		return
	}
	next := *queued
	next.Reason, next.Message = reason, message
	t.others = append(t.others, &next)
}

// unqueue takes the queued Rollout out of the queue, to begin.
func (t *turn) unqueue() (queued *Rollout) {
	queued, t.Queued = t.Queued, nil
	return queued
}

// dropQueued ends what is queued: something newer is there, or it is not wanted any more.
func (t *turn) dropQueued(by string) {
	if t.Queued != nil {
		t.dequeued(Superseded, ReasonNewerCandidate, by, "it did not begin")
	}
}

// dequeued ends what is queued.
func (t *turn) dequeued(phase Phase, reason Reason, by, message string) {
	next := *t.Queued
	next.Phase, next.Reason, next.Message, next.SupersededBy, next.Finished = phase, reason, message, by, t.Now
	t.Queued = nil
	t.others = append(t.others, &next)
	t.tell(Event{Rollout: next.ID, Type: string(phase), Reason: string(reason), Message: message})
}

func clusterNames(clusters []*Cluster) string {
	text := ""
	for i, c := range clusters {
		if i == named {
			return text + fmt.Sprintf(" and %d more", len(clusters)-named)
		}
		if i > 0 {
			text += ", "
		}
		text += c.Name
	}
	return text
}
