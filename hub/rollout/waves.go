package rollout

import (
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// WavesOf says in which wave of a policy each of the clusters would be, by cluster id, for those who only look at one.
// What no wave takes is left out. A shuffle is that of the target.
func WavesOf(policy fleet.RolloutPolicy, clusters []*Cluster, target fleet.Digest) map[string]string {
	policy = policy.WithDefaults()
	waves, left := map[string]string{}, slices.Clone(clusters)
	for _, w := range policy.Waves {
		var taken []*Cluster
		taken, left = take(w, left, target)
		for _, c := range taken {
			waves[c.ID] = w.Name
		}
	}
	if policy.Unmatched == fleet.UnmatchedLast {
		for _, c := range left {
			waves[c.ID] = fleet.LastWave
		}
	}
	return waves
}
