package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/hub/rollout"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// memberPhases are those that clusters of a Rollout may be listed by.
var memberPhases = []rollout.MemberPhase{
	rollout.MemberPending, rollout.MemberDispatched, rollout.MemberApplying, rollout.MemberVerifying, rollout.MemberSucceeded, rollout.MemberFailed,
	rollout.MemberDeferred, rollout.MemberSkipped, rollout.MemberRemoved, rollout.MemberRollingBack, rollout.MemberRolledBack, rollout.MemberRollbackFailed,
}

// ListRolloutClusters returns a page of the clusters of a Rollout, by wave and turn, and what each waits for.
func (s *rollouts) ListRolloutClusters(ctx context.Context, req *adminv1.ListRolloutClustersRequest) (*adminv1.ListRolloutClustersResponse, error) {
	found, err := s.find(ctx, req.GetApp())
	if err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultRolloutClusters, maxRolloutClusters)
	if err != nil {
		return nil, err
	}
	query := rollout.MemberQuery{Wave: req.GetWave(), After: req.GetPageToken(), Limit: limit + 1}
	if query.Phases, err = among("phases", req.GetPhases(), memberPhases); err != nil {
		return nil, err
	}
	members, err := s.Store.RolloutMembers(ctx, found.ID, query)
	if err != nil {
		return nil, err
	}
	resp, now := &adminv1.ListRolloutClustersResponse{}, time.Now()
	taken := page{limit: limit}
	for i, m := range members {
		c := clusterMessage(m.Member)
		c.Connected, c.Available, c.Stale, c.HoldsPrune = m.Connected, m.Available, m.Stale, m.HoldsPrune
		c.WaitsFor = found.Waits(m.Member)
		if m.Phase == rollout.MemberPending && c.WaitsFor == rollout.WaitsOut(m.Message) {
			c.Message = "" // it is the same, as what is in the way
		}
		if m.Phase.InFlight() {
			c.DeadlineLeft = durationpb.New(max(0, found.Policy.Cluster.ProgressDeadline.OrZero()-m.Deadline.Elapsed(now)))
		}
		if !taken.takes(proto.Size(c)) {
			resp.NextPageToken = members[i-1].Mark()
			break
		}
		resp.Clusters = append(resp.Clusters, c)
	}
	return resp, nil
}

// ListNotTargeted returns a page of the clusters that a Rollout under way is not about.
func (s *rollouts) ListNotTargeted(ctx context.Context, req *adminv1.ListNotTargetedRequest) (*adminv1.ListNotTargetedResponse, error) {
	limit, err := pageSize(req.GetPageSize(), unlimited, unlimited)
	if err != nil {
		return nil, err
	}
	found, err := s.find(ctx, req.GetApp())
	if err != nil {
		return nil, err
	}
	others, err := s.Store.NotTargeted(ctx, found.ID)
	if err != nil {
		return nil, err
	}
	taken := page{limit: limit}
	messages := notTargetedMessages(others, req.GetPageToken())
	resp := &adminv1.ListNotTargetedResponse{NotTargeted: fill(&taken, messages)}
	if n := len(resp.GetNotTargeted()); n < len(messages) {
		resp.NextPageToken = messages[n-1].GetCluster()
	}
	return resp, nil
}

// clusterMessage is a member as clients read it, but for what is known of its cluster now.
func clusterMessage(m rollout.Member) *adminv1.RolloutCluster {
	return &adminv1.RolloutCluster{
		Cluster: m.Name, Wave: int32(m.Wave), Turn: int32(m.Turn), Phase: string(m.Phase), Failure: string(m.Failure), Message: m.Message,
		Base: digestText(m.Base), Generation: m.Generation, Attempt: int32(m.Attempt), Since: timeMessage(m.Since),
	}
}
