package main

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// warnOfMissingPolicies tells of Placements that name a RolloutPolicy which is neither declared nor among the declarations. They
// are taken all the same: the policy may come later. What the hub cannot tell now is left out.
func (a *app) warnOfMissingPolicies(ctx context.Context, h *hub, declared []declaration) {
	brought := map[string]bool{}
	for _, d := range declared {
		if d.kind.Name == resource.RolloutPolicy.Name {
			brought[d.name] = true
		}
	}
	for _, d := range declared {
		if d.kind.Name != resource.Placement.Name {
			continue
		}
		o, err := readObject(d.object)
		if err != nil {
			continue // nor has the hub taken it
		}
		placement := placementOf(o)
		if policy := placement.RolloutPolicyRef; policy == nil || brought[policy.Name] {
			continue
		}
		if missing, err := a.lacksPolicy(ctx, h, placement); err == nil && missing {
			a.warn("%s: no RolloutPolicy %s is declared: nothing new is rolled out until it is", d.ref, placement.RolloutPolicyRef.Name)
		}
	}
}

// lacksPolicy reports whether the RolloutPolicy that a Placement names is not declared.
func (a *app) lacksPolicy(ctx context.Context, h *hub, p fleet.Placement) (bool, error) {
	if p.RolloutPolicyRef == nil {
		return false, nil
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	_, err := h.get(ctx, ref{kind: resource.RolloutPolicy, name: p.RolloutPolicyRef.Name})
	if status.Code(err) == codes.NotFound {
		return true, nil
	}
	return false, err
}
