package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// planPage is the page of a plan that a request asks for: the Rollout, and clusters.
func (s *rollouts) planPage(ctx context.Context, plan rollout.Preview, req *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	limit, err := pageSize(req.GetPageSize(), unlimited, unlimited)
	if err != nil {
		return nil, err
	}
	at, err := planPlaceOf(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetPageToken() != "" && at.plan != plan.Rollout.Plan.String() {
		return nil, status.Errorf(codes.Aborted, "the plan is %s now, not %s: read it from its beginning", plan.Rollout.Plan, at.plan)
	}
	at.plan = plan.Rollout.Plan.String()
	statuses, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.PlanRolloutResponse{}
	if resp.Rollout, err = s.message(ctx, plan.Rollout); err != nil {
		return nil, err
	}
	for _, takes := range plan.Least {
		resp.Least = append(resp.Least, durationpb.New(takes))
	}
	taken := page{limit: limit, size: proto.Size(resp)}
	for _, m := range plan.Rollout.Members[min(at.clusters, len(plan.Rollout.Members)):] {
		cluster := clusterMessage(m)
		cluster.Connected, cluster.Available = statuses[m.Name].Connected, m.BaseAvailable
		cluster.WaitsFor, cluster.Message = rollout.WaitsOut(m.Message), ""
		if !taken.takes(proto.Size(cluster)) {
			resp.NextPageToken = at.String()
			return resp, nil
		}
		resp.Clusters = append(resp.Clusters, cluster)
		at.clusters++
	}
	left := notTargetedMessages(plan.Left, at.left)
	resp.NotTargeted = fill(&taken, left)
	if n := len(resp.NotTargeted); n < len(left) {
		if n > 0 {
			at.left = left[n-1].GetCluster()
		}
		resp.NextPageToken = at.String()
	}
	return resp, nil
}

// planPlace is where a page of a plan ends.
type planPlace struct {
	// plan is the digest of the plan.
	plan string
	// clusters counts those before that get the Release, left names the last one before that does not.
	clusters int
	left     string
}

func (p planPlace) String() string { return fmt.Sprintf("%s/%d/%s", p.plan, p.clusters, p.left) }

// planPlaceOf reads a page token; empty: the beginning.
func planPlaceOf(token string) (planPlace, error) {
	if token == "" {
		return planPlace{}, nil
	}
	parts := strings.SplitN(token, "/", 3)
	if len(parts) == 3 {
		if n, err := strconv.Atoi(parts[1]); err == nil && n >= 0 {
			return planPlace{plan: parts[0], clusters: n, left: parts[2]}, nil
		}
	}
	return planPlace{}, fmt.Errorf("%w: %q is not where a page of a plan ends: read it from its beginning", fleet.ErrInvalid, token)
}

// notTargetedMessages are clusters, in the order of their names, from the one after a name on.
func notTargetedMessages(clusters []rollout.NotTargeted, after string) []*adminv1.NotTargeted {
	var messages []*adminv1.NotTargeted
	for _, c := range clusters {
		if after == "" || c.Cluster > after {
			messages = append(messages, &adminv1.NotTargeted{Cluster: c.Cluster, Why: c.Why})
		}
	}
	slices.SortFunc(messages, func(a, b *adminv1.NotTargeted) int { return strings.Compare(a.GetCluster(), b.GetCluster()) })
	return messages
}
