package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// awaits is awaited with what a Rollout does not say of itself: a person has to approve what its clusters hold, or to unfreeze
// them, or to act on the Rollout that it waits for. of is the Rollout that it is about. What the hub cannot tell now is left out.
// Clusters of it that are known spare looks at the hub.
func (h *hub) awaits(ctx context.Context, ro *adminv1.Rollout, known ...*adminv1.RolloutCluster) (next string, of *adminv1.Rollout) {
	if over(ro) {
		return "", ro
	}
	next = awaited(ro)
	switch ro.GetReason() {
	case "NewerCandidate":
		response, err := h.rollouts.GetRollout(ctx, &adminv1.GetRolloutRequest{App: rolloutRef{app: appOf(ro)}.request()})
		before := response.GetRollout()
		if ro.GetPhase() != phaseQueued || err != nil || before.GetPhase() == phaseQueued {
			break
		}
		if next, of = h.awaits(ctx, before); next != "" {
			return next + instead(before, ro), of
		}
	case "WaitingClusters":
		if slices.ContainsFunc(known, func(c *adminv1.RolloutCluster) bool {
			return slices.Contains(flightPhases, c.GetPhase()) && !c.GetHoldsPrune()
		}) {
			break
		}
		if clusters := h.holdingPrunes(ctx, ro); len(clusters) > 0 {
			r := appOf(ro)
			if len(clusters) == 1 {
				r.cluster = clusters[0]
			}
			next = fmt.Sprintf("fleetctl prune show %s, and fleetctl prune approve %s", r.command(), r.command())
		}
	case "InsufficientCoverage":
		clusters := h.frozenOf(ctx, ro)
		if len(clusters) == 0 {
			break
		}
		unfreeze := "fleetctl unfreeze " + strings.Join(clusters, " ")
		if ro.GetPhase() == phaseRunning {
			return unfreeze + ", or fleetctl rollout skip-cluster " + ro.GetId() + " " + strings.Join(clusters, " "), ro
		}
		next = unfreeze + ", and " + next
	}
	return next, ro
}

// instead says how the Rollout that waits for another one begins without what that one waits for.
func instead(under, queued *adminv1.Rollout) string {
	text := "; or fleetctl rollout cancel " + under.GetId()
	if wave, g := gateUnderWay(under); g.GetType() == "Approval" {
		text = fmt.Sprintf("; or fleetctl rollout reject %s --wave %s --gate %s, or fleetctl rollout cancel %s",
			under.GetId(), wave.GetName(), g.GetName(), under.GetId())
	}
	return text + ": then " + queued.GetId() + " begins"
}

// holdingPrunes are the clusters that are being updated, where every one of them waits for a held prune.
func (h *hub) holdingPrunes(ctx context.Context, ro *adminv1.Rollout) []string {
	return h.allThatAre(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: flightPhases}, (*adminv1.RolloutCluster).GetHoldsPrune)
}

// frozenOf are the clusters that are missing in the wave under way, where every one of them is frozen by name.
func (h *hub) frozenOf(ctx context.Context, ro *adminv1.Rollout) []string {
	wave := waveUnderWay(ro)
	if wave.GetTotals().GetStale() > 0 {
		return nil
	}
	frozen, err := h.allFrozen(ctx)
	if err != nil || len(frozen.GetClusters()) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, f := range frozen.GetClusters() {
		names[f.GetCluster()] = true
	}
	missing := &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: []string{"Deferred"}, Wave: wave.GetName()}
	return h.allThatAre(ctx, missing, func(c *adminv1.RolloutCluster) bool { return names[c.GetCluster()] })
}

// allThatAre are the names of the clusters that request selects, where every one is so. Mostly the first one is not, and the others
// are not asked for.
func (h *hub) allThatAre(ctx context.Context, request *adminv1.ListRolloutClustersRequest, is func(*adminv1.RolloutCluster) bool) []string {
	first, _, err := h.rolloutClusters(ctx, proto.CloneOf(request), 1)
	if err != nil || len(first) == 0 || !is(first[0]) {
		return nil
	}
	var names []string
	for page, err := range pages(ctx, h.rollouts.ListRolloutClusters, request, &request.PageToken) {
		if err != nil {
			return nil
		}
		for _, c := range page.GetClusters() {
			if !is(c) {
				return nil
			}
			names = append(names, c.GetCluster())
		}
	}
	return names
}
