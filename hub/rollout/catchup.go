package rollout

import (
	"maps"
	"slices"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// CatchUp is one cluster that gets something outside of a Rollout.
type CatchUp struct {
	// From is what it had, zero: nothing; To what it gets. They are the same where only its Binding changes.
	From fleet.Digest `json:"from,omitzero"`
	To   fleet.Digest `json:"to"`
	// Generation of its Assignment from which on reports count; zero: that of this step.
	Generation uint64 `json:"generation"`
	Deadline   Clock  `json:"deadline,omitzero"`
	// Failed: it stays at From, if it had something and the App lets go of To, until Stable is another one or somebody has it tried
	// again.
	Failed  bool   `json:"failed,omitempty"`
	Message string `json:"message,omitempty"`
}

// catchUp gives Stable to clusters that are new or were away, and to each cluster what changed for it alone, a few at a
// time. Members of a Rollout under way are left to it.
func (t *turn) catchUp() {
	busy := t.caughtUp()
	if t.Freeze != "" || t.App.Controls.Suspend || t.Policy == nil {
		return
	}
	policy := t.Policy.RolloutPolicy
	closed, _ := t.outside(policy.Windows)
	open, placed := closed == "", 0
	included := sync.OnceValue(func() func(*Cluster) bool { return t.included(policy, t.track.Stable) })
	for i := range t.sites {
		if t.sites[i].placed {
			placed++
		}
	}
	free := policy.CatchUp.MaxConcurrent.AtLeastOneOf(placed) - busy
	for i := range t.sites {
		if free <= 0 {
			return
		}
		c := &t.sites[i]
		if !c.placed || !c.Connected || c.Held != "" || t.belongs(c) {
			continue
		}
		if _, under := t.track.CatchingUp[c.ID]; under {
			continue
		}
		if t.catchUpOne(c, open, included) {
			free--
		}
	}
}

// belongs reports whether a Rollout under way decides what the cluster runs: of one that it passes over, too.
func (t *turn) belongs(s *site) bool {
	if t.ro == nil || !t.ro.Phase.Active() {
		return false
	}
	m := t.memberAt(s)
	return m != nil && m.Phase != MemberRemoved
}

// catchUpOne begins with one cluster, and reports whether there was something to do. What runs already changes in a window
// only.
func (t *turn) catchUpOne(c *site, open bool, included func() func(*Cluster) bool) bool {
	row := c.row
	stable, known := t.Releases[t.track.Stable]
	switch {
	case c.has && (row.Release == t.track.Stable || slices.Contains(t.track.Kept, row.Release) || !known):
		if !open || !t.bindingMoved(c) {
			return false
		}
		t.rebind[c.ID] = true
		t.track.catchUp(c.ID, CatchUp{From: row.Release, To: row.Release})
	case !known, t.newest == t.track.Stable && t.lacks(c.Cluster) != "", c.has && !open, !included()(c.Cluster):
		return false
	default:
		t.want[c.ID] = stable
		from := fleet.Digest{}
		if c.has {
			from = row.Release
		}
		t.track.catchUp(c.ID, CatchUp{From: from, To: t.track.Stable})
		t.tell(Event{Rollout: t.track.foundBy(t.track.Stable), Type: "CatchUp", Cluster: c.Name, Message: t.track.Stable.String()})
	}
	t.dispatched = append(t.dispatched, c.ID)
	u := t.track.CatchingUp[c.ID]
	u.Deadline.run(t.Now, true)
	t.track.CatchingUp[c.ID] = u
	t.due(t.Now.Add(t.Policy.Cluster.ProgressDeadline.OrZero()))
	return true
}

// caughtUp ends what has arrived or failed, and returns how many are under way. One that failed for its Binding keeps
// its place, so that a bad one stops by itself.
func (t *turn) caughtUp() (busy int) {
	if len(t.track.CatchingUp) == 0 {
		return 0
	}
	deadline := 10 * time.Minute
	if t.Policy != nil {
		deadline = t.Policy.Cluster.ProgressDeadline.OrZero()
	}
	maps.DeleteFunc(t.track.CatchingUp, func(id string, _ CatchUp) bool { _, exists := t.byID[id]; return !exists })
	for i := range t.sites {
		c := &t.sites[i]
		u, under := t.track.CatchingUp[c.ID]
		if !under {
			continue
		}
		if t.over(c, &u, deadline) {
			delete(t.track.CatchingUp, c.ID)
			continue
		}
		t.track.CatchingUp[c.ID] = u
		if !u.Failed || u.From == u.To {
			busy++
		}
	}
	return busy
}

// over brings one that is under way up to now, and reports whether nothing more is to be remembered of it: it is there, or
// something else has been decided since.
func (t *turn) over(c *site, u *CatchUp, deadline time.Duration) bool {
	row := c.row
	switch {
	case !c.placed || !c.has || t.belongs(c):
		return true
	case u.Failed && u.From == u.To:
		return t.bindingMoved(c)
	}
	var heard *Report
	if r := row.Report; r != nil && r.Release == u.To && row.Release == u.To && r.Generation >= max(u.Generation, row.Assignment.Pin) {
		heard = r
	}
	switch {
	case heard != nil && heard.Converged:
		if u.From != u.To { // its beginning was told too
			t.tell(Event{Rollout: t.track.foundBy(u.To), Type: "CaughtUp", Cluster: c.Name, Message: u.To.String()})
		}
		return true
	case u.Failed:
		return u.To != t.track.Stable
	}
	u.Deadline.run(t.Now, t.works(c.Cluster, heard))
	if t.spent(u.Deadline, deadline) || heard != nil && heard.Terminal {
		t.fallBack(c.Cluster, u, heard)
	}
	return false
}

// fallBack gives a cluster that has not caught up what it had before.
func (t *turn) fallBack(c *Cluster, u *CatchUp, heard *Report) {
	u.Failed, u.Message = true, "it did not get there in time"
	if heard != nil && heard.Message != "" {
		u.Message = heard.Message
	}
	u.Deadline.run(t.Now, false)
	switch before, known := t.Releases[u.From]; {
	case !known, u.From == u.To:
	case t.App.NoRollback:
		u.Message += "; it is not taken back: the App's annotation " + NoRollbackAnnotation + " says so"
	default:
		t.want[c.ID] = before
	}
	t.tell(Event{Rollout: t.track.foundBy(u.To), Type: "CatchUpFailed", Cluster: c.Name, Message: u.Message + "; `fleetctl rollout retry-cluster` has it tried again"})
}

// catchUp notes one that begins.
func (k *Track) catchUp(cluster string, u CatchUp) {
	if k.CatchingUp == nil {
		k.CatchingUp = map[string]CatchUp{}
	}
	k.CatchingUp[cluster] = u
}

// bindingMoved reports whether something changed for the cluster alone.
func (t *turn) bindingMoved(c *site) bool {
	a := c.row.Assignment
	return a.Binding.Digest() != t.binding(c.Cluster, a.Release).Digest()
}
