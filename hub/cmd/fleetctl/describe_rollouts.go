package main

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// maxRollouts is how many of the newest Rollouts the description of an App has.
const maxRollouts = 5

// describeRollouts adds the Rollouts of an App, or who uses a RolloutPolicy and what goes on by it. A hub that is older has
// none.
func (h *hub) describeRollouts(ctx context.Context, d *description, r ref) (err error) {
	switch {
	case r.kind.App && r.cluster == "":
		d.rollouts, _, err = h.rolloutList(ctx, listOf(r), maxRollouts, nil)
	case r.kind.App:
		return orOlder(h.describeTurn(ctx, d, r))
	case r.kind.Name == resource.RolloutPolicy.Name:
		placements, _, err := h.list(ctx, query{kind: resource.Placement})
		if err != nil {
			return err
		}
		apps := map[string]bool{}
		for _, o := range placements {
			p := placementOf(o)
			if p.RolloutPolicyRef == nil || p.RolloutPolicyRef.Name != r.name {
				continue
			}
			d.users = append(d.users, o)
			for _, app := range p.Apps {
				apps[app.Kind+"/"+o.Metadata.Namespace+"/"+app.Name] = true
			}
		}
		if len(apps) > 0 {
			d.rollouts, _, err = h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Phases: inFlight}, maxInFlight, func(ro *adminv1.Rollout) bool { return apps[appOf(ro).long()] })
			return orOlder(err)
		}
	}
	return orOlder(err)
}

// describeTurn adds the Rollout under way of an instance's App, and what its cluster is there.
func (h *hub) describeTurn(ctx context.Context, d *description, r ref) error {
	response, err := h.rollouts.GetRollout(ctx, &adminv1.GetRolloutRequest{App: rolloutRef{app: r}.request()})
	ro := response.GetRollout()
	switch {
	case status.Code(err) == codes.NotFound:
		return nil
	case err != nil, over(ro):
		return err
	}
	clusters, _, err := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro)}, 0)
	for _, c := range clusters {
		if c.GetCluster() == r.cluster {
			d.rollouts, d.turn = []*adminv1.Rollout{ro}, c
		}
	}
	return err
}

// describeUse tells who uses a RolloutPolicy, and the Rollouts.
func (a *app) describeUse(d *description) {
	for i, o := range d.users {
		if i == 0 {
			fmt.Fprintln(a.stdout, "Used by:")
		}
		fmt.Fprintf(a.stdout, "  %s for %s\n", o.ref().pasted(), placedApps(placementOf(o)))
	}
	if d.object.kind.Name == resource.RolloutPolicy.Name && len(d.users) == 0 {
		fmt.Fprintln(a.stdout, "Used by:\n  no Placement: spec.rolloutPolicyRef of one names it")
	}
	for i, ro := range d.rollouts {
		if i == 0 {
			fmt.Fprintln(a.stdout, "Rollouts:")
		}
		if over(ro) {
			fmt.Fprintf(a.stdout, "  %s   %s   %s   %s   %s ago\n", a.phaseMark(ro), ro.GetId(), releaseText(ro), doneText(ro.GetTotals()), age(ro.GetFinished(), a.now()))
			continue
		}
		fmt.Fprintln(a.stdout, "  "+a.rolloutLine(ro))
	}
	if c := d.turn; c != nil {
		fmt.Fprintln(a.stdout, "  "+strings.TrimSuffix(c.GetCluster()+" in wave "+waveOf(d.rollouts[0], c)+": "+c.GetPhase()+": "+clusterTrouble(c), ": "))
	}
}
