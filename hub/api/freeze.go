package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
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
	principal := s.Caller(ctx).Principal
	var frozen rollout.Frozen
	var err error
	if req.GetDryRun() {
		frozen, err = s.wouldBeFrozen(ctx, req.GetClusters(), &rollout.Freeze{Reason: req.GetReason(), Actor: principal, At: time.Now()})
	} else if err = s.Store.Freeze(ctx, principal, req.GetClusters(), req.GetReason()); err == nil {
		frozen, err = s.Store.Frozen(ctx)
	}
	if err != nil {
		return nil, err
	}
	whole, clusters, more := freezeMessages(frozen, unlimited)
	return &adminv1.FreezeResponse{Fleet: whole, Clusters: clusters, More: int32(more)}, nil
}

// Unfreeze ends that.
func (s *rollouts) Unfreeze(ctx context.Context, req *adminv1.UnfreezeRequest) (*adminv1.UnfreezeResponse, error) {
	var frozen rollout.Frozen
	var err error
	if req.GetDryRun() {
		frozen, err = s.wouldBeFrozen(ctx, req.GetClusters(), nil)
	} else if err = s.Store.Unfreeze(ctx, s.Caller(ctx).Principal, req.GetClusters()); err == nil {
		frozen, err = s.Store.Frozen(ctx)
	}
	if err != nil {
		return nil, err
	}
	whole, clusters, more := freezeMessages(frozen, unlimited)
	return &adminv1.UnfreezeResponse{Fleet: whole, Clusters: clusters, More: int32(more)}, nil
}

// wouldBeFrozen is what would be with a freeze of clusters, none: of the fleet, or with its end: nil.
func (s *rollouts) wouldBeFrozen(ctx context.Context, clusters []string, freeze *rollout.Freeze) (rollout.Frozen, error) {
	known, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return rollout.Frozen{}, err
	}
	named := make(map[string]bool, len(clusters))
	for _, name := range clusters {
		if _, is := known[name]; !is {
			return rollout.Frozen{}, fmt.Errorf("%s/%s: %w", resource.Cluster.Name, name, fleet.ErrNotFound)
		}
		named[name] = true
	}
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return frozen, err
	}
	if len(clusters) == 0 {
		frozen.Fleet = freeze
	}
	frozen.Clusters = slices.DeleteFunc(frozen.Clusters, func(f rollout.Freeze) bool { return named[f.Cluster] })
	for _, name := range clusters {
		if freeze != nil {
			frozen.Clusters = append(frozen.Clusters, rollout.Freeze{Cluster: name, Reason: freeze.Reason, Actor: freeze.Actor, At: freeze.At})
		}
	}
	return frozen, nil
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
