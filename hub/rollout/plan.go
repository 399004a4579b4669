package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"flotilla.dev/flotilla/pkg/fleet"
)

// plan is a Rollout to a Release as it would begin now, without a name, and the clusters that no wave takes.
func (t *turn) plan(kind Kind, target fleet.Release, policy fleet.RolloutPolicy) (*Rollout, []*Cluster) {
	ro := &Rollout{
		Kind: kind, Release: target, Target: target.Digest(), Policy: policy, Phase: Running, Created: t.Now, Actor: System,
	}
	left := t.placed()
	var out []*Cluster
	if kind == Backward {
		left, out = split(left, t.included(policy, ro.Target))
		ro.Policy = backwards(policy)
	}
	ro.Members = make([]Member, 0, len(left))
	for i := range ro.Policy.Waves {
		var taken []*Cluster
		taken, left = take(ro.Policy.Waves[i], left, ro.Target)
		ro.wave(ro.Policy.Waves[i], taken)
	}
	if len(left) > 0 && ro.Policy.Unmatched == fleet.UnmatchedLast {
		rest := ro.Policy.RestWave()
		var taken []*Cluster
		taken, left = take(rest, left, ro.Target)
		ro.wave(rest, taken)
	}
	for i := range ro.Members {
		ro.Members[i].Base = t.base(t.site(ro.Members[i].Cluster))
	}
	ro.MaxUnavailable = ro.Policy.MaxUnavailable.AtLeastOneOf(len(ro.Members))
	ro.Plan = ro.digest()
	return ro, append(left, out...)
}

// placed are the clusters that the App is placed on.
func (t *turn) placed() []*Cluster {
	var placed []*Cluster
	for i := range t.sites {
		if t.sites[i].placed {
			placed = append(placed, t.sites[i].Cluster)
		}
	}
	return placed
}

// backwards is the policy of a Rollout to what was good before: one wave, as many at a time as in a rollback, no gates.
func backwards(p fleet.RolloutPolicy) fleet.RolloutPolicy {
	all := p.RestWave()
	all.Name, all.MaxConcurrent = "all", p.OnFailure.MaxConcurrent
	p.Waves, p.Windows, p.Unmatched = []fleet.Wave{all}, nil, fleet.UnmatchedExclude
	p.Cluster.PreexistingUnhealthy = fleet.UnhealthyUpdate // what does not serve is what is to be mended
	return p
}

// take splits off the clusters that a wave takes, in their order. Those that are left are where all of them were.
func take(w fleet.Wave, from []*Cluster, target fleet.Digest) (taken, left []*Cluster) {
	selected := fleet.Selector{}.Matcher()
	if w.Select != nil {
		selected = w.Select.Matcher()
	}
	taken, left = split(from, func(c *Cluster) bool { return selected(c.Labels) })
	order(w.Order, taken, target)
	if w.Limit != nil {
		n := min(w.Limit.AtLeastOneOf(len(taken)), len(taken))
		left = append(left, taken[n:]...)
		taken = taken[:n:n]
	}
	return taken, left
}

// split parts clusters by whether they are in. The others are where all of them were.
func split(clusters []*Cluster, in func(*Cluster) bool) (those, others []*Cluster) {
	others = clusters[:0]
	for _, c := range clusters {
		if in(c) {
			those = append(those, c)
		} else {
			others = append(others, c)
		}
	}
	return those, others
}

// included says of clusters whether the policy is about them at all.
func (t *turn) included(policy fleet.RolloutPolicy, target fleet.Digest) func(*Cluster) bool {
	if policy.Unmatched == fleet.UnmatchedLast {
		return func(*Cluster) bool { return true }
	}
	waves := WavesOf(policy, t.placed(), target)
	return func(c *Cluster) bool { return waves[c.ID] != "" }
}

// order sorts clusters as they get their turn.
func order(o fleet.WaveOrder, clusters []*Cluster, target fleet.Digest) {
	byName := func(a, b *Cluster) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
	switch o.By {
	case fleet.ByLabel:
		slices.SortFunc(clusters, func(a, b *Cluster) int {
			x, errX := strconv.Atoi(a.Labels[o.Key])
			y, errY := strconv.Atoi(b.Labels[o.Key])
			switch {
			case errX != nil && errY != nil:
				return byName(a, b)
			case errX != nil:
				return 1
			case errY != nil:
				return -1
			}
			return cmp.Or(cmp.Compare(x, y), byName(a, b))
		})
	case fleet.ByShuffle:
		place := make(map[string]uint64, len(clusters))
		for _, c := range clusters {
			sum := sha256.Sum256(append(target.Bytes(), c.ID...))
			place[c.ID] = binary.BigEndian.Uint64(sum[:])
		}
		slices.SortFunc(clusters, func(a, b *Cluster) int { return cmp.Or(cmp.Compare(place[a.ID], place[b.ID]), byName(a, b)) })
	default:
		slices.SortFunc(clusters, byName)
	}
}

// wave appends a wave of those clusters.
func (r *Rollout) wave(policy fleet.Wave, clusters []*Cluster) {
	n := len(clusters)
	w := Wave{
		Name: policy.Name, Phase: WavePending, Size: n,
		MaxConcurrent: policy.MaxConcurrent.AtLeastOneOf(n), MaxFailures: policy.MaxFailures.Of(n), MinUpdated: policy.MinUpdated.RoundedUpOf(n),
		Before: gatesOf(policy.Before), After: gatesOf(policy.After),
	}
	for i, c := range clusters {
		r.Members = append(r.Members, Member{Cluster: c.ID, Name: c.Name, Wave: len(r.Waves), Turn: i, Phase: MemberPending})
	}
	r.Waves = append(r.Waves, w)
}

// base is what a cluster goes back to: what it has, where that is good, else Stable; nothing where that is not known.
func (t *turn) base(s *site) fleet.Digest {
	if s.has && t.track.Outcome(s.row.Release) == Good {
		return s.row.Release
	}
	return t.track.Stable
}

// digest names target, policy and members of a plan.
func (r *Rollout) digest() fleet.Digest {
	type member struct {
		Cluster string
		Wave    int
	}
	members := make([]member, len(r.Members))
	for i, m := range r.Members {
		members[i] = member{Cluster: m.Cluster, Wave: m.Wave}
	}
	data, err := json.Marshal(struct {
		Target  fleet.Digest
		Policy  fleet.RolloutPolicy
		Members []member
	}{r.Target, r.Policy, members})
	if err != nil {
		panic(fmt.Sprintf("encode a plan: %v", err)) // it is made of texts and numbers
	}
	return fleet.DigestOf(data)
}

// rolloutID is the name of the Rollout that a step begins: the step's number, short enough to type.
func rolloutID(generation uint64) string { return "ro-" + strconv.FormatUint(generation, 36) }

// System is the actor of what nobody asked for.
const System = "system"
