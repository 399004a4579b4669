package rollout

import (
	"cmp"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// pruneAtOnce bounds the clusters in which the App is deleted at the same time because its Placement does not choose them
// any more, where that has a RolloutPolicy. A selector with a slip in it is noticed before it has emptied the fleet.
var pruneAtOnce = fleet.Percent(10)

// unmatch finds the clusters that have to wait until the App is deleted in them: others are at it.
func (t *turn) unmatch() {
	var waiting []*site
	have, busy := 0, 0
	for i := range t.sites {
		c := &t.sites[i]
		if !t.unmatched(c) {
			continue
		}
		have++
		switch {
		case c.row.Assignment.State == fleet.Active:
			waiting = append(waiting, c)
		case c.Connected:
			busy++
		}
	}
	if len(waiting) == 0 {
		return
	}
	for i := range t.sites {
		if t.sites[i].has {
			have++
		}
	}
	have -= len(waiting) // counted twice
	slices.SortFunc(waiting, func(a, b *site) int { return cmp.Compare(a.Name, b.Name) })
	t.keeps = map[string]bool{}
	for _, c := range waiting {
		if t.frozen(c.Cluster) || !c.Connected || busy >= pruneAtOnce.AtLeastOneOf(have) {
			t.keeps[c.ID] = true
			continue
		}
		busy++
		t.tell(Event{Rollout: t.track.foundBy(t.track.Stable), Type: "Prune", Cluster: c.Name, Message: "its Placement does not choose it any more"})
	}
}

// Unmatched are the clusters, by id, of which unmatch decides when the App is deleted in them, or in which it is being
// deleted: what has them lose it is declared already.
func (s State) Unmatched() map[string]bool {
	t := turn{State: s}
	t.settle()
	found := map[string]bool{}
	for i := range t.sites {
		if c := &t.sites[i]; t.unmatched(c) {
			found[c.ID] = true
		}
	}
	return found
}

// unmatched reports whether the App is to be deleted in a cluster, or is being, because a Placement put it there and does
// not choose it any more. One without a RolloutPolicy has all of them go at once, but for what is frozen.
func (t *turn) unmatched(c *site) bool {
	current := c.row.Assignment
	if current == nil || c.row.Removed || c.Terminating || t.Deletion != nil || t.App == nil {
		return false
	}
	former, known := t.former(c.row)
	if !known || former.OnUnmatch != fleet.UnmatchPrune || former.RolloutPolicyRef == nil && !t.frozen(c.Cluster) || c.placed {
		return false
	}
	return current.State == fleet.Active || current.Tombstone != nil && current.Tombstone.Delete
}

// former is the Placement that put a row there.
func (s *State) former(row *Row) (Placement, bool) {
	if s.Placement != nil && s.Placement.Name == row.Placement {
		return *s.Placement, true
	}
	former, known := s.Former[row.Placement]
	return former, known
}
