package rollout

import (
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Pause stops going forward. What was begun goes on, and failures are watched.
type Pause struct{ Actor, Reason string }

func (c Pause) apply(t *turn) error {
	switch err := t.underWay(); {
	case err != nil:
		return err
	case t.ro.Phase == Paused && t.ro.Reason == ReasonUser:
		return nil
	case t.ro.Phase != Running && t.ro.Phase != Paused:
		return t.refuse("it is %s, not Running", t.ro.Phase)
	}
	t.phase(Paused, ReasonUser, c.Reason)
	t.by(c.Actor)
	return nil
}

// Resume goes on where the Rollout stopped.
type Resume struct {
	Actor, Reason string
	// AcceptCoverage takes the wave as it is. RetryGate has a gate that failed or could not tell ask anew.
	AcceptCoverage, RetryGate bool
}

func (c Resume) apply(t *turn) error {
	switch err := t.underWay(); {
	case err != nil:
		return err
	case t.ro.Phase == Running && !c.AcceptCoverage && !c.RetryGate:
		return nil
	case t.ro.Phase != Paused && t.ro.Phase != Halted:
		return t.refuse("it is %s, neither Paused nor Halted", t.ro.Phase)
	}
	if t.ro.Wave < len(t.ro.Waves) {
		if err := c.resume(t, &t.ro.Waves[t.ro.Wave], t.ro.policyOf(t.ro.Wave)); err != nil {
			return err
		}
	} else if message := t.breach(); t.ro.Phase == Halted && message != "" {
		return t.refuseFailed(message)
	}
	if t.ro.Phase == Halted && t.track.Outcome(t.ro.Target) == Bad {
		t.track.forget(t.ro.Target)
	}
	t.phase(Running, "", c.Reason)
	t.by(c.Actor)
	return nil
}

// resume prepares the wave under way for going on.
func (c Resume) resume(t *turn, w *Wave, policy fleet.Wave) error {
	if c.AcceptCoverage {
		w.Accepted = true
	}
	if c.RetryGate {
		t.retryGates(w)
	}
	if t.ro.Phase == Halted {
		if err := t.cured(w, policy); err != nil {
			return err
		}
		w.Blocked = Clock{}
	}
	for _, g := range w.gates() {
		if g.Phase == GateInconclusive {
			t.retry(g)
		}
	}
	return nil
}

// cured says what has to be done before a Rollout that was halted goes on; nil: nothing.
func (t *turn) cured(w *Wave, policy fleet.Wave) error {
	if message := t.breach(); message != "" {
		return t.refuseFailed(message)
	}
	broken := func(m *Member) bool { return m.Phase != MemberPending && t.unavailable(m) }
	n := 0
	for i := range t.ro.Members {
		if broken(&t.ro.Members[i]) {
			n++
		}
	}
	if t.ro.Reason == ReasonAvailabilityBudget && n >= t.ro.MaxUnavailable && t.outs() > 0 {
		return t.refuse("%s not available and %d may be: %s; repair, retry or skip them first", number(n, "cluster is", "clusters are"), t.ro.MaxUnavailable, t.names(broken))
	}
	for _, g := range w.gates() {
		switch {
		case g.Phase == GateFailed, g.Phase == GateInconclusive:
			return t.refuse("gate %s: %s; have it ask again (rollout resume --retry-gate) or pass it over (rollout skip-gate)", g.Name, g.Detail)
		case g.rejected() && !g.Phase.open():
			return t.refuse("gate %s: %s; it can only be passed over (rollout skip-gate)", g.Name, g.Detail)
		}
	}
	if counted := t.totals(t.of(t.ro.Wave)).Counted(); counted == 0 && policy.Required && !w.Accepted {
		return t.refuse("wave %s is required and empty; take it as it is with --accept-coverage", w.Name)
	}
	return nil
}

func (t *turn) refuseFailed(message string) error {
	return t.refuse("%s; retry them (rollout retry-cluster) or pass them over (rollout skip-cluster) first", message)
}

// retryGates has gates ask anew that failed or could not tell.
func (t *turn) retryGates(w *Wave) {
	for _, g := range w.gates() {
		if g.Phase == GateFailed || g.Phase == GateInconclusive {
			t.retry(g)
		}
	}
}

// retry has a gate ask anew.
func (t *turn) retry(g *Gate) {
	for i := range g.Probes {
		p := &g.Probes[i]
		*p = Probe{Cluster: p.Cluster, Due: t.Now}
	}
	g.Phase = GateRunning
}

func (g *Gate) rejected() bool {
	return slices.ContainsFunc(g.Decisions, func(d Decision) bool { return !d.Approve })
}
