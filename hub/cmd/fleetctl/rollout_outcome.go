package main

import (
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// The phases of a Rollout, as the hub names them.
const (
	phaseQueued         = "Queued"
	phaseRunning        = "Running"
	phasePaused         = "Paused"
	phaseHalted         = "Halted"
	phaseRollingBack    = "RollingBack"
	phaseSucceeded      = "Succeeded"
	phaseRolledBack     = "RolledBack"
	phaseRollbackFailed = "RollbackFailed"
	phaseCancelled      = "Cancelled"
	phaseSuperseded     = "Superseded"
)

// inFlight are the phases of a Rollout that is not over.
var inFlight = []string{phaseQueued, phaseRunning, phasePaused, phaseHalted, phaseRollingBack}

// over reports whether the Rollout is at an end for good.
func over(ro *adminv1.Rollout) bool { return !slices.Contains(inFlight, ro.GetPhase()) }

// settled reports whether nothing more comes of the Rollout by itself, and with which exit code that is.
func settled(ro *adminv1.Rollout) (exitCode, bool) {
	switch {
	case ro.GetPhase() == phaseSucceeded:
		return exitDone, true
	case ro.GetPhase() == phaseHalted, over(ro):
		return exitFailed, true
	}
	return exitDone, false
}

// awaited says what a person has to do before the Rollout goes on; empty: nothing.
func awaited(ro *adminv1.Rollout) string {
	id := ro.GetId()
	switch ro.GetPhase() {
	case phasePaused:
		switch ro.GetReason() {
		case "InsufficientCoverage":
			return "fleetctl rollout resume " + id + " to wait on, with --accept-coverage to go on as it is, or fleetctl rollout skip-cluster " + id + " --all-deferred"
		case "InconclusiveGate":
			return "fleetctl rollout resume " + id + " to ask again, or fleetctl rollout skip-gate " + id + " --reason TEXT"
		case "ApprovalTimeout":
			return pastApproval(ro) + "fleetctl rollout resume " + id
		}
		return "fleetctl rollout resume " + id
	case phaseQueued:
		switch ro.GetReason() {
		case "AwaitingStart":
			return "fleetctl rollout start " + appOf(ro).command()
		case "UnmatchedClusters":
			return "labels that a wave takes, or another wave or spec.unmatched in the RolloutPolicy: fleetctl targets " + appOf(ro).command() + " has all clusters"
		}
	case phaseRunning:
		if wave, g := gateUnderWay(ro); g.GetType() == "Approval" {
			if why := unapprovable(ro, wave, g, ro.GetActor()); why != "" {
				return skipGateCommand(ro, wave.GetName(), g.GetName()) + ", since nobody can approve: " + why
			}
			return approveCommand(ro, wave.GetName(), g.GetName())
		}
		switch ro.GetReason() {
		case "Frozen":
			return "fleetctl unfreeze"
		case "Suspended":
			return "fleetctl resume " + appOf(ro).command()
		case "NoWindowOpens": // it began by this policy, and ends by it
			return "fleetctl rollout cancel " + id + ", and start another with a window in the RolloutPolicy that opens"
		}
	}
	return ""
}

// pastApproval is what has to be done before a Rollout whose approval timed out is resumed; empty: nothing.
func pastApproval(ro *adminv1.Rollout) string {
	wave, g := gateUnderWay(ro)
	if g.GetType() != string(fleet.GateApproval) || approved(ro, wave, g) {
		return ""
	}
	skip := skipGateCommand(ro, wave.GetName(), g.GetName())
	if why := unapprovable(ro, wave, g, ro.GetActor()); why != "" {
		return skip + ", since nobody can approve: " + why + "; and then "
	}
	return approveCommand(ro, wave.GetName(), g.GetName()) + ", or " + skip + "; and then "
}

// cured reports whether what a Rollout was halted for is gone, so that only resuming it is left.
func cured(ro *adminv1.Rollout) bool {
	wave := waveUnderWay(ro)
	passedOver := func(bad func(*adminv1.RolloutGate) bool) bool {
		gates := append(slices.Clone(wave.GetBefore()), wave.GetAfter()...)
		return slices.ContainsFunc(gates, func(g *adminv1.RolloutGate) bool { return g.GetPhase() == "Overridden" }) && !slices.ContainsFunc(gates, bad)
	}
	switch ro.GetReason() {
	case "FailureBudget":
		return !slices.ContainsFunc(ro.GetWaves(), func(w *adminv1.RolloutWave) bool { return w.GetTotals().GetFailed() > w.GetMaxFailures() })
	case "AvailabilityBudget":
		return ro.GetTotals().GetUnavailable() < ro.GetMaxUnavailable()
	case "GateFailed", "InconclusiveGate":
		return passedOver(func(g *adminv1.RolloutGate) bool { return g.GetPhase() == "Failed" || g.GetPhase() == "Inconclusive" })
	case "ApprovalRejected":
		rejects := func(d *adminv1.RolloutDecision) bool { return !d.GetApprove() }
		return passedOver(func(g *adminv1.RolloutGate) bool {
			return g.GetPhase() != "Overridden" && g.GetPhase() != "Passed" && slices.ContainsFunc(g.GetDecisions(), rejects)
		})
	case "ApprovalTimeout":
		return pastApproval(ro) == ""
	}
	return false
}

// mending says what may follow a halt, which has more than one way out.
func mending(ro *adminv1.Rollout) string {
	id, resume := ro.GetId(), "fleetctl rollout resume "+ro.GetId()
	if cured(ro) {
		return resume + ", since its cause is gone; or fleetctl rollout rollback " + id
	}
	text := "fleetctl rollout rollback " + id + "; or when its cause is gone, "
	switch ro.GetReason() {
	case "FailureBudget":
		return text + "retry-cluster or skip-cluster those that failed, and " + resume
	case "AvailabilityBudget":
		return text + "retry-cluster or skip-cluster those that are not available, and " + resume
	case "GateFailed", "InconclusiveGate":
		return text + resume + " --retry-gate, or fleetctl rollout skip-gate " + id + " --reason TEXT and " + resume
	case "ApprovalRejected":
		return "fleetctl rollout rollback " + id + "; or fleetctl rollout skip-gate " + id + " --reason TEXT, and " + resume
	case "ApprovalTimeout":
		return "fleetctl rollout rollback " + id + "; or " + pastApproval(ro) + resume
	case "EmptyRequiredWave":
		return text + resume + ", or " + resume + " --accept-coverage"
	}
	return text + "retry-cluster, skip-cluster or skip-gate, and " + resume + " (--retry-gate has a gate ask anew)"
}

// gateUnderWay is the gate that a Rollout waits for, and its wave; nil: none.
func gateUnderWay(ro *adminv1.Rollout) (*adminv1.RolloutWave, *adminv1.RolloutGate) {
	wave := waveUnderWay(ro)
	for _, g := range append(slices.Clone(wave.GetBefore()), wave.GetAfter()...) {
		if g.GetPhase() == "Running" {
			return wave, g
		}
	}
	return wave, nil
}

// waveUnderWay is the wave that a Rollout is at; nil: none.
func waveUnderWay(ro *adminv1.Rollout) *adminv1.RolloutWave {
	if at := int(ro.GetWave()); at < len(ro.GetWaves()) && ro.GetPhase() != phaseQueued {
		return ro.GetWaves()[at]
	}
	return nil
}

// ended is how a command ends that has followed a settled Rollout; nil: it succeeded.
func ended(ro *adminv1.Rollout, clusters []*adminv1.RolloutCluster) error {
	code, done := settled(ro)
	if !done || code == exitDone {
		return nil
	}
	id := ro.GetId()
	f := &failure{code: code, what: fmt.Sprintf("%s of %s %s", id, appOf(ro), phaseText(ro)), why: whyText(ro)}
	for _, c := range clusters {
		if isFailed(c) {
			f.why += "\n" + c.GetCluster() + ": " + clusterTrouble(c)
		}
	}
	switch ro.GetPhase() {
	case phaseHalted:
		f.next = mending(ro)
	case phaseSuperseded:
		if by := ro.GetSupersededBy(); by != "" {
			f.next = "fleetctl rollout status " + by
		}
	case phaseRollbackFailed:
		f.next = "fleetctl rollout status " + id + " --watch=false -o wide"
	case phaseRolledBack:
		f.next = "a revision that mends it; this one does not start by itself again"
	}
	return f
}

// phaseText is the phase as a part of a sentence.
func phaseText(ro *adminv1.Rollout) string {
	switch ro.GetPhase() {
	case phaseSucceeded:
		return "succeeded"
	case phaseHalted:
		return "is halted"
	case phaseRolledBack:
		return "was rolled back"
	case phaseRollbackFailed:
		return "could not be rolled back everywhere"
	case phaseCancelled:
		return "was cancelled"
	case phaseSuperseded:
		return "was superseded"
	}
	return "is " + ro.GetPhase()
}

// whyText says why the phase is what it is.
func whyText(ro *adminv1.Rollout) string {
	reason, message := ro.GetReason(), printer.Fold(ro.GetMessage())
	if wave, g := gateUnderWay(ro); g != nil && reason == "WaitingGate" { // as it is by now
		message = fmt.Sprintf("wave %s: gate %s: %s", wave.GetName(), g.GetName(), gateDetail(g))
	}
	switch {
	case reason == "" || reason == "User": // a person did it, and may have said why
		return message
	case message == "":
		return reason
	}
	return reason + ": " + message
}

// causeText says why a person began the Rollout; empty: nobody said.
func causeText(ro *adminv1.Rollout) string {
	if cause := printer.Fold(ro.GetChangeCause()); cause != "" {
		return "change cause: " + cause
	}
	return ""
}

// verdictText is what is known of the Release of a Rollout: Good, Bad, or empty where that is nothing.
func verdictText(ro *adminv1.Rollout) string {
	if ro.GetVerdict() == "Unknown" {
		return ""
	}
	return ro.GetVerdict()
}

func isFailed(c *adminv1.RolloutCluster) bool {
	return c.GetPhase() == "Failed" || c.GetPhase() == "RollbackFailed"
}

// clusterTrouble is what is wrong with a cluster, and what it waits for. What a failed one waits for is told once, for all.
func clusterTrouble(c *adminv1.RolloutCluster) string {
	message, waits := printer.Fold(c.GetMessage()), printer.Fold(c.GetWaitsFor())
	switch {
	case isFailed(c), strings.HasSuffix(message, waits):
		waits = ""
	case strings.HasSuffix(waits, message):
		message = ""
	}
	if waits != "" {
		waits = "waits for " + waits
	}
	parts := []string{c.GetFailure(), message, waits}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ": ")
}
