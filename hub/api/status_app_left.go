package api

import (
	"context"
	"slices"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// rolloutPolicies are those there are by name, with the ids of the clusters, by name: which ones a wave takes may follow from those.
type rolloutPolicies struct {
	specs    map[string]fleet.RolloutPolicy
	versions map[string]uint64
	ids      map[string]string
}

// policiesOf reads the RolloutPolicies, if one of the Apps is under any.
func (s *Server) policiesOf(ctx context.Context, apps map[fleet.Key]placedApp) (rolloutPolicies, error) {
	p := rolloutPolicies{specs: map[string]fleet.RolloutPolicy{}, versions: map[string]uint64{}, ids: map[string]string{}}
	under := false
	for _, app := range apps {
		under = under || app.policy != ""
	}
	if !under {
		return p, nil
	}
	objects, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.RolloutPolicy.Name})
	if err != nil {
		return p, err
	}
	for _, o := range objects {
		spec, err := resource.Spec[fleet.RolloutPolicy](o)
		if err != nil {
			return p, err
		}
		p.specs[o.Metadata.Name], p.versions[o.Metadata.Name] = spec, versionOf(o)
	}
	statuses, err := s.Store.ClusterStatuses(ctx)
	for name, status := range statuses {
		p.ids[name] = status.ID
	}
	return p, err
}

// leaveOut notes of the App's clusters those that no wave takes, where that has them go without: by the policy as the Rollout
// under way has it, or else as it is declared. It returns the version of that, and of the clusters' labels where they matter.
func (p rolloutPolicies) leaveOut(app *placedApp, state fleet.AppState, instances []fleet.Instance) uint64 {
	policy, version := p.specs[app.policy], p.versions[app.policy]
	if s := app.standing; s != nil && s.Rollout != nil && s.Rollout.Phase.Active() && s.Rollout.Kind == rollout.Forward && s.Rollout.Target == state.Release {
		policy = s.Rollout.Policy
	}
	if policy.Unmatched != fleet.UnmatchedExclude {
		return version
	}
	on := map[string]bool{}
	for _, name := range app.clusters {
		on[name] = true
	}
	for _, i := range instances {
		if i.Assignment.State == fleet.Active && slices.Contains(app.staying, i.Cluster) {
			on[i.Cluster] = true
		}
	}
	var clusters []*rollout.Cluster
	for _, c := range app.candidates {
		if on[c.Name] {
			clusters = append(clusters, &rollout.Cluster{ID: p.ids[c.Name], Name: c.Name, Labels: c.Labels})
		}
	}
	version = max(version, app.candidatesVersion)
	waves := rollout.WavesOf(policy, clusters, state.Release)
	app.leftOut = map[string]bool{}
	for _, c := range clusters {
		if waves[c.ID] == "" {
			app.leftOut[c.Name] = true
		}
	}
	return version
}
