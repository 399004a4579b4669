package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// hub is about the hub as a whole.
type hub struct {
	adminv1.UnimplementedHubServiceServer
	*Server
}

// Version says what the hub is.
func (s *hub) Version(ctx context.Context, _ *adminv1.VersionRequest) (*adminv1.VersionResponse, error) {
	statuses, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.VersionResponse{Version: s.Config.Version, GoVersion: runtime.Version(), Schema: uint32(s.Schema), Spokes: map[string]uint32{}}
	for _, c := range statuses {
		if c.Facts.SpokeVersion != "" {
			resp.Spokes[c.Facts.SpokeVersion]++
		}
	}
	return resp, nil
}

// Status is the fleet on one screen.
func (s *hub) Status(ctx context.Context, _ *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	resp := &adminv1.StatusResponse{HubVersion: s.Config.Version}
	for _, part := range []struct {
		kind   resource.Kind
		counts **adminv1.Counts
	}{{resource.Cluster, &resp.Clusters}, {resource.GitRepository, &resp.Sources}, {resource.Kustomization, &resp.Apps}} {
		objects, _, err := s.show(ctx, selection{kind: part.kind})
		if err != nil {
			return nil, err
		}
		if *part.counts, err = countReady(objects); err != nil {
			return nil, err
		}
		if part.kind.Name != resource.GitRepository.Name {
			continue
		}
		for _, o := range objects {
			if c := readyCondition(o); c.Status == fleet.False {
				resp.Troubles = append(resp.Troubles, &adminv1.Trouble{Object: o.String(), Message: c.Message})
			}
		}
	}
	troubles, err := s.troubles(ctx)
	if err != nil {
		return nil, err
	}
	resp.Troubles = append(resp.Troubles, troubles...)
	statuses, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		if statuses[name].SafeMode != "" {
			resp.SafeMode = append(resp.SafeMode, name)
		}
	}
	return resp, nil
}

func readyCondition(o *resource.Object) condition {
	var status struct {
		Conditions []condition `json:"conditions"`
	}
	if err := json.Unmarshal(o.Status, &status); err == nil {
		for _, c := range status.Conditions {
			if c.Type == ready {
				return c
			}
		}
	}
	return condition{Status: fleet.Unknown}
}

// idle are the reasons of what is neither ready nor failed, and not under way either.
var idle = []string{fleet.ReasonUnreachable, fleet.ReasonSuspended, reasonNotEnrolled, reasonNotPlaced, reasonNoClusters}

func countReady(objects []*resource.Object) (*adminv1.Counts, error) {
	counts := &adminv1.Counts{Total: uint32(len(objects))}
	for _, o := range objects {
		spec, err := resource.Spec[struct {
			Suspend bool `json:"suspend"`
		}](o)
		if err != nil && len(o.Spec) > 0 {
			return nil, err
		}
		if spec.Suspend {
			counts.Suspended++
		}
		switch c := readyCondition(o); {
		case c.Status == fleet.True:
			counts.Ready++
		case c.Status == fleet.False:
			counts.Failed++
		case slices.Contains(idle, c.Reason):
			counts.Unknown++
		default:
			counts.Progressing++
		}
	}
	return counts, nil
}

// troubles are the Apps that are not ready, the same trouble in several clusters being one; most clusters first.
func (s *hub) troubles(ctx context.Context) ([]*adminv1.Trouble, error) {
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: resource.Kustomization.Name})
	if err != nil {
		return nil, err
	}
	apps, err := s.Store.AppStates(ctx)
	if err != nil {
		return nil, err
	}
	var troubles []*adminv1.Trouble
	name := func(key fleet.Key) string { return key.Kind + "/" + key.Namespace + "/" + key.Name }
	for _, key := range slices.SortedFunc(maps.Keys(apps), fleet.Key.Compare) {
		if apps[key].Reason != "" {
			troubles = append(troubles, &adminv1.Trouble{Object: name(key), Message: apps[key].Message})
		}
	}
	for _, i := range instances {
		c := readyOf(i)
		if c.Status != fleet.False {
			continue
		}
		object := name(i.Assignment.App)
		n := slices.IndexFunc(troubles, func(t *adminv1.Trouble) bool { return t.GetObject() == object && t.GetMessage() == c.Message })
		if n < 0 {
			n = len(troubles)
			troubles = append(troubles, &adminv1.Trouble{Object: object, Message: c.Message})
		}
		troubles[n].Clusters = append(troubles[n].Clusters, i.Cluster)
	}
	slices.SortStableFunc(troubles, func(a, b *adminv1.Trouble) int { return len(b.GetClusters()) - len(a.GetClusters()) })
	return troubles, nil
}

// recoverTimeout bounds the wait for the sources, and recoverPoll is how often they are looked at without a wake-up.
const (
	recoverTimeout = 50 * time.Second
	recoverPoll    = time.Second
)

// Recover leads out of safe mode. The epoch is raised only when every source was resolved anew and every App on it was
// built, so that no spoke is told to go back to what an older database still holds.
func (s *hub) Recover(ctx context.Context, _ *adminv1.RecoverRequest) (*adminv1.RecoverResponse, error) {
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
			names, err := s.Store.EndRecovery(ctx, s.Caller(ctx))
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

// behind names a Source that was not resolved since started, or an App that is not built from what its Source has.
func (s *hub) behind(ctx context.Context, started time.Time) (sources int, behind string, err error) {
	declared, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.GitRepository.Name})
	if err != nil {
		return 0, "", err
	}
	states, err := s.Store.SourceStates(ctx, resource.GitRepository.Name)
	if err != nil {
		return 0, "", err
	}
	for _, o := range declared {
		if refuseSuspended(o) != nil {
			continue
		}
		state := states[o.Metadata.Namespace+"/"+o.Metadata.Name]
		if state.CheckedAt.Before(started) || state.Reason != "" {
			return 0, o.String() + " could not be resolved yet: " + strings.TrimSpace(state.Reason+" "+state.Message), nil
		}
		sources++
	}
	behind, err = s.unreleased(ctx, states)
	return sources, behind, err
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
