package api

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// GetFreeze returns whether the fleet is frozen, and a page of the clusters that are.
func (s *rollouts) GetFreeze(ctx context.Context, req *adminv1.GetFreezeRequest) (*adminv1.GetFreezeResponse, error) {
	limit, err := pageSize(req.GetPageSize(), unlimited, unlimited)
	if err != nil {
		return nil, err
	}
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return nil, err
	}
	if after := req.GetPageToken(); after != "" {
		frozen.Clusters = slices.DeleteFunc(frozen.Clusters, func(f rollout.Freeze) bool { return f.Cluster <= after })
	}
	whole, clusters, more := freezeMessages(frozen, limit)
	resp := &adminv1.GetFreezeResponse{Fleet: whole, Clusters: clusters}
	if more > 0 {
		resp.NextPageToken = clusters[len(clusters)-1].GetCluster()
	}
	return resp, nil
}

// Freeze has nothing go forward, in the fleet or in some clusters.
func (s *rollouts) Freeze(ctx context.Context, req *adminv1.FreezeRequest) (*adminv1.FreezeResponse, error) {
	var fields fleet.Fields
	fields.Require("reason", req.GetReason())
	reasonIn(&fields, "reason", req.GetReason())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	order := fleet.Order{DryRun: req.GetDryRun(), Confirm: req.Confirm}
	frozen, impact, err := s.Store.Freeze(ctx, s.Caller(ctx).Principal, req.GetClusters(), req.GetReason(), order)
	if err != nil {
		return nil, err
	}
	whole, clusters, more := freezeMessages(frozen, unlimited)
	return &adminv1.FreezeResponse{Fleet: whole, Clusters: clusters, More: int32(more), Impact: impactMessage(impact)}, nil
}

// Unfreeze ends that.
func (s *rollouts) Unfreeze(ctx context.Context, req *adminv1.UnfreezeRequest) (*adminv1.UnfreezeResponse, error) {
	order := fleet.Order{DryRun: req.GetDryRun(), Confirm: req.Confirm}
	frozen, impact, err := s.Store.Unfreeze(ctx, s.Caller(ctx).Principal, req.GetClusters(), order)
	if err != nil {
		return nil, err
	}
	whole, clusters, more := freezeMessages(frozen, unlimited)
	return &adminv1.UnfreezeResponse{Fleet: whole, Clusters: clusters, More: int32(more), Impact: impactMessage(impact)}, nil
}

// freezeMessages are the fleet, nil if it is not frozen, the first clusters by name, as many as a page of that limit has, and
// how many more there are.
func freezeMessages(frozen rollout.Frozen, limit int) (whole *adminv1.FreezeState, clusters []*adminv1.FreezeState, more int) {
	taken := page{limit: limit}
	if frozen.Fleet != nil {
		whole = freezeMessage(*frozen.Fleet)
		taken.size = proto.Size(whole)
	}
	for _, c := range frozen.Clusters {
		clusters = append(clusters, freezeMessage(c))
	}
	slices.SortFunc(clusters, func(a, b *adminv1.FreezeState) int { return strings.Compare(a.GetCluster(), b.GetCluster()) })
	fit := fill(&taken, clusters)
	return whole, fit, len(clusters) - len(fit)
}

func freezeMessage(f rollout.Freeze) *adminv1.FreezeState {
	return &adminv1.FreezeState{Cluster: f.Cluster, Reason: f.Reason, Actor: f.Actor, At: timeMessage(f.At)}
}
