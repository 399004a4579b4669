package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// unapprovable says why nobody can approve at a gate of a Rollout that actor has started; empty: somebody can, or it is no
// approval.
func unapprovable(ro *adminv1.Rollout, wave *adminv1.RolloutWave, g *adminv1.RolloutGate, actor string) string {
	approval := approvalOf(ro, wave.GetName(), g.GetName())
	switch {
	case approval == nil:
		return ""
	case approval.MinApprovers > 1:
		return fmt.Sprintf("%d have to approve, and %s is the only one there is", approval.MinApprovers, fleet.Admin)
	case len(approval.Approvers) > 0 && !slices.Contains(approval.Approvers, fleet.Admin):
		return fleet.Admin + " is the only one there is, and none of its approvers"
	case actor == fleet.Admin && !approval.AllowSelf:
		return fleet.Admin + " started it and is the only one there is: allowSelf is not set"
	}
	return ""
}

// approvalOf is what the policy of a Rollout says of an approval; nil: it has none of that name.
func approvalOf(ro *adminv1.Rollout, wave, gate string) *fleet.ApprovalGate {
	var policy fleet.RolloutPolicy
	if json.Unmarshal(ro.GetPolicy(), &policy) != nil {
		return nil // a newer hub may have what is not known here
	}
	for _, w := range policy.Waves {
		for _, g := range append(slices.Clone(w.Before), w.After...) {
			if w.Name == wave && g.Name() == gate && g.Approval != nil {
				return g.Approval
			}
		}
	}
	return nil
}

// deadEnds tells of the approvals of a Rollout that nobody can give once actor has started it.
func deadEnds(ro *adminv1.Rollout, actor string) []string {
	var lines []string
	for _, g := range gatesOf(ro) {
		wave := ro.GetWaves()[g.wave]
		if why := unapprovable(ro, wave, g.RolloutGate, actor); why != "" && !g.passed() {
			lines = append(lines, fmt.Sprintf("nobody can approve at gate %s of wave %s: %s; only skip-gate passes it", g.GetName(), wave.GetName(), why))
		}
	}
	return lines
}

// approved reports whether as many have approved at a gate as have to.
func approved(ro *adminv1.Rollout, wave *adminv1.RolloutWave, g *adminv1.RolloutGate) bool {
	n, needed := 0, 1
	for _, d := range g.GetDecisions() {
		if d.GetApprove() {
			n++
		}
	}
	if approval := approvalOf(ro, wave.GetName(), g.GetName()); approval != nil {
		needed = max(needed, approval.MinApprovers)
	}
	return n >= needed
}

// approveCommand approves at a gate.
func approveCommand(ro *adminv1.Rollout, wave, gate string) string {
	return fmt.Sprintf("fleetctl rollout approve %s --wave %s --gate %s", ro.GetId(), wave, gate)
}

// skipGateCommand passes a gate over.
func skipGateCommand(ro *adminv1.Rollout, wave, gate string) string {
	return fmt.Sprintf("fleetctl rollout skip-gate %s --wave %s --gate %s --reason TEXT", ro.GetId(), wave, gate)
}
