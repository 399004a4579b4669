package main

import (
	"context"
	"errors"
	"fmt"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// planApply asks the hub what each declaration would do; nothing is stored unless all of them are valid.
func (a *app) planApply(ctx context.Context, h *hub, declared []declaration) ([]*adminv1.ApplyResponse, error) {
	var planned []*adminv1.ApplyResponse
	var wrong problems
	code := exitDone
	for _, d := range declared {
		response, err := a.planOne(ctx, h, d)
		if err != nil {
			f := a.explain("", err)
			if f.code == exitDenied || forTheRest(f) {
				return nil, f
			}
			wrong.add(d.manifest, d.long(), errors.New(f.what))
			code = max(code, f.code)
		}
		planned = append(planned, response)
	}
	if len(wrong) > 0 {
		return nil, wrong.failure("nothing was applied", code)
	}
	withNewClusters(declared, planned)
	return planned, nil
}

func (a *app) planOne(ctx context.Context, h *hub, d declaration) (*adminv1.ApplyResponse, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	return h.objects.Apply(ctx, &adminv1.ApplyRequest{Object: d.object, DryRun: true})
}

// forTheRest reports whether what would be tried next would fail in the same way.
func forTheRest(f *failure) bool {
	return f.code == exitUnreachable || f.code == exitInterrupted || f.code == exitTimeout
}

// withNewClusters counts, where every cluster is meant, those that are declared in the same breath: the hub does not have
// them yet.
func withNewClusters(declared []declaration, planned []*adminv1.ApplyResponse) {
	created := uint32(0)
	for i, d := range declared {
		if d.kind.Name == resource.Cluster.Name && planned[i].GetChange() == adminv1.Change_CHANGE_CREATED {
			created++
		}
	}
	for _, response := range planned {
		if impact := response.GetImpact(); created > 0 && impact.GetEveryCluster() {
			impact.Summary = fmt.Sprintf("%s, and %s declared with it", describeImpact(impact), count(int(created), "cluster"))
			impact.Clusters += created
		}
	}
}

func stakes(declared []declaration, planned []*adminv1.ApplyResponse) []stake {
	var all []stake
	for i, response := range planned {
		if atStake(response) {
			all = append(all, stake{what: declared[i].ref.String(), impact: response.GetImpact()})
		}
	}
	return all
}

// atStake reports whether a change has to be confirmed.
func atStake(response *adminv1.ApplyResponse) bool {
	return response.GetChange() != adminv1.Change_CHANGE_UNCHANGED && grave(response.GetImpact())
}

// confirmed is the number of clusters to send as confirmed with a declaration that was planned; nil: none. Where Clusters
// were stored since, it is planned anew: its number may be another, and must not be above the one a person confirmed.
func (a *app) confirmed(ctx context.Context, h *hub, d declaration, planned *adminv1.ApplyResponse, clustersChanged bool) (*uint32, error) {
	if !atStake(planned) {
		return nil, nil
	}
	clusters := planned.GetImpact().GetClusters()
	if !clustersChanged {
		return &clusters, nil
	}
	now, err := a.planOne(ctx, h, d)
	switch {
	case err != nil:
		return nil, err
	case !atStake(now):
		return nil, nil
	case now.GetImpact().GetClusters() > clusters:
		return nil, &failure{code: exitPrecondition, what: fmt.Sprintf("%s were confirmed, and it concerns %d now: look again", count(int(clusters), "cluster"), now.GetImpact().GetClusters())}
	}
	clusters = now.GetImpact().GetClusters()
	return &clusters, nil
}
