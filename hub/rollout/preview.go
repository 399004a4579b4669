package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

// Preview is a Rollout as it would begin now.
type Preview struct {
	// Rollout has no ID. It is Queued where it would not begin now; Message says that, and what it would wait for first.
	// The messages of its members say what is in their way, and BaseAvailable whether they serve now.
	Rollout Rollout
	// Left are the clusters that it would not update now, in the order of their names.
	Left []NotTargeted
	// Least is the time that each wave takes at least, by its place: what the policy has it wait for where every cluster that
	// can be updated as it is gets there. None: a window that is needed never opens.
	Least []time.Duration
}

// NotTargeted is a cluster that does not get a Release, and why.
type NotTargeted struct{ Cluster, Why string }

// Plan is what a Rollout to a Release would be: zero, the App's newest. A policy takes the place of the Placement's; nil:
// that one.
func Plan(s State, target fleet.Digest, policy *fleet.RolloutPolicy) (Preview, error) {
	switch {
	case s.App == nil:
		return Preview{}, fmt.Errorf("%s: %w", s.Key.Words(), fleet.ErrNotFound)
	case s.Placement == nil:
		return Preview{}, fmt.Errorf("%w: no Placement names %s: no cluster is to have it", fleet.ErrConflict, s.Key.Words())
	case policy != nil:
		_, err := schedule.Parse(policy.Windows)
		if err := errors.Join(policy.Validate(), err); err != nil {
			return Preview{}, err
		}
		s.Policy = &Policy{RolloutPolicy: *policy}
	}
	s.Managed = true
	t := begin(s)
	if err := t.lacksPolicy(); err != nil {
		return Preview{}, err
	}
	t.adopt()
	t.watch()
	release, err := t.releaseOf(target)
	if err != nil {
		return Preview{}, err
	}
	kind := t.kindTo(release.Digest())
	if policy != nil {
		kind = Forward // what a policy does is asked, whatever clusters have now
	}
	next, left := t.plan(kind, release, t.Policy.RolloutPolicy)
	next.NoRollback = t.App.NoRollback
	before := t.ro
	t.under(next)
	t.hinders(before, left)
	t.sum()
	return Preview{Rollout: *next, Left: t.left(left), Least: t.least(before)}, nil
}

// releaseOf finds a Release that was built; zero: the newest.
func (t *turn) releaseOf(target fleet.Digest) (fleet.Release, error) {
	if target.IsZero() && t.newest.IsZero() {
		return fleet.Release{}, fmt.Errorf("a Release of %s: %w: none is built yet", t.Key.Words(), fleet.ErrNotFound)
	}
	if target.IsZero() || target == t.newest {
		return *t.App.Release, nil
	}
	if release, known := t.Releases[target]; known {
		return release, nil
	}
	return fleet.Release{}, fmt.Errorf("Release %s of %s: %w", target, t.Key.Words(), fleet.ErrNotFound)
}

// kindTo is the direction of a Rollout to a Release.
func (t *turn) kindTo(target fleet.Digest) Kind {
	if target == t.track.Stable {
		return Backward
	}
	return Forward
}

// hinders notes why the Rollout would not begin, or not go forward, now: in place of, or beside, the one before.
func (t *turn) hinders(before *Rollout, left []*Cluster) {
	next := t.ro
	var told []string
	tell := func(phase Phase, reason Reason, message string) {
		if next.Reason == "" {
			next.Phase, next.Reason = phase, reason
		}
		told = append(told, message)
	}
	if next.rejects(left) {
		tell(Queued, ReasonUnmatched, fmt.Sprintf("no wave takes %s, and spec.unmatched is Reject", clusterNames(left)))
	}
	if t.track.Outcome(next.Target) == Bad {
		tell(Queued, ReasonAwaitingStart, "its Release has failed before: only `fleetctl rollout start --allow-bad` begins it")
	}
	if len(next.Members) == 0 {
		tell(Queued, ReasonWaitingClusters, "no cluster is to have it")
	}
	if before != nil && before.Phase.Active() {
		message := fmt.Sprintf("%s to %s is %s", before.ID, before.Target, before.Phase)
		if before.Target == next.Target {
			tell(Queued, ReasonNewerCandidate, message+": it is the Rollout to this Release")
		} else if t.supersedes(before) {
			told = append(told, message+": this one takes its place")
		} else {
			tell(Queued, ReasonNewerCandidate, message+": this one waits for its end")
		}
	}
	if reason, message := t.heldBack(); reason != "" {
		tell(Queued, reason, message)
	}
	if reason, message := t.closed(); reason != "" {
		tell(Running, reason, message)
	}
	there := 0
	for i := range next.Members {
		m := &next.Members[i]
		m.Message, _ = t.ineligible(m)
		m.BaseAvailable = t.at(m).serves
		if t.arrived(m) {
			there++
		}
	}
	if there > 0 && there == len(next.Members) {
		told = append(told, "every cluster that it is about has the Release already")
	}
	told = append(told, t.surprises()...)
	next.Message = strings.Join(told, "; ")
}

// surprises are what the policy says and a person may not have meant.
func (t *turn) surprises() (told []string) {
	for i := range t.ro.Waves {
		switch w := &t.ro.Waves[i]; {
		case w.Size > 0 || len(t.ro.Members) == 0:
		case t.ro.policyOf(i).Required:
			told = append(told, "wave "+w.Name+" takes no cluster, and is required: it halts there")
		default:
			told = append(told, "wave "+w.Name+" takes no cluster")
		}
	}
	if t.ro.NoRollback && t.ro.Policy.OnFailure.Action == fleet.RollbackOnFailure {
		told = append(told, "on failure it halts, and nothing is rolled back: the App's annotation "+NoRollbackAnnotation+" says so")
	}
	return told
}

// left are the clusters that do not get the Release, or not yet because somebody holds them.
func (t *turn) left(unmatched []*Cluster) []NotTargeted {
	why := make(map[string]string, len(unmatched))
	for _, c := range unmatched {
		why[c.ID] = fmt.Sprintf("no wave takes it, and spec.unmatched is %s", t.ro.Policy.Unmatched)
	}
	var left []NotTargeted
	for i := range t.sites {
		c := &t.sites[i]
		text, out := why[c.ID], t.displaced(c.Cluster, c.has)
		switch {
		case out != "":
			text = out
		case text == "" && c.Held != "":
			text = "it is held, and gets the Release once it is not: " + c.Held
		}
		if text != "" {
			left = append(left, NotTargeted{Cluster: c.Name, Why: text})
		}
	}
	slices.SortFunc(left, func(a, b NotTargeted) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return left
}

// displaced says why the App is not placed on a cluster, in which it is already, or is not; empty: it is placed.
func (s *State) displaced(c *Cluster, there bool) string {
	switch {
	case c.Terminating:
		return "it is being deleted"
	case !s.Placement.Clusters.Matches(c.Name, c.Labels):
		return fmt.Sprintf("Placement %s does not choose it", s.Placement.Name)
	}
	taint, keptOff := s.Placement.KeptOffBy(c.Spec.Taints, there)
	if !keptOff {
		return ""
	}
	return fmt.Sprintf("its taint %s is not tolerated by Placement %s", taint, s.Placement.Name)
}
