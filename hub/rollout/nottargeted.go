package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// NotTargeted are the clusters that the Rollout under way is not about, and why, in the order of their names. Of rows it looks
// only at whether the App is there.
func (s State) NotTargeted() []NotTargeted {
	if s.Active == nil {
		return nil
	}
	members := make(map[string]bool, len(s.Active.Members))
	for _, m := range s.Active.Members {
		members[m.Cluster] = true
	}
	var others []NotTargeted
	for i := range s.Clusters {
		if c := &s.Clusters[i]; !members[c.ID] {
			others = append(others, NotTargeted{Cluster: c.Name, Why: s.passedOver(c, s.Rows[i].has())})
		}
	}
	slices.SortFunc(others, func(a, b NotTargeted) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return others
}

// passedOver says why a cluster is no member of the Rollout under way.
func (s *State) passedOver(c *Cluster, there bool) string {
	if s.Placement == nil {
		return "no Placement names the App any more"
	}
	if out := s.displaced(c, there); out != "" {
		return out
	}
	policy := s.Active.Policy
	if s.Active.Kind == Backward && s.Policy != nil { // its own is one wave of those that this one takes
		policy = s.Policy.WithDefaults()
	}
	if policy.Unmatched == fleet.UnmatchedLast || slices.ContainsFunc(policy.Waves, func(w fleet.Wave) bool { return w.Limit == nil && (w.Select == nil || w.Select.Matches(c.Labels)) }) {
		return "it came when the Rollout had begun: it gets what is stable, outside of the waves"
	}
	return fmt.Sprintf("no wave takes it, and spec.unmatched is %s", policy.Unmatched)
}
