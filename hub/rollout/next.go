package rollout

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Next decides what each cluster's Assignment of one App should be. It is pure: the same State gives the same Step.
func Next(s State) Step {
	step, err := Act(s, nil)
	if err != nil {
		panic("a step without a command refuses nothing: " + err.Error())
	}
	return step
}

// Act is Next with a Command, which is carried out first.
func Act(s State, c Command) (Step, error) {
	t, step, err := act(s, c)
	if inspect != nil && err == nil {
		inspect(s, c, t, step)
	}
	return step, err
}

// inspect looks at each step where tests run: what must always hold is asserted there.
var inspect func(s State, c Command, t *turn, step Step)

func act(s State, c Command) (*turn, Step, error) {
	t := begin(s)
	t.commanded = c != nil
	switch {
	case c != nil && (s.App == nil || s.Placement == nil):
		return t, Step{}, fmt.Errorf("a Rollout of %s: %w: it is not declared, or no Placement names it", s.Key.Words(), fleet.ErrNotFound)
	case s.App == nil || s.Placement == nil:
		t.abandon()
	case s.Managed:
		t.adopt()
		t.watch()
		if c != nil {
			if err := c.apply(t); err != nil {
				return t, Step{}, err
			}
		}
		t.candidate() // first: what is superseded goes nowhere any more
		t.steer()
		t.catchUp()
	case c == nil:
		t.dropQueued("")
	default:
		return t, Step{}, fmt.Errorf("%w: the Placement of %s names no RolloutPolicy: its Releases go to every cluster at once", fleet.ErrConflict, s.Key.Words())
	}
	return t, t.write(), nil
}

// rows decides what is written for each cluster.
func (t *turn) rows() Step {
	s := &t.State
	step := Step{Put: map[string]Put{}}
	t.unmatch()
	for i := range t.sites {
		site := &t.sites[i]
		cluster, row := site.Cluster, site.row
		if at, asked := t.requests[cluster.ID]; asked {
			// What somebody wanted beside an earlier request, such as force, has been done once.
			if s.asksAnew(row) {
				delete(t.requests, cluster.ID) // somebody's own is not handed on yet, and has the spoke try again as well
			} else {
				again := *row
				again.RequestedAt, again.Force, again.Reset = at, false, false
				row = &again
			}
		}
		if row.Assignment == nil && !site.placed && row.Ending == nil || t.untouched(site, row) {
			continue
		}
		put, drop := t.decide(site, row)
		if put != nil && !row.Approved.IsZero() {
			step.Spent = append(step.Spent, cluster.ID)
		}
		switch {
		case drop:
			step.Drop = append(step.Drop, cluster.ID)
		case put != nil && changes(row, *put):
			s.number(&put.Assignment, row.Assignment)
			step.Put[cluster.ID] = *put
		case put == nil && t.keeps[cluster.ID]:
			step.Later = append(step.Later, cluster.ID)
		}
		if (row.Confirmed || row.Ending != nil) && !drop && !t.keeps[cluster.ID] && staysActive(put, row) {
			step.Lapse = append(step.Lapse, cluster.ID)
		}
	}
	return step
}

// untouched reports whether nothing is asked of a row that is as it should be: what most rows are in most steps of a
// Rollout, told without making what would be written.
func (t *turn) untouched(site *site, row *Row) bool {
	current, cluster := row.Assignment, site.ID
	_, given := t.want[cluster]
	_, asked := t.requests[cluster]
	switch {
	case !t.Managed, current == nil, current.State != fleet.Active, given, asked, t.rebind[cluster], t.gone[cluster],
		row.Confirmed, row.Ending != nil, !row.Approved.IsZero(), !current.ApprovedPrune.IsZero(), row.Removed,
		t.Placement == nil, row.Placement != t.Placement.Name, !site.placed:
		return false
	}
	if t.App.Declared != nil || current.Declared != nil {
		return false
	}
	if row.RequestedAt == "" { // spares most rows a copy of the Controls
		return t.App.Controls == current.Controls
	}
	controls := t.App.Controls
	t.asked(&controls, row)
	return controls == current.Controls
}

// asked puts a request of this instance only into what the App is to do.
func (s *State) asked(c *fleet.Controls, row *Row) {
	if c.RequestedAt = fleet.NewerRequest(s.App.Controls.RequestedAt, row.RequestedAt); c.RequestedAt == row.RequestedAt {
		if row.Force {
			c.Helm.ForceAt = row.RequestedAt
		}
		if row.Reset {
			c.Helm.ResetAt = row.RequestedAt
		}
	}
}

// asksAnew reports whether the row has a request that the Assignment does not carry yet.
func (s *State) asksAnew(row *Row) bool {
	return row.RequestedAt != "" && row.Assignment != nil && row.Assignment.RequestedAt != row.RequestedAt &&
		fleet.NewerRequest(s.App.Controls.RequestedAt, row.RequestedAt) == row.RequestedAt
}

// staysActive reports whether the row is Active once put, if any, is written.
func staysActive(put *Put, row *Row) bool {
	if put != nil {
		return put.Assignment.State == fleet.Active
	}
	return row.has()
}

// places returns what says whether the App should run in a cluster, in which it is already, or is not.
func (s *State) places() func(cluster *Cluster, there bool) bool {
	if s.App == nil || s.Placement == nil {
		return func(*Cluster, bool) bool { return false }
	}
	chosen := s.Placement.Clusters.Matcher()
	return func(cluster *Cluster, there bool) bool {
		return !cluster.Terminating && chosen(cluster.Name, cluster.Labels) && s.Placement.Tolerates(cluster.Spec.Taints, there)
	}
}

// decide returns what the cluster's row should be; nil leaves it as it is, drop ends it.
func (t *turn) decide(cluster *site, row *Row) (put *Put, drop bool) {
	s, current := &t.State, row.Assignment
	done := current != nil && current.State == fleet.Removed && row.Removed
	switch {
	case t.gone[cluster.ID] && current != nil:
		next := *current
		next.State, next.Tombstone = fleet.Removed, &fleet.Tombstone{Delete: true, Confirmed: true}
		return &Put{Assignment: next, Placement: row.Placement}, false
	case cluster.placed && t.stays(cluster, row):
		return s.ending(row), false
	case cluster.placed:
		// Before a finished tombstone is dropped: a row that only goes would leave the App without one, and nothing that
		// changes later would name it.
		put = t.active(cluster, row)
		return put, done && put == nil
	case done:
		return nil, true
	case current == nil || current.State == fleet.Removed:
		return s.ending(row), false
	case t.keeps[cluster.ID]:
		return nil, false
	}
	tombstone := s.tombstone(cluster.Cluster, row)
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
func (t *turn) active(cluster *site, row *Row) *Put {
	s := &t.State
	next := fleet.Assignment{App: s.Key, State: fleet.Active, Controls: s.App.Controls, Declared: s.App.Declared}
	release, known := t.release(cluster, row)
	if !known {
		return nil
	}
	next.Release = release
	if next.Declared != nil && s.App.Release != nil && next.Release.Digest() != t.newest {
		before := *next.Declared
		before.Observed = min(before.Observed, before.Generation-1) // the cluster is not told what was made of this one
		next.Declared = &before
	}
	next.Binding = t.bindingOf(cluster, row, next.Release)
	s.asked(&next.Controls, row)
	next.ApprovedPrune = approved(row, next)
	if next.Declared != nil && len(next.Encode()) > fleet.MaxAssignment {
		next.Declared = nil // an expression that looks at it says so
	}
	return &Put{Assignment: next, Placement: s.Placement.Name}
}

// release is what a placed cluster is to run: what a Rollout gives it, else what it has, else, where no policy is, the
// newest Release.
func (t *turn) release(cluster *site, row *Row) (fleet.Release, bool) {
	current := row.Assignment
	wanted, given := t.want[cluster.ID]
	switch {
	case given:
		return wanted, true
	case !t.Managed && t.App.Release != nil && !t.frozen(cluster.Cluster) && t.lacks(cluster.Cluster) == "":
		return *t.App.Release, true
	case current != nil && !row.Removed && !current.Release.Manifest.IsZero(): // declared anew and not built yet
		return current.Release, true
	}
	return fleet.Release{}, false
}

// bindingOf is what the cluster is to add. A change of it alone waits for its turn where a policy is, and for the end of a
// freeze or a hold elsewhere.
func (t *turn) bindingOf(cluster *site, row *Row, release fleet.Release) fleet.Binding {
	_, given := t.want[cluster.ID]
	waits := t.Managed && !t.rebind[cluster.ID] || !t.Managed && t.frozen(cluster.Cluster)
	if waits && !given && row.has() {
		return row.Assignment.Binding
	}
	return t.binding(cluster.Cluster, release)
}

// frozen reports whether nothing new goes to the cluster: by a freeze of the fleet, or a hold of its own.
func (s *State) frozen(cluster *Cluster) bool { return s.Freeze != "" || cluster.Held != "" }

// lacks says what a cluster lacks for a new Release of the App: a dependency of the same Source is not at its Revision, or
// the cluster has not been told of that. Empty: nothing. In a cluster that is not to have the dependency, the spoke says so.
func (s *State) lacks(cluster *Cluster) string {
	for _, p := range s.App.Prerequisites {
		if p.Lacks != "" {
			return p.Lacks
		}
		if runs, there := p.Rows[cluster.ID]; there && runs != p.Release {
			return "what it depends on"
		}
	}
	return ""
}

// binding is what the cluster adds to a Release. Variables are for an App that takes them only, so that a label that
// changes touches no other.
func (s *State) binding(cluster *Cluster, release fleet.Release) fleet.Binding {
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
func (s *State) tombstone(cluster *Cluster, row *Row) *fleet.Tombstone {
	former, known := s.former(row)
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
func (s *State) ending(row *Row) *Put {
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
func approved(row *Row, next fleet.Assignment) fleet.Digest {
	current := row.Assignment
	switch {
	case current == nil || row.Approved.IsZero() && current.ApprovedPrune.IsZero(): // there is none: what most rows are
		return fleet.Digest{}
	case current.RunDigest() != next.RunDigest():
		return fleet.Digest{}
	case !row.Approved.IsZero() && row.Approved == row.Held && !row.Outdated:
		return row.Approved
	case row.Reported && row.Held != current.ApprovedPrune:
		return fleet.Digest{}
	}
	return current.ApprovedPrune
}

// changes reports whether put differs from the row as it is, numbers aside.
func changes(row *Row, put Put) bool {
	if row.Assignment == nil {
		return true
	}
	next := put.Assignment
	next.Generation, next.Pin = row.Assignment.Generation, row.Assignment.Pin
	return row.Placement != put.Placement || next.Release.Manifest != row.Assignment.Release.Manifest || next.State != row.Assignment.State ||
		string(next.Encode()) != string(row.Assignment.Encode())
}

// number gives next this step's generation, and as its pin the generation at which what it runs last changed.
func (s *State) number(next, current *fleet.Assignment) {
	next.Generation, next.Pin = s.Generation, s.Generation
	if current != nil && current.State == next.State && current.Release.Manifest == next.Release.Manifest &&
		current.Release.Digest() == next.Release.Digest() && current.Binding.Digest() == next.Binding.Digest() {
		next.Pin = current.Pin
	}
}
