package rollout

import (
	"fmt"
	"strings"
	"time"
)

// Waits says what a member that is not done waits for, as of the last step; empty: it waits for nothing more.
func (r *Rollout) Waits(m Member) string {
	switch {
	case m.Phase == MemberPending && r.Phase.Active():
		return r.waitsForTurn(m)
	case m.Phase.InFlight():
		return r.waitsForCluster(m)
	case m.Phase == MemberDeferred:
		return r.waitsToReturn(m)
	case m.Phase == MemberFailed && r.Phase == Halted:
		return "somebody to retry it (rollout retry-cluster), to pass it over (rollout skip-cluster) or to take the Rollout back (rollout rollback)"
	}
	return ""
}

// waitsForTurn is for a member that has not been updated.
func (r *Rollout) waitsForTurn(m Member) string {
	switch {
	case r.Phase == RollingBack:
		return "nothing: the Rollout is on its way back"
	case r.Phase != Running:
		return fmt.Sprintf("the Rollout, which is %s: %s", r.Phase, orNone(r.Message, string(r.Reason)))
	case r.Wave >= len(r.Waves):
		return "the end of the Rollout: it gets the Release afterwards"
	}
	w := r.Waves[r.Wave]
	switch {
	case m.Wave > r.Wave:
		return fmt.Sprintf("its turn in wave %s: wave %s is under way", r.Waves[m.Wave].Name, w.Name)
	case w.Phase == WavePending || w.Phase == WaveBefore:
		return r.waitsForGates(w, w.Before)
	case w.Phase == WaveAfter:
		return "the next wave: " + r.waitsForGates(w, w.After)
	case m.Message != "":
		return WaitsOut(m.Message)
	}
	switch r.Reason {
	case ReasonFrozen:
		return "the fleet to be unfrozen" + after(": ", strings.TrimPrefix(r.Message, isFrozen))
	case ReasonSuspended:
		return "the App to be resumed"
	case ReasonWindowClosed, ReasonNoWindowOpens:
		return "a window to open: " + strings.TrimPrefix(strings.TrimPrefix(r.Message, noWindow+"; "), noWindow+", and ")
	case ReasonAvailabilityBudget:
		return "clusters to be available: " + r.Message
	}
	n := r.Totals()
	switch {
	case n.Unavailable >= r.MaxUnavailable:
		return fmt.Sprintf("clusters to be available: %s not, and no more may be", number(n.Unavailable, "is", "are"))
	case n.InFlight >= w.MaxConcurrent:
		return fmt.Sprintf("its turn in wave %s: %s being updated, and no more may be at a time", w.Name, number(n.InFlight, "cluster is", "clusters are"))
	}
	return "its turn in wave " + w.Name
}

// WaitsOut is what a member waits for that is not to be updated now for that reason, as ineligible has it.
func WaitsOut(why string) string {
	for _, known := range [][2]string{
		{isAway, "it to be connected"}, {isHeld, "its hold to end: "}, {wasUnavailable, "it to be available"}, {isUnavailable, "it to be available"}, {lacksFirst, ""},
	} {
		if rest, is := strings.CutPrefix(why, known[0]); is {
			return known[1] + rest
		}
	}
	return why
}

// waitsForGates says which gate is not passed.
func (r *Rollout) waitsForGates(w Wave, gates []Gate) string {
	for _, g := range gates {
		if !g.Phase.open() {
			return fmt.Sprintf("gate %s of wave %s: %s", g.Name, w.Name, orNone(g.Detail, string(g.Phase)))
		}
	}
	return "wave " + w.Name
}

// waitsForCluster is for a member that is being changed.
func (r *Rollout) waitsForCluster(m Member) string {
	if !m.Lost.IsZero() {
		until := m.Lost.Add(r.Policy.Cluster.UnreachableTimeout.OrZero())
		return fmt.Sprintf("it to be connected: it is out of reach since %s, and counts as lost at %s", clockOf(m.Lost), clockOf(until))
	}
	switch {
	case m.Phase == MemberRollingBack:
		return "what it had before to be there" + after(": ", m.Message)
	case m.Message != "":
		return m.Message
	case m.Phase == MemberDispatched:
		return "it to say that it has the Release"
	case m.Phase == MemberVerifying && !m.Healthy.IsZero():
		return "it to stay converged until " + clockOf(m.Healthy.Add(r.Policy.Cluster.MinReady.OrZero()))
	case m.Phase == MemberVerifying:
		return "its objects to be healthy"
	}
	return "its objects to be applied"
}

// waitsToReturn is for a member that was passed over: its message says why.
func (r *Rollout) waitsToReturn(m Member) string {
	switch m.Failure {
	case DeferredOffline, DeferredLost:
		return "it to be connected"
	case DeferredHeld:
		return "its hold to end"
	case DeferredUnhealthy, DeferredStillUnhealthy:
		return "it to be available"
	}
	return "it to come back" + after(": ", m.Message)
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

func orNone(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func clockOf(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 MST") }
