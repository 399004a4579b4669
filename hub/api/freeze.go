package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// GetFreeze returns what is frozen.
func (s *rollouts) GetFreeze(ctx context.Context, _ *adminv1.GetFreezeRequest) (*adminv1.GetFreezeResponse, error) {
	whole, clusters, err := s.frozen(ctx)
	return &adminv1.GetFreezeResponse{Fleet: whole, Clusters: clusters}, err
}

// Freeze has nothing go forward, in the fleet or in some clusters.
func (s *rollouts) Freeze(ctx context.Context, req *adminv1.FreezeRequest) (*adminv1.FreezeResponse, error) {
	var fields fleet.Fields
	fields.Require("reason", req.GetReason())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	principal := s.Caller(ctx).Principal
	var whole *adminv1.FreezeState
	var clusters []*adminv1.FreezeState
	var err error
	if req.GetDryRun() {
		whole, clusters, err = s.wouldBeFrozen(ctx, req.GetClusters(), &rollout.Freeze{Reason: req.GetReason(), Actor: principal, At: time.Now()})
	} else if err = s.Store.Freeze(ctx, principal, req.GetClusters(), req.GetReason()); err == nil {
		whole, clusters, err = s.frozen(ctx)
	}
	return &adminv1.FreezeResponse{Fleet: whole, Clusters: clusters}, err
}

// Unfreeze ends that.
func (s *rollouts) Unfreeze(ctx context.Context, req *adminv1.UnfreezeRequest) (*adminv1.UnfreezeResponse, error) {
	var whole *adminv1.FreezeState
	var clusters []*adminv1.FreezeState
	var err error
	if req.GetDryRun() {
		whole, clusters, err = s.wouldBeFrozen(ctx, req.GetClusters(), nil)
	} else if err = s.Store.Unfreeze(ctx, s.Caller(ctx).Principal, req.GetClusters()); err == nil {
		whole, clusters, err = s.frozen(ctx)
	}
	return &adminv1.UnfreezeResponse{Fleet: whole, Clusters: clusters}, err
}

// frozen is all that is frozen: the fleet, nil if it is not, and clusters.
func (s *rollouts) frozen(ctx context.Context) (whole *adminv1.FreezeState, clusters []*adminv1.FreezeState, err error) {
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return nil, nil, err
	}
	whole, clusters = freezeMessages(frozen)
	return whole, clusters, nil
}

// wouldBeFrozen is what would be with a freeze of clusters, none: of the fleet, or with its end: nil.
func (s *rollouts) wouldBeFrozen(ctx context.Context, clusters []string, freeze *rollout.Freeze) (*adminv1.FreezeState, []*adminv1.FreezeState, error) {
	for _, name := range clusters {
		if _, err := s.Store.Object(ctx, resource.Cluster.Name, "", name); err != nil {
			return nil, nil, err
		}
	}
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(clusters) == 0 {
		frozen.Fleet = freeze
	}
	frozen.Clusters = slices.DeleteFunc(frozen.Clusters, func(f rollout.Freeze) bool { return slices.Contains(clusters, f.Cluster) })
	for _, name := range clusters {
		if freeze != nil {
			frozen.Clusters = append(frozen.Clusters, rollout.Freeze{Cluster: name, Reason: freeze.Reason, Actor: freeze.Actor, At: freeze.At})
		}
	}
	slices.SortFunc(frozen.Clusters, func(a, b rollout.Freeze) int { return strings.Compare(a.Cluster, b.Cluster) })
	whole, some := freezeMessages(frozen)
	return whole, some, nil
}

func freezeMessages(frozen rollout.Frozen) (whole *adminv1.FreezeState, clusters []*adminv1.FreezeState) {
	if frozen.Fleet != nil {
		whole = freezeMessage(*frozen.Fleet)
	}
	for _, c := range frozen.Clusters {
		clusters = append(clusters, freezeMessage(c))
	}
	return whole, clusters
}

func freezeMessage(f rollout.Freeze) *adminv1.FreezeState {
	return &adminv1.FreezeState{Cluster: f.Cluster, Reason: f.Reason, Actor: f.Actor, At: timeMessage(f.At)}
}
