package rollout

import (
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Gate is a gate of a wave, as it is.
type Gate struct {
	Name  string         `json:"name"`
	Type  fleet.GateType `json:"type"`
	Phase GatePhase      `json:"phase"`
	// Detail says what it waits for, or why it did not pass.
	Detail string `json:"detail,omitempty"`
	// Elapsed counts a soak, and how long an approval is waited for.
	Elapsed Clock `json:"elapsed,omitzero"`
	// Decisions of people, in their order. None is ever changed.
	Decisions []Decision `json:"decisions,omitempty"`
	// Asked counts the questions, of all who ask.
	Asked int `json:"asked,omitempty"`
	// Probes are those who ask: the hub, or each cluster. Measurements are the last of their results.
	Probes       []Probe       `json:"probes,omitempty"`
	Measurements []Measurement `json:"measurements,omitempty"`
}

// GatePhase is where a gate is.
type GatePhase string

// The phases of a gate.
const (
	GateWaiting      GatePhase = "Waiting"
	GateRunning      GatePhase = "Running"
	GatePassed       GatePhase = "Passed"
	GateFailed       GatePhase = "Failed"
	GateInconclusive GatePhase = "Inconclusive"
	GateOverridden   GatePhase = "Overridden"
)

// open reports whether the gate lets through.
func (p GatePhase) open() bool { return p == GatePassed || p == GateOverridden }

// Decision is a person's word.
type Decision struct {
	Principal string    `json:"principal"`
	Approve   bool      `json:"approve"`
	Comment   string    `json:"comment,omitempty"`
	At        time.Time `json:"at"`
}

func gatesOf(policies []fleet.Gate) []Gate {
	gates := make([]Gate, len(policies))
	for i, p := range policies {
		gates[i] = Gate{Name: p.Name(), Type: p.Type(), Phase: GateWaiting}
	}
	return gates
}

func cloneGates(gates []Gate) []Gate {
	gates = slices.Clone(gates)
	for i := range gates {
		gates[i].Decisions = slices.Clone(gates[i].Decisions)
		gates[i].Probes = slices.Clone(gates[i].Probes)
		gates[i].Measurements = slices.Clone(gates[i].Measurements)
	}
	return gates
}

// gates takes those of one side of the wave under way in their order, and reports whether all let through.
func (t *turn) gates(w *Wave, after bool) bool {
	gates, policies := w.Before, t.ro.policyOf(t.ro.Wave).Before
	if after {
		gates, policies = w.After, t.ro.policyOf(t.ro.Wave).After
	}
	for i := range gates {
		g := &gates[i]
		if g.Phase.open() {
			continue
		}
		if g.Phase == GateWaiting {
			g.Phase = GateRunning
			t.tell(Event{Type: "GateOpened", Wave: w.Name, Gate: g.Name})
		}
		t.gate(w, g, policies[i], place{wave: t.ro.Wave, after: after, gate: i})
		t.judge() // it may have found that clusters are bad
		if t.ro.Phase != Running {
			return false
		}
		if !g.Phase.open() {
			t.waits(ReasonWaitingGate, fmt.Sprintf("wave %s: gate %s: %s", w.Name, g.Name, g.Detail))
			return false
		}
	}
	return true
}

// place is where a gate is.
type place struct {
	wave  int
	after bool
	gate  int
}

// gate brings one gate up to now.
func (t *turn) gate(w *Wave, g *Gate, policy fleet.Gate, at place) {
	switch {
	case policy.Soak != nil:
		t.soak(g, policy.Soak)
	case policy.Approval != nil:
		t.approval(g, policy.Approval)
	default:
		t.probe(g, policy, at)
	}
	switch g.Phase {
	case GatePassed:
		g.Elapsed.run(t.Now, false)
		g.Probes = nil // nobody asks any more, and there may be one for each of ten thousand clusters
		t.tell(Event{Type: "GatePassed", Wave: w.Name, Gate: g.Name, Message: g.Detail})
	case GateFailed:
		t.tell(Event{Type: "GateFailed", Wave: w.Name, Gate: g.Name, Message: g.Detail})
		t.halt(ReasonGateFailed, fmt.Sprintf("wave %s: gate %s failed: %s", w.Name, g.Name, g.Detail))
	case GateInconclusive:
		t.tell(Event{Type: "GateInconclusive", Wave: w.Name, Gate: g.Name, Message: g.Detail})
		message := fmt.Sprintf("wave %s: gate %s cannot tell: %s", w.Name, g.Name, g.Detail)
		if t.ro.Policy.OnInconclusive == fleet.InconclusiveHalt {
			t.phase(Halted, ReasonInconclusiveGate, message)
		} else {
			t.phase(Paused, ReasonInconclusiveGate, message)
		}
	}
}

// soak counts while every cluster that has succeeded, in this wave or before, is available.
func (t *turn) soak(g *Gate, policy *fleet.SoakGate) {
	var without *Member
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		if m.Phase != MemberSucceeded || m.Wave > t.ro.Wave || t.stale(m) {
			continue
		}
		r := t.heard(m, t.ro.Target)
		if !m.Unavailable.IsZero() || m.Lost.IsZero() && (r == nil || !r.Available) {
			without = m
			break
		}
	}
	g.Elapsed.run(t.Now, without == nil)
	g.Detail = fmt.Sprintf("%s of %s", g.Elapsed.Elapsed(t.Now).Round(time.Second), policy.Duration.Duration)
	if without != nil {
		g.Detail += ", stands still: " + without.Name + " is not available"
	}
	if t.spent(g.Elapsed, policy.Duration.Duration) {
		g.Phase = GatePassed
	}
}

// approval counts those who approve. One who rejects is enough.
func (t *turn) approval(g *Gate, policy *fleet.ApprovalGate) {
	approved := 0
	for _, d := range g.Decisions {
		switch {
		case !d.Approve:
			g.Detail = "rejected by " + d.Principal
			if d.Comment != "" {
				g.Detail += ": " + d.Comment
			}
			t.stop(ReasonApprovalRejected, "gate "+g.Name+": "+g.Detail)
			return
		case d.Principal == t.ro.Actor && !policy.AllowSelf:
		default:
			approved++
		}
	}
	g.Elapsed.run(t.Now, true)
	g.Detail = fmt.Sprintf("%d of %d approvals", approved, policy.MinApprovers)
	if approved >= policy.MinApprovers {
		g.Phase = GatePassed
		return
	}
	if policy.Timeout == nil || !t.spent(g.Elapsed, policy.Timeout.Duration) {
		return
	}
	g.Elapsed = Clock{} // once somebody resumes it is waited for anew
	message := fmt.Sprintf("gate %s: %s in %s", g.Name, g.Detail, policy.Timeout.Duration)
	if policy.OnTimeout == fleet.InconclusiveHalt {
		t.phase(Halted, ReasonApprovalTimeout, message)
		return
	}
	t.phase(Paused, ReasonApprovalTimeout, message)
}
