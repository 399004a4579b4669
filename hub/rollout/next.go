package rollout

import (
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Next decides what each cluster's Assignment of one App should be. It is pure: the same State gives the same Step.
func Next(s State) Step {
	step := Step{Put: map[string]Put{}}
	for _, cluster := range s.Clusters {
		row, exists := s.Rows[cluster.ID]
		if row.Assignment == nil && !s.places(cluster) && row.Ending == nil {
			continue
		}
		put, drop := s.decide(cluster, row)
		if put != nil && !row.Approved.IsZero() {
			step.Spent = append(step.Spent, cluster.ID)
		}
		switch {
		case drop:
			step.Drop = append(step.Drop, cluster.ID)
		case put != nil && (!exists || changes(row, *put)):
			s.number(&put.Assignment, row.Assignment)
			step.Put[cluster.ID] = *put
		}
		if (row.Confirmed || row.Ending != nil) && !drop && staysActive(put, row) {
			step.Lapse = append(step.Lapse, cluster.ID)
		}
	}
	return step
}

// staysActive reports whether the row is Active once put, if any, is written.
func staysActive(put *Put, row Row) bool {
	if put != nil {
		return put.Assignment.State == fleet.Active
	}
	return row.Assignment != nil && row.Assignment.State == fleet.Active
}

// places reports whether the App should run in the cluster.
func (s State) places(cluster Cluster) bool {
	return s.App != nil && s.Placement != nil && !cluster.Terminating &&
		s.Placement.Clusters.Matches(cluster.Name, cluster.Labels)
}

// decide returns what the cluster's row should be; nil leaves it as it is, drop ends it.
func (s State) decide(cluster Cluster, row Row) (put *Put, drop bool) {
	current := row.Assignment
	done := current != nil && current.State == fleet.Removed && row.Removed
	switch {
	case s.places(cluster):
		// Before a finished tombstone is dropped: a row that only goes would leave the App without one, and nothing that
		// changes later would name it.
		put = s.active(cluster, row)
		return put, done && put == nil
	case done:
		return nil, true
	case current == nil || current.State == fleet.Removed:
		return s.ending(row), false
	}
	tombstone := s.tombstone(cluster, row)
	if tombstone == nil {
		return nil, false
	}
	tombstone.Confirmed = tombstone.Delete && row.Confirmed
	next := *current
	next.State, next.Tombstone = fleet.Removed, tombstone
	next.ApprovedPrune = approved(row, next)
	return &Put{Assignment: next, Placement: row.Placement}, false
}

// active is the row of a cluster the App is placed on; nil while there is no Release to run. While a new one waits for a
// dependency, the one before stays.
func (s State) active(cluster Cluster, row Row) *Put {
	next := fleet.Assignment{App: s.Key, State: fleet.Active, Controls: s.App.Controls, Declared: s.App.Declared}
	current := row.Assignment
	switch {
	case s.App.Release != nil && !s.waits(cluster):
		next.Release = *s.App.Release
	case current != nil && !row.Removed && !current.Release.Manifest.IsZero(): // declared anew and not built yet
		next.Release = current.Release
	default:
		return nil
	}
	if next.Declared != nil && s.App.Release != nil && next.Release.Digest() != s.App.Release.Digest() {
		before := *next.Declared
		before.Observed = min(before.Observed, before.Generation-1) // the cluster is not told what was made of this one
		next.Declared = &before
	}
	next.Binding = s.binding(cluster, next.Release)
	if next.RequestedAt = later(s.App.Controls.RequestedAt, row.RequestedAt); next.RequestedAt == row.RequestedAt {
		if row.Force {
			next.Helm.ForceAt = row.RequestedAt
		}
		if row.Reset {
			next.Helm.ResetAt = row.RequestedAt
		}
	}
	next.ApprovedPrune = approved(row, next)
	if next.Declared != nil && len(next.Encode()) > fleet.MaxAssignment {
		next.Declared = nil // an expression that looks at it says so
	}
	return &Put{Assignment: next, Placement: s.Placement.Name}
}

// waits reports whether a cluster must not have a new Release of the App yet: a dependency of the same Source is not at
// its Revision, or the cluster has not been told of that. In a cluster that is not to have the dependency, the spoke
// says so.
func (s State) waits(cluster Cluster) bool {
	return slices.ContainsFunc(s.App.Prerequisites, func(p Prerequisite) bool {
		runs, there := p.Rows[cluster.ID]
		return p.Lacks != "" || there && runs != p.Release
	})
}

// binding is what the cluster adds to a Release. Variables are for an App that takes them only, so that a label that
// changes touches no other.
func (s State) binding(cluster Cluster, release fleet.Release) fleet.Binding {
	app := fleet.AppRef{Kind: s.Key.Kind, Name: s.Key.Name}
	binding := fleet.Binding{
		Patches: s.Placement.PatchesFor(app, cluster.Name, cluster.Labels), Values: s.Placement.ValuesFor(app, cluster.Name, cluster.Labels),
	}
	if release.TakesVariables() {
		binding.Variables = cluster.Spec.VariablesIn(cluster.Name, cluster.Labels)
	}
	return binding
}

// tombstone says how an Active Assignment ends that no longer has a place: a row of the deletion table each.
func (s State) tombstone(cluster Cluster, row Row) *fleet.Tombstone {
	former, known := s.Former[row.Placement]
	if s.Placement != nil && s.Placement.Name == row.Placement {
		former, known = *s.Placement, true
	}
	switch {
	case cluster.Terminating:
		return &fleet.Tombstone{}
	case s.Deletion != nil:
		return &fleet.Tombstone{Delete: s.Deletion.Delete, Wait: s.Deletion.Wait}
	case s.App == nil, !known:
		return nil // nobody ended it: the declaration is missing, not deleted
	}
	return &fleet.Tombstone{Delete: former.OnUnmatch == fleet.UnmatchPrune}
}

// ending carries a person's order out on a row that has no place: one that only the spoke knows of, or a tombstone
// whose deletion is held.
func (s State) ending(row Row) *Put {
	switch {
	case row.Ending != nil:
		next := fleet.Assignment{App: s.Key, Release: fleet.Release{App: s.Key}}
		if row.Assignment != nil {
			next = *row.Assignment
		}
		next.State = fleet.Removed
		next.Tombstone = &fleet.Tombstone{Delete: row.Ending.Delete, Wait: row.Ending.Wait, Confirmed: row.Ending.Delete && row.Confirmed}
		return &Put{Assignment: next, Placement: row.Placement}
	case row.Assignment != nil:
		next := *row.Assignment
		next.ApprovedPrune = approved(row, next)
		return &Put{Assignment: next, Placement: row.Placement}
	}
	return nil
}

// approved is the approval that next carries: one given for exactly what the spoke holds, until the cluster is to run
// something else, or the spoke says that it holds that set no more: it has let all of it go, or the set has changed.
func approved(row Row, next fleet.Assignment) fleet.Digest {
	current := row.Assignment
	switch {
	case current == nil || current.RunDigest() != next.RunDigest():
		return fleet.Digest{}
	case !row.Approved.IsZero() && row.Approved == row.Held && !row.Outdated:
		return row.Approved
	case row.Reported && row.Held != current.ApprovedPrune:
		return fleet.Digest{}
	}
	return current.ApprovedPrune
}

// later is the instance's own reconcile request b where it is newer than the App's a, else a. An a that is no time, as
// anyone may write into the annotation, stands.
func later(a, b string) string {
	if a == "" {
		return b
	}
	at, errA := time.Parse(time.RFC3339Nano, a)
	bt, errB := time.Parse(time.RFC3339Nano, b)
	if errA == nil && errB == nil && bt.After(at) {
		return b
	}
	return a
}

// changes reports whether put differs from the row as it is, numbers aside.
func changes(row Row, put Put) bool {
	if row.Assignment == nil {
		return true
	}
	next := put.Assignment
	next.Generation, next.Pin = row.Assignment.Generation, row.Assignment.Pin
	return row.Placement != put.Placement || string(next.Encode()) != string(row.Assignment.Encode())
}

// number gives next this step's generation, and as its pin the generation at which what it runs last changed.
func (s State) number(next *fleet.Assignment, current *fleet.Assignment) {
	next.Generation, next.Pin = s.Generation, s.Generation
	if current != nil && current.State == next.State && current.Release.Digest() == next.Release.Digest() &&
		current.Binding.Digest() == next.Binding.Digest() {
		next.Pin = current.Pin
	}
}
