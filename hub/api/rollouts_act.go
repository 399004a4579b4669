package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// act has a command carried out on behalf of the caller, and returns the Rollout after it.
func (s *rollouts) act(ctx context.Context, ref *adminv1.AppRollout, command rollout.Command) (*adminv1.Rollout, error) {
	var fields fleet.Fields
	reasonIn(&fields, "app.reason", ref.GetReason())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	app, err := s.appOf(ctx, ref)
	if err != nil {
		return nil, err
	}
	at := rollout.At{ID: ref.GetId(), Version: ref.GetVersion(), DryRun: ref.GetDryRun(), Command: command}
	after, err := s.Store.Act(ctx, s.Caller(ctx).Principal, app, at)
	if errors.Is(err, rollout.ErrChanged) {
		return nil, status.Error(codes.Aborted, err.Error())
	}
	if err != nil {
		return nil, err
	}
	if after.ID == "" {
		return nil, nil // it was about clusters that catch up with what no Rollout has brought
	}
	message, err := s.message(ctx, after)
	if err != nil { // it is done all the same: it is told without the Revision and the verdict
		s.Log.Warn("what is known of a rollout's release not read", "rollout", after.ID, "err", err)
		return rolloutMessage(after, knownReleases{}, time.Now())
	}
	return message, nil
}

// appOf is the App that a request is about. One that names a Rollout alone is about that Rollout's App.
func (s *rollouts) appOf(ctx context.Context, ref *adminv1.AppRollout) (fleet.Key, error) {
	app, err := appIn("app.", ref.GetKind(), ref.GetNamespace(), ref.GetName())
	if err != nil || app != (fleet.Key{}) {
		return app, err
	}
	if ref.GetId() == "" {
		return app, invalid("app", "name an App, or a Rollout by its id")
	}
	named, err := s.Store.RolloutHead(ctx, fleet.Key{}, ref.GetId())
	return named.Release.App, err
}

// PauseRollout stops going forward.
func (s *rollouts) PauseRollout(ctx context.Context, req *adminv1.PauseRolloutRequest) (*adminv1.PauseRolloutResponse, error) {
	after, err := s.act(ctx, req.GetApp(), rollout.Pause{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason()})
	return &adminv1.PauseRolloutResponse{Rollout: after}, err
}

// ResumeRollout goes on.
func (s *rollouts) ResumeRollout(ctx context.Context, req *adminv1.ResumeRolloutRequest) (*adminv1.ResumeRolloutResponse, error) {
	after, err := s.act(ctx, req.GetApp(), rollout.Resume{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason(),
		AcceptCoverage: req.GetAcceptCoverage(), RetryGate: req.GetRetryGate()})
	return &adminv1.ResumeRolloutResponse{Rollout: after}, err
}

// DecideGate is the caller's word at an approval.
func (s *rollouts) DecideGate(ctx context.Context, req *adminv1.DecideGateRequest) (*adminv1.DecideGateResponse, error) {
	var fields fleet.Fields
	reasonIn(&fields, "comment", req.GetComment())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	plan, err := digestIn("plan_digest", req.GetPlanDigest())
	if err != nil {
		return nil, err
	}
	comment := req.GetComment()
	if comment == "" {
		comment = req.GetApp().GetReason()
	}
	after, err := s.act(ctx, req.GetApp(), rollout.Decide{Principal: s.Caller(ctx).Principal, Wave: req.GetWave(), Gate: req.GetGate(),
		Plan: plan, Approve: req.GetApprove(), Comment: comment})
	return &adminv1.DecideGateResponse{Rollout: after}, err
}

// SkipGate passes a gate over. Which one, and why, is said: a gate is passed over for ever.
func (s *rollouts) SkipGate(ctx context.Context, req *adminv1.SkipGateRequest) (*adminv1.SkipGateResponse, error) {
	var fields fleet.Fields
	fields.Require("gate", req.GetGate())
	fields.Require("app.reason", req.GetApp().GetReason())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	after, err := s.act(ctx, req.GetApp(), rollout.SkipGate{Actor: s.Caller(ctx).Principal, Wave: req.GetWave(), Gate: req.GetGate(),
		Reason: req.GetApp().GetReason()})
	return &adminv1.SkipGateResponse{Rollout: after}, err
}

// RetryClusters has clusters that failed updated once more.
func (s *rollouts) RetryClusters(ctx context.Context, req *adminv1.RetryClustersRequest) (*adminv1.RetryClustersResponse, error) {
	if err := chosen(req.GetClusters(), req.GetAllFailed()); err != nil {
		return nil, err
	}
	after, err := s.act(ctx, req.GetApp(), rollout.RetryCluster{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason(),
		Clusters: req.GetClusters(), AllFailed: req.GetAllFailed()})
	return &adminv1.RetryClustersResponse{Rollout: after}, err
}

// SkipClusters passes clusters over.
func (s *rollouts) SkipClusters(ctx context.Context, req *adminv1.SkipClustersRequest) (*adminv1.SkipClustersResponse, error) {
	if err := chosen(req.GetClusters(), req.GetAllFailed(), req.GetAllDeferred(), req.GetAllStale()); err != nil {
		return nil, err
	}
	after, err := s.act(ctx, req.GetApp(), rollout.SkipCluster{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason(),
		Clusters: req.GetClusters(), AllFailed: req.GetAllFailed(), AllDeferred: req.GetAllDeferred(), AllStale: req.GetAllStale()})
	return &adminv1.SkipClustersResponse{Rollout: after}, err
}

// chosen refuses a request that is about no cluster.
func chosen(clusters []string, all ...bool) error {
	for _, is := range all {
		if is {
			return nil
		}
	}
	if len(clusters) == 0 {
		return invalid("clusters", "name at least one, or say which all")
	}
	return nil
}

// Rollback takes the Rollout under way back, or begins one to what was good before.
func (s *rollouts) Rollback(ctx context.Context, req *adminv1.RollbackRequest) (*adminv1.RollbackResponse, error) {
	scope := fleet.FailureScope(req.GetScope())
	switch scope {
	case "", fleet.ScopeFailed, fleet.ScopeWave, fleet.ScopeUpdated:
	default:
		return nil, invalid("scope", "%q is not Failed, Wave or Updated", req.GetScope())
	}
	if scope != "" && req.GetTo() != "" {
		return nil, invalid("scope", "is for the Rollout under way: `to` begins one for every cluster")
	}
	to, err := s.target(ctx, req.GetApp(), req.GetTo())
	if err != nil {
		return nil, err
	}
	after, err := s.act(ctx, req.GetApp(), rollout.Rollback{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason(), Scope: scope, To: to})
	return &adminv1.RollbackResponse{Rollout: after}, err
}

// CancelRollout ends the Rollout where it is.
func (s *rollouts) CancelRollout(ctx context.Context, req *adminv1.CancelRolloutRequest) (*adminv1.CancelRolloutResponse, error) {
	after, err := s.act(ctx, req.GetApp(), rollout.Cancel{Actor: s.Caller(ctx).Principal, Reason: req.GetApp().GetReason()})
	return &adminv1.CancelRolloutResponse{Rollout: after}, err
}

// appIn is the App that three fields name; zero: they are empty.
func appIn(path, kind, namespace, name string) (fleet.Key, error) {
	if kind == "" && namespace == "" && name == "" {
		return fleet.Key{}, nil
	}
	known, err := kindOf(kind)
	if err != nil {
		return fleet.Key{}, fmt.Errorf("%skind: %w", path, err)
	}
	var fields fleet.Fields
	if !known.App {
		fields.Refuse(path+"kind", "%s is no App, and only Apps are rolled out", known.Name)
	}
	fields.Require(path+"namespace", namespace)
	fields.Require(path+"name", name)
	return fleet.Key{Home: fleet.HubHome, Kind: known.Name, Namespace: namespace, Name: name}, fields.Err()
}

// digestIn reads a digest that may be left out.
func digestIn(path, text string) (fleet.Digest, error) {
	if text == "" {
		return fleet.Digest{}, nil
	}
	digest, err := fleet.ParseDigest(text)
	if err != nil {
		return digest, fmt.Errorf("%s: %w", path, err)
	}
	return digest, nil
}

// invalid says what is wrong with a field of a request.
func invalid(path, format string, args ...any) error {
	var fields fleet.Fields
	fields.Refuse(path, format, args...)
	return fields.Err()
}
