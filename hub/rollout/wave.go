package rollout

import (
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// advance takes the waves as far as they go now.
func (t *turn) advance() {
	t.waits("", "")
	for t.ro.Phase == Running && t.ro.Wave < len(t.ro.Waves) && t.advanceWave() {
	}
	if t.ro.Phase != Running || t.ro.Wave < len(t.ro.Waves) {
		return
	}
	if n := t.all(); n.InFlight > 0 {
		t.waits(ReasonWaitingClusters, number(n.InFlight, "cluster is not there yet", "clusters are not there yet"))
		return
	}
	t.finish()
}

// advanceWave does what there is to do for the wave under way, and reports whether it went on.
func (t *turn) advanceWave() bool {
	w, policy := &t.ro.Waves[t.ro.Wave], t.ro.policyOf(t.ro.Wave)
	since(&w.Entered, t.Now)
	switch w.Phase {
	case WavePending:
		return t.enter(w, policy)
	case WaveBefore:
		if !t.gates(w, false) {
			return false
		}
		w.Phase = WaveUpdating
	case WaveUpdating:
		t.dispatch(w)
		if !t.covered(w, policy) {
			return false
		}
		w.Phase = WaveAfter
	case WaveAfter:
		enough := func() bool { return w.enough(t.totals(t.of(t.ro.Wave)), policy) }
		if enough() && !t.gates(w, true) {
			return false
		}
		if !enough() { // clusters went, or a gate found them bad: others are updated, and what has passed stays passed
			w.stop(t.Now)
			w.Phase = WaveUpdating
			break
		}
		t.leave(w, WaveDone)
	default:
		t.ro.Wave++
		return true
	}
	t.tell(Event{Type: "Wave" + string(w.Phase), Wave: w.Name})
	return true
}

// policyOf is what the policy says of a wave; a last one may be there that it does not name.
func (r *Rollout) policyOf(wave int) fleet.Wave {
	if wave < len(r.Policy.Waves) {
		return r.Policy.Waves[wave]
	}
	return r.Policy.RestWave()
}

// enter begins a wave that has members, and passes one over that has none.
func (t *turn) enter(w *Wave, policy fleet.Wave) bool {
	switch n := t.totals(t.of(t.ro.Wave)); {
	case n.Counted() > 0:
		w.Phase = WaveBefore
		t.tell(Event{Type: "Wave" + string(w.Phase), Wave: w.Name})
	case policy.Required && !w.Accepted:
		t.empty(w)
		return false
	default:
		t.leave(w, WaveSkipped)
		t.tell(Event{Type: "Wave" + string(w.Phase), Wave: w.Name, Message: "no cluster is in it"})
	}
	return true
}

// empty stops at a wave that has to have a cluster, and has none.
func (t *turn) empty(w *Wave) {
	t.phase(Halted, ReasonEmptyWave, fmt.Sprintf("wave %s is required and no cluster is in it", w.Name))
}

// leave ends a wave.
func (t *turn) leave(w *Wave, p WavePhase) {
	w.Phase = p
	w.stop(t.Now)
}

// enough reports whether as many clusters are decided as the wave needs; one without any has been passed over by people.
func (w *Wave) enough(n Totals, policy fleet.Wave) bool {
	fresh := n.Succeeded - n.Stale
	switch {
	case w.Accepted:
		return true
	case n.Counted() == 0:
		return !policy.Required
	}
	return fresh >= 1 && fresh+n.Failed >= policy.MinUpdated.RoundedUpOf(n.Counted())
}

// covered reports whether the wave's clusters are settled, and enough of them decided. If they are settled and not
// enough, that is waited for, and at last the Rollout paused.
func (t *turn) covered(w *Wave, policy fleet.Wave) bool {
	if t.ro.Phase != Running {
		return false
	}
	n := t.totals(t.of(t.ro.Wave))
	settled, enough := n.Pending == 0 && n.InFlight == 0, w.enough(n, policy)
	if n.Counted() == 0 && !enough {
		t.empty(w)
		return false
	}
	w.Coverage.run(t.Now, settled && !enough)
	if !settled || enough {
		return settled
	}
	message := t.uncovered(w, policy, n)
	t.waits(ReasonCoverage, message)
	if t.spent(w.Coverage, policy.CoverageTimeout.OrZero()) {
		w.Coverage = Clock{} // once somebody resumes it is waited for anew
		t.phase(Paused, ReasonCoverage, message)
	}
	return false
}

// uncovered says what a wave lacks.
func (t *turn) uncovered(w *Wave, policy fleet.Wave, n Totals) string {
	fresh := n.Succeeded - n.Stale
	message := fmt.Sprintf("wave %s: %d of %d clusters are decided, %s needed", w.Name, fresh+n.Failed, n.Counted(),
		number(policy.MinUpdated.RoundedUpOf(n.Counted()), "is", "are"))
	if fresh == 0 {
		message = fmt.Sprintf("wave %s: no cluster of %d has succeeded", w.Name, n.Counted())
	}
	in := func(phase MemberPhase, stale bool) string {
		return t.names(func(m *Member) bool { return m.Wave == t.ro.Wave && m.Phase == phase && t.stale(m) == stale })
	}
	if deferred := in(MemberDeferred, false); deferred != "" {
		message += "; deferred: " + deferred
	}
	if stale := in(MemberSucceeded, true); stale != "" {
		message += "; out of reach since they succeeded: " + stale
	}
	return message
}

// finish ends a Rollout that has gone through all waves.
func (t *turn) finish() {
	n := t.all()
	if n.Counted() == 0 || n.Succeeded == 0 && t.track.Outcome(t.ro.Target) != Good {
		t.lapse(n)
		return
	}
	t.track.Stable, t.track.Kept = t.ro.Target, nil
	t.track.judge(t.ro.Target, Good, t.ro.ID, t.Now)
	message := fmt.Sprintf("%d of %d clusters", n.Succeeded, n.Counted())
	if late := n.Deferred + n.Pending; late > 0 {
		message += ", " + number(late, "catches up when it can", "catch up when they can")
	}
	t.phase(Succeeded, "", message)
}

// lapse ends a Rollout in which no cluster has succeeded, whoever accepted that: it has shown nothing of its Release. One
// whose clusters are all gone begins anew once there is one.
func (t *turn) lapse(n Totals) {
	if n.Removed == n.Size && t.track.Handled == t.ro.Target {
		t.track.Handled = fleet.Digest{}
	}
	message := "no cluster has got there"
	if n.Counted() == 0 {
		message = "no cluster is left in it"
	}
	t.keep()
	t.phase(Cancelled, "", message+": nothing is known of its Release")
}

// rest stops the clocks of waves and gates while the Rollout does not run.
func (t *turn) rest() {
	for i := range t.ro.Waves {
		t.ro.Waves[i].stop(t.Now)
	}
}

// stop has the clocks of the wave and its gates stand still.
func (w *Wave) stop(now time.Time) {
	w.Coverage.run(now, false)
	w.Blocked.run(now, false)
	for _, g := range w.gates() {
		g.Elapsed.run(now, false)
	}
}

// gates are all of the wave.
func (w *Wave) gates() []*Gate {
	gates := make([]*Gate, 0, len(w.Before)+len(w.After))
	for _, side := range [][]Gate{w.Before, w.After} {
		for i := range side {
			gates = append(gates, &side[i])
		}
	}
	return gates
}
