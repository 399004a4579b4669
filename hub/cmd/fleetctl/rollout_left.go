package main

import (
	"context"
	"fmt"
	"strings"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// leftPhases are those of clusters that a Rollout which has succeeded did not get to.
var leftPhases = []string{"Failed", "Deferred", "Pending"}

// warnOfLeftBehind tells of the clusters that a Rollout to what was good before has passed over: they have still what it was to
// take them from, though it has succeeded.
func (a *app) warnOfLeftBehind(ctx context.Context, h *hub, ro *adminv1.Rollout) {
	n := ro.GetTotals()
	behind := n.GetFailed() + n.GetDeferred() + n.GetPending()
	if ro.GetKind() != "Backward" || behind == 0 {
		return
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	clusters, more, err := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: leftPhases}, maxMissing)
	text := "fleetctl rollout status " + ro.GetId() + " --watch=false has them"
	if err == nil && len(clusters) > 0 {
		var parts []string
		for _, c := range clusters {
			parts = append(parts, clusterLine(c))
		}
		text = strings.Join(parts, "; ") + orBlank(more, "; and more")
	}
	are := "are"
	if behind == 1 {
		are = "is"
	}
	a.warn("%d of %s %s still to go back: %s", behind, count(int(n.GetSize()), "cluster"), are, text)
}

// clusterLine is what a cluster is in a Rollout, on one line.
func clusterLine(c *adminv1.RolloutCluster) string {
	return strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", c.GetCluster(), c.GetPhase(), clusterTrouble(c)), ": ")
}
