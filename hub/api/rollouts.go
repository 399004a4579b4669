package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rollouts shows and steers Rollouts.
type rollouts struct {
	adminv1.UnimplementedRolloutsServiceServer
	*Server
}

// How many Rollouts, and clusters of one, a page has: what is asked for, or the default, and no more than the limit.
const (
	defaultRollouts        = 100
	maxRollouts            = 500
	defaultRolloutClusters = 500
	maxRolloutClusters     = 1000
)

// PlanRollout is the Rollout that would begin now.
func (s *rollouts) PlanRollout(ctx context.Context, req *adminv1.PlanRolloutRequest) (*adminv1.PlanRolloutResponse, error) {
	app, err := s.appOf(ctx, req.GetApp())
	if err != nil {
		return nil, err
	}
	policy, err := givenPolicy(req.GetPolicy())
	if err != nil {
		return nil, err
	}
	preview, err := s.Store.PlanRollout(ctx, app, req.GetTarget(), policy)
	if err != nil {
		return nil, err
	}
	return s.planPage(ctx, preview, req)
}

// givenPolicy reads the spec of a RolloutPolicy, checked as if it were declared; nil: none is given.
func givenPolicy(spec []byte) (*fleet.RolloutPolicy, error) {
	if len(spec) == 0 {
		return nil, nil
	}
	kind := resource.RolloutPolicy
	declared, err := json.Marshal(&resource.Object{APIVersion: kind.APIVersion, Kind: kind.Name, Metadata: resource.Metadata{Name: "given"}, Spec: spec})
	if err != nil {
		return nil, invalid("policy", "is no JSON: %s", err)
	}
	object, err := resource.Decode(declared)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	policy, err := resource.Spec[fleet.RolloutPolicy](object)
	return &policy, err
}

// StartRollout begins a Rollout.
func (s *rollouts) StartRollout(ctx context.Context, req *adminv1.StartRolloutRequest) (*adminv1.StartRolloutResponse, error) {
	plan, err := digestIn("expected_plan_digest", req.GetExpectedPlanDigest())
	if err != nil {
		return nil, err
	}
	target, err := s.target(ctx, req.GetApp(), req.GetTarget())
	if err != nil {
		return nil, err
	}
	begun, err := s.act(ctx, req.GetApp(), rollout.Start{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason(), RequestID: req.GetRequestId(),
		Target: target, AllowBad: req.GetAllowBad(), Supersede: req.GetSupersede(), Plan: plan})
	return &adminv1.StartRolloutResponse{Rollout: begun}, err
}

// target is the Release that a request names: zero, none.
func (s *rollouts) target(ctx context.Context, ref *adminv1.AppRollout, target string) (fleet.Digest, error) {
	if target == "" {
		return fleet.Digest{}, nil
	}
	app, err := s.appOf(ctx, ref)
	if err != nil {
		return fleet.Digest{}, err
	}
	return s.Store.ResolveRelease(ctx, app, target)
}

// GetRollout returns one Rollout.
func (s *rollouts) GetRollout(ctx context.Context, req *adminv1.GetRolloutRequest) (*adminv1.GetRolloutResponse, error) {
	found, err := s.find(ctx, req.GetApp())
	if err != nil {
		return nil, err
	}
	message, err := s.message(ctx, found)
	return &adminv1.GetRolloutResponse{Rollout: message}, err
}

// find returns the Rollout that a request names.
func (s *rollouts) find(ctx context.Context, ref *adminv1.AppRollout) (rollout.Rollout, error) {
	app, err := appIn("app.", ref.GetKind(), ref.GetNamespace(), ref.GetName())
	if err != nil {
		return rollout.Rollout{}, err
	}
	if app == (fleet.Key{}) && ref.GetId() == "" {
		return rollout.Rollout{}, invalid("app", "name an App, or a Rollout by its id")
	}
	found, err := s.Store.RolloutHead(ctx, app, ref.GetId())
	if errors.Is(err, fleet.ErrNotFound) && ref.GetId() == "" {
		if _, undeclared := s.Store.Object(ctx, app.Kind, app.Namespace, app.Name); undeclared != nil {
			return found, undeclared
		}
	}
	return found, err
}

// message is a Rollout with what is known of its target.
func (s *rollouts) message(ctx context.Context, r rollout.Rollout) (*adminv1.Rollout, error) {
	known, err := s.known(ctx, r)
	if err != nil {
		return nil, err
	}
	return rolloutMessage(r, known, time.Now())
}

// knownReleases is what is known of Releases: a Revision that resolves to each, and its outcome.
type knownReleases struct {
	revisions map[fleet.Digest]fleet.Revision
	outcomes  map[fleet.Digest]rollout.Outcome
}

// known reads what is known of the targets of Rollouts.
func (s *rollouts) known(ctx context.Context, of ...rollout.Rollout) (k knownReleases, err error) {
	targets := make([]fleet.Digest, len(of))
	for i, r := range of {
		targets[i] = r.Target
	}
	if k.revisions, err = s.Store.ReleaseRevisions(ctx, targets); err != nil {
		return k, err
	}
	k.outcomes, err = s.Store.ReleaseOutcomes(ctx, targets)
	return k, err
}

// phases are those that a Rollout may be listed by.
var phases = []rollout.Phase{
	rollout.Queued, rollout.Running, rollout.Paused, rollout.Halted, rollout.RollingBack,
	rollout.Succeeded, rollout.RolledBack, rollout.RollbackFailed, rollout.Cancelled, rollout.Superseded,
}

// ListRollouts returns a page of Rollouts, the newest first.
func (s *rollouts) ListRollouts(ctx context.Context, req *adminv1.ListRolloutsRequest) (*adminv1.ListRolloutsResponse, error) {
	query := rollout.Query{After: req.GetPageToken()}
	var err error
	if req.GetKind() == "" && req.GetName() == "" {
		query.Namespace = req.GetNamespace()
	} else if query.App, err = appIn("", req.GetKind(), req.GetNamespace(), req.GetName()); err != nil {
		return nil, err
	}
	limit, err := pageSize(req.GetPageSize(), defaultRollouts, maxRollouts)
	if err != nil {
		return nil, err
	}
	query.Limit = limit + 1
	if query.Phases, err = among("phases", req.GetPhases(), phases); err != nil {
		return nil, err
	}
	found, err := s.Store.Rollouts(ctx, query)
	if err != nil {
		return nil, err
	}
	if app := query.App; len(found) == 0 && app != (fleet.Key{}) && req.GetPageToken() == "" {
		if _, err := s.Store.Object(ctx, app.Kind, app.Namespace, app.Name); err != nil {
			return nil, err
		}
	}
	known, err := s.known(ctx, found...)
	if err != nil {
		return nil, err
	}
	resp, now := &adminv1.ListRolloutsResponse{}, time.Now()
	taken := page{limit: limit}
	for i, r := range found {
		message, err := rolloutMessage(r, known, now)
		if err != nil {
			return nil, err
		}
		if !taken.takes(proto.Size(message)) {
			resp.NextPageToken = found[i-1].Mark()
			break
		}
		resp.Rollouts = append(resp.Rollouts, message)
	}
	return resp, nil
}

// among reads names that are to be some of those known.
func among[T ~string](path string, names []string, known []T) ([]T, error) {
	var fields fleet.Fields
	var found []T
	for i, name := range names {
		if !slices.Contains(known, T(name)) {
			fields.Refuse(fmt.Sprintf("%s[%d]", path, i), "%q is none of %v", name, known)
		}
		found = append(found, T(name))
	}
	return found, fields.Err()
}
