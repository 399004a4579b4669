package rollout

import (
	"math"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

// least is the time that each wave of the Rollout takes at least, by its place, where it begins now and every cluster that can
// be updated as it is gets there: what the policy alone has it wait for. What nobody knows is not in it: how long clusters, people
// and webhooks take. None, if a window that it needs never opens. Before is the Rollout that it may take the place of.
func (t *turn) least(before *Rollout) []time.Duration {
	windows, err := schedule.Parse(t.ro.Policy.Windows)
	if err != nil {
		return nil // it waits for them to be put right, as its message says
	}
	moved := movedBy(before)
	takes, at := make([]time.Duration, len(t.ro.Waves)), t.Now
	for i := range takes {
		if len(t.of(i)) == 0 {
			continue
		}
		entered, policy := at, t.ro.policyOf(i)
		updated, opens := t.leastToUpdate(i, at.Add(leastOf(policy.Before)), windows, moved)
		if !opens {
			return nil
		}
		at = updated.Add(leastOf(policy.After))
		takes[i] = at.Sub(entered)
	}
	return takes
}

// movedBy are the clusters that a Rollout under way has given something: to give them something else may take no room.
func movedBy(ro *Rollout) map[string]bool {
	moved := map[string]bool{}
	if ro == nil || !ro.Phase.Active() {
		return moved
	}
	for _, m := range ro.Members {
		moved[m.Cluster] = m.Moved
	}
	return moved
}

// leastToUpdate is when the clusters of a wave can be updated at the earliest, of which the first are from a time on; false:
// a window that is needed never opens. A cluster takes no less than minReady, and as many are updated at a time as the budgets
// have room for.
func (t *turn) leastToUpdate(wave int, at time.Time, windows schedule.Windows, moved map[string]bool) (time.Time, bool) {
	all, counting := 0, 0
	members := t.of(wave)
	for i := range members {
		m := &members[i]
		if _, defers := t.ineligible(m); defers != "" || t.arrived(m) {
			continue
		}
		all++
		if t.wouldCount(m) && !moved[m.Cluster] {
			counting++
		}
	}
	atATime, minReady := t.ro.Waves[wave].MaxConcurrent, t.ro.Policy.Cluster.MinReady.OrZero()
	rounds := max(divUp(all, atATime), divUp(counting, min(atATime, t.ro.MaxUnavailable)))
	if minReady == 0 {
		rounds = min(rounds, 1)
	}
	for range rounds {
		open, changes := windows.Open(at)
		switch {
		case !open && changes.IsZero():
			return at, false
		case !open:
			at = changes
		}
		at = at.Add(minReady)
	}
	return at, true
}

func divUp(n, by int) int { return (n + by - 1) / by }

// leastOf is how long gates take at least, one after the other.
func leastOf(gates []fleet.Gate) time.Duration {
	var least time.Duration
	for _, g := range gates {
		switch {
		case g.Soak != nil:
			least = sum(least, g.Soak.Duration.OrZero())
		case g.Analysis != nil: // it begins with the first measurement
			pauses, interval := time.Duration(g.Analysis.Count-1), g.Analysis.Interval.OrZero()
			if interval > 0 && pauses > math.MaxInt64/interval {
				return math.MaxInt64
			}
			least = sum(least, pauses*interval)
		}
	}
	return least
}

// sum is the longest there is where it would be longer.
func sum(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
