package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// recoverTimeout bounds the wait for the sources, and recoverPoll is how often they are looked at without a wake-up.
const (
	recoverTimeout = 50 * time.Second
	recoverPoll    = time.Second
)

// Recover leads out of safe mode. The epoch is raised only when every source was resolved anew and every App on it was
// built, so that no spoke is told to go back to what an older database still holds.
func (s *hub) Recover(ctx context.Context, req *adminv1.RecoverRequest) (*adminv1.RecoverResponse, error) {
	if req.GetDryRun() {
		return s.planRecovery(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	started, err := s.Store.BeginRecovery(ctx, s.Caller(ctx))
	if err != nil {
		return nil, err
	}
	wake, stop := s.Watch()
	defer stop()
	tick := time.NewTicker(recoverPoll)
	defer tick.Stop()
	for {
		sources, behind, err := s.behind(ctx, started)
		if err != nil {
			return nil, err
		}
		if behind == "" {
			names, err := s.Store.EndRecovery(ctx, s.Caller(ctx), false)
			return &adminv1.RecoverResponse{Clusters: names, Sources: uint32(sources)}, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("recover: %w: %s; mend or suspend it and try again", fleet.ErrConflict, behind)
		case <-wake:
		case <-tick.C:
		}
	}
}

// planRecovery says which clusters would leave safe mode and how many sources would be resolved before.
func (s *hub) planRecovery(ctx context.Context) (*adminv1.RecoverResponse, error) {
	sources, err := s.unsuspendedSources(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.Store.EndRecovery(ctx, s.Caller(ctx), true)
	return &adminv1.RecoverResponse{Clusters: names, Sources: uint32(len(sources))}, err
}

func (s *hub) unsuspendedSources(ctx context.Context) ([]*resource.Object, error) {
	declared, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.GitRepository.Name})
	return slices.DeleteFunc(declared, func(o *resource.Object) bool { return refuseSuspended(o) != nil }), err
}

// behind names a Source that was not resolved since started, or an App that is not built from what its Source has.
func (s *hub) behind(ctx context.Context, started time.Time) (sources int, behind string, err error) {
	declared, err := s.unsuspendedSources(ctx)
	if err != nil {
		return 0, "", err
	}
	states, err := s.Store.SourceStates(ctx, resource.GitRepository.Name)
	if err != nil {
		return 0, "", err
	}
	for _, o := range declared {
		state := states[o.Metadata.Namespace+"/"+o.Metadata.Name]
		if state.CheckedAt.Before(started) || state.Reason != "" {
			return 0, o.String() + " could not be resolved yet: " + strings.TrimSpace(state.Reason+" "+state.Message), nil
		}
	}
	behind, err = s.unreleased(ctx, states)
	return len(declared), behind, err
}

// unreleased names an App that is not built from what its Source has, or whose Release is not assigned everywhere.
func (s *hub) unreleased(ctx context.Context, states map[string]fleet.SourceState) (string, error) {
	declared, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Kustomization.Name})
	if err != nil {
		return "", err
	}
	built, err := s.Store.AppStates(ctx)
	if err != nil {
		return "", err
	}
	for _, o := range declared {
		spec, err := resource.Spec[flux.Kustomization](o)
		if err != nil {
			return "", err
		}
		source, exists := states[o.Metadata.Namespace+"/"+spec.SourceRef.Name]
		if state := built[o.Key()]; exists && !spec.Suspend && state.Reason == "" && state.Revision != source.Revision {
			return o.String() + " is not built yet", nil
		}
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: resource.Kustomization.Name})
	if err != nil {
		return "", err
	}
	for _, i := range instances {
		release := built[i.Assignment.App].Release
		if i.Assignment.State == fleet.Active && !release.IsZero() && i.Assignment.Release.Digest() != release {
			return i.Assignment.App.String() + "@" + i.Cluster + " is not assigned yet", nil
		}
	}
	return "", nil
}
