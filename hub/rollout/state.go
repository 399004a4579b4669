package rollout

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// State is all that decides about one App at one moment.
type State struct {
	Key fleet.Key
	// App as declared; nil: it is not.
	App *App
	// Deletion is set when the App was declared and was deleted by someone.
	Deletion *Deletion
	// Placement that names the App; nil: none does.
	Placement *Placement
	// Former holds the Placements that rows name and that no longer place the App, deleted ones included, by name.
	Former map[string]Placement
	// Clusters are all there are, by id.
	Clusters []Cluster
	// Rows are the App's Assignments and what is asked of them: one for each of Clusters, in their order, zero where there is
	// neither.
	Rows []Row
	// Generation is the number of this step: greater than that of any row.
	Generation uint64

	// Now is the time by the database, no earlier than at the step before.
	Now time.Time
	// Away is how long no hub listened since the step before.
	Away time.Duration
	// Managed: the Placement names a RolloutPolicy, or a Rollout is under way. Policy is what it names; nil: it is not there.
	Managed bool
	Policy  *Policy
	// Track is what is known of the App's Releases; nil: no policy was for it before.
	Track *Track
	// Active is the Rollout under way, Queued the one that waits; nil: none.
	Active, Queued *Rollout
	// Releases are those that Active, Queued, Track and a Command name, by digest.
	Releases map[fleet.Digest]fleet.Release
	// Freeze says why nothing in the fleet goes forward; empty: it does.
	Freeze string
}

// Policy is what the declaration of one says.
type Policy struct {
	Name string
	fleet.RolloutPolicy
}

// App is what its declaration says.
type App struct {
	// Release built from its Source's newest Revision that could be built; nil: none yet.
	Release  *fleet.Release
	Controls fleet.Controls
	// NoRollback: its Release cannot be taken back.
	NoRollback bool
	// Declared is set when an expression of a dependency looks at the App: another's, or its own.
	Declared *fleet.Declared
	// Prerequisites are what a new Release has to wait for.
	Prerequisites []Prerequisite
}

// Prerequisite is an App of the same Source that this one depends on.
type Prerequisite struct {
	// Lacks says why no cluster may have a Release before it; empty: some may.
	Lacks string
	// Release is the one it should run, and Rows those that it runs, by id of the clusters that have it.
	Release fleet.Digest
	Rows    map[string]fleet.Digest
}

// Deletion is what the deletion of an App means for its objects.
type Deletion struct {
	Delete bool `json:"delete"`
	Wait   bool `json:"wait"`
}

// Placement is what the declaration of one says.
type Placement struct {
	Name string
	fleet.Placement
}

// Cluster is a registered cluster.
type Cluster struct {
	ID     string
	Name   string
	Labels map[string]string
	// Spec as declared.
	Spec fleet.Cluster
	// Terminating clusters are to lose every App, and keep the objects.
	Terminating bool
	// Connected: it was heard lately. Held says why nothing new may go there; empty: it may.
	Connected bool
	Held      string
}

// Row is one Assignment, as it is and as what is asked of it.
type Row struct {
	// Assignment as last written; nil: there is none, and something is asked.
	Assignment *fleet.Assignment
	// Release is the digest of the Assignment's.
	Release fleet.Digest
	// Report is what the spoke said last; nil: nothing.
	Report *Report
	// Placement that put it there.
	Placement string
	// Removed: the spoke has carried the tombstone out.
	Removed bool
	// Held is the prune that the spoke's guard holds. Reported: the spoke said so of this very Assignment, whose Release it
	// has applied.
	Held     fleet.Digest
	Reported bool
	// Approved is the prune that a person approved since the last step; Outdated: for another Release than the Assignment's.
	Approved fleet.Digest
	Outdated bool
	// RequestedAt asks for a reconciliation of this instance only.
	RequestedAt string
	// Force and Reset are what that request wants of a HelmRelease beside.
	Force, Reset bool
	// Ending is a person's order to end what only the spoke knows of, or to carry a held tombstone out.
	Ending *Deletion
	// Confirmed: a person confirmed, by count, what the next tombstone deletes.
	Confirmed bool
}

// Step is what Next decided.
type Step struct {
	// Put are Assignments to write, by cluster id, with the Placement that puts them there.
	Put map[string]Put
	// Drop are clusters whose row goes: its tombstone is done.
	Drop []string
	// Later are clusters that are to lose the App's objects by what is declared, and are kept waiting: others are at it, or
	// they are out of reach, held, or frozen. A confirmation that is there for one stays until then.
	Later []string
	// Lapse are clusters in which a person's order to end the App, or its confirmation, is void: the App stays. What
	// deletes there later needs one of its own.
	Lapse []string
	// Spent are clusters in which a person's approval of a prune is in the Assignment from now on, or void: it counts once.
	Spent []string

	// Rollouts are those that changed, or are new.
	Rollouts []*Rollout
	// Track is the App's from now on; nil: as before. Forget drops it.
	Track  *Track
	Forget bool
	// Requests for a pass, by cluster id, as the value of reconcile.fluxcd.io/requestedAt.
	Requests map[string]string
	Events   []Event
	// Checks are to be made once the step is written.
	Checks []Check
	// Wake is when the App is to be looked at again; zero: when something changes.
	Wake time.Time
}

// Put is one Assignment to write.
type Put struct {
	Assignment fleet.Assignment
	Placement  string
}

// Empty reports whether nothing is to be written.
func (s Step) Empty() bool {
	return len(s.Put) == 0 && len(s.Drop) == 0 && len(s.Lapse) == 0 && len(s.Spent) == 0 &&
		len(s.Rollouts) == 0 && s.Track == nil && !s.Forget && len(s.Requests) == 0 && len(s.Events) == 0
}

// Deletes returns the clusters in which the step orders objects to be deleted.
func (s Step) Deletes() []string {
	var ids []string
	for id, put := range s.Put {
		if put.Assignment.Tombstone != nil && put.Assignment.Tombstone.Delete {
			ids = append(ids, id)
		}
	}
	return ids
}

// Names are the Releases that a step may give to clusters: those that are to be in State.Releases.
func (s State) Names() [][]byte {
	known := map[fleet.Digest]bool{{}: true}
	var names [][]byte
	add := func(d fleet.Digest) {
		if !known[d] {
			known[d] = true
			names = append(names, d.Bytes())
		}
	}
	if s.Track != nil {
		add(s.Track.Stable)
		for _, v := range s.Track.Verdicts {
			add(v.Release)
		}
		for _, u := range s.Track.CatchingUp {
			add(u.From)
		}
	}
	if s.Active != nil {
		for _, m := range s.Active.Members {
			add(m.Base)
		}
	}
	for i := range s.Rows {
		add(s.Rows[i].Release)
	}
	return names
}
