package rollout_test

import (
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

// final are the phases that are never left.
func final(phase string) bool {
	switch phase {
	case "Succeeded", "RolledBack", "RollbackFailed", "Cancelled", "Superseded":
		return true
	}
	return false
}

// bad are the reasons for which a Release is bad.
func bad(reason string) bool {
	return reason == "FailureBudget" || reason == "AvailabilityBudget" || reason == "GateFailed"
}

// phased has a Rollout go on.
func (o *oracle) phased(before rollout.State, rows map[string]rollout.Row, r *ledger, e rollout.Event) {
	was := r.phase
	if final(was) {
		o.refute("%s goes from %s to %s (I10)", r.id, was, e.Type)
	}
	if e.Type != "RollingBack" && e.Type != "RolledBack" && e.Type != "RollbackFailed" || e.Reason != r.reason {
		r.reason = e.Reason
	}
	r.phase = e.Type
	switch e.Type {
	case "Running":
		resume, asked := o.w.command.(rollout.Resume)
		if !asked || was != "Paused" && was != "Halted" {
			o.refute("%s goes from %s to Running by itself", r.id, was)
		}
		at := r.wave
		if at < len(r.waves) && r.waves[at].over() {
			at++ // it is about to be entered
		}
		if resume.AcceptCoverage && at < len(r.waves) {
			r.waves[at].accepted = true
		}
		if o.verdicts[r.target] == rollout.Bad {
			delete(o.verdicts, r.target)
		}
	case "Halted":
		if bad(e.Reason) && !r.backward { // what was good stays so
			o.verdicts[r.target] = rollout.Bad
		}
		if e.Reason == "FailureBudget" {
			o.radius(r)
		}
	case "RollingBack":
		if _, asked := o.w.command.(rollout.Rollback); !asked && r.policy.OnFailure.Action != fleet.RollbackOnFailure {
			o.refute("%s is rolled back, and the policy says Halt", r.id)
		}
	case "Succeeded":
		if r.wave < len(r.waves)-1 || len(r.waves) > 0 && !r.waves[len(r.waves)-1].over() {
			o.refute("%s succeeded in wave %d of %d (I3)", r.id, r.wave, len(r.waves))
		}
		o.verdicts[r.target], o.stable = rollout.Good, r.target
	case "Cancelled":
		o.kept = r.target
	case "RolledBack", "RollbackFailed":
		o.restored(rows, r, e.Type)
	}
	if final(e.Type) && o.now == r {
		o.now = nil
		if e.Type == "Superseded" {
			o.now = r // until the one that takes its place has taken over
		}
	}
}

// radius checks how far a bad Release got (I6).
func (o *oracle) radius(r *ledger) {
	w := r.waves[min(r.wave, len(r.waves)-1)]
	changed, may, most := 0, 0, 0
	for _, p := range r.waves {
		most = max(most, p.maxConcurrent)
	}
	may = len(w.succeeded) + w.maxFailures + most
	failed := make([]int, len(r.waves))
	for _, m := range r.order {
		if m.mine {
			changed++
		}
		switch {
		case r.waves[m.wave].over():
			may++
		case m.fate == "Skipped" || m.fate == "Removed" || m.fate == "Deferred" || m.fate == "Pending" && m.mine || m.strayed:
			may++
		}
		if m.fate == "Failed" && !m.strayed {
			failed[m.wave]++
		}
	}
	if changed > may {
		o.refute("%s: %d clusters were changed when it was halted, %d may be (I6)", r.id, changed, may)
	}
	for i, n := range failed {
		if n > r.waves[i].maxFailures+most {
			o.refute("%s: %d failures in wave %s (I6)", r.id, n, r.waves[i].Name)
		}
	}
}

// restored checks that what was to go back is back (I13).
func (o *oracle) restored(rows map[string]rollout.Row, r *ledger, phase string) {
	stuck := 0
	for _, m := range r.order {
		switch {
		case m.fate == "RollbackFailed":
			stuck++
		case flying(m.fate):
			o.refute("%s is %s while cluster %s is %s (I13)", r.id, phase, m.name, m.fate)
		case r.scope == "Updated" && m.mine && m.base != r.target && (m.fate == "Succeeded" || m.fate == "Failed"),
			r.scope == "Failed" && m.mine && m.fate == "Failed" && m.base != r.target:
			o.refute("%s is %s while cluster %s is %s, its base %s (I13)", r.id, phase, m.name, m.fate, m.base)
		}
	}
	if (stuck > 0) != (phase == "RollbackFailed") {
		o.refute("%s is %s with %d clusters that are not back (I13)", r.id, phase, stuck)
	}
}

// known compares the hub's own record with the events (I10, I14).
func (o *oracle) known(before rollout.State, step rollout.Step) {
	active, queued := 0, 0
	for _, ro := range step.Rollouts {
		switch {
		case ro.Phase.Active():
			active++
		case ro.Phase == rollout.Queued:
			queued++
			o.queued = ro.ID
		}
		if r := o.runs[ro.ID]; r != nil {
			if r.scope = string(ro.Scope); r.phase != string(ro.Phase) {
				o.refute("%s is %s, its events say %s", ro.ID, ro.Phase, r.phase)
			}
		} else if dropped := ro.Phase == rollout.Cancelled && before.Queued != nil && before.Queued.ID == ro.ID; ro.Phase != rollout.Queued && ro.Phase != rollout.Superseded && !dropped {
			o.refute("%s is %s and did not begin", ro.ID, ro.Phase)
		}
	}
	if active > 1 || queued > 1 {
		o.refute("%d Rollouts are under way, %d queued (I10)", active, queued)
	}
	if o.now != nil && final(o.now.phase) {
		o.now = nil
	}
	track := step.Track
	if track == nil {
		return
	}
	if before.Track == nil { // adopted
		o.stable = track.Stable
		for _, v := range track.Verdicts {
			o.verdicts[v.Release] = v.Outcome
		}
		return
	}
	if track.Stable != o.stable {
		o.refute("Stable is %s, and %s succeeded last", track.Stable, o.stable)
	}
	for release, verdict := range o.verdicts {
		if track.Outcome(release) != verdict {
			o.refute("the verdict of %s is %q, its Rollout said %q (I14)", release, track.Outcome(release), verdict)
		}
	}
}

// pins checks that each Assignment that changes has a reason (I7).
func (o *oracle) pins(before rollout.State, step rollout.Step, rows map[string]rollout.Row) {
	begun := 0
	for id, put := range step.Put {
		was, now := *rowOf(before, id), rows[id]
		had := was.Assignment != nil && was.Assignment.State == fleet.Active
		if had && was.Release == now.Release && put.Assignment.State == fleet.Active {
			continue
		}
		if a := was.Assignment; a != nil && a.State == fleet.Removed && !was.Removed && was.Release == now.Release && put.Assignment.State == fleet.Active &&
			(o.verdicts[now.Release] == rollout.Good || now.Release == o.stable) {
			continue // a tombstone is taken back before it is carried out
		}
		var m *memberLedger
		if o.now != nil {
			m = o.now.members[id]
		}
		switch member := m != nil && m.fate != "Removed" && m.fate != "Skipped"; {
		case put.Assignment.State == fleet.Removed:
			placed := false
			for _, c := range before.Clusters {
				placed = placed || c.ID == id && choice(before, c)
			}
			if placed && !(member && m.fate == "RollingBack" && m.base.IsZero()) {
				o.refute("cluster %s loses the App, and is placed (I7)", id)
			}
			delete(o.catching, id)
		case member && m.fate == "Dispatched" && now.Release == o.now.target, member && m.fate == "RollingBack" && now.Release == m.base:
			delete(o.catching, id)
		case member:
			o.refute("%s: cluster %s is %s and gets %s: target %s, base %s (I7)", o.now.id, m.name, m.fate, now.Release, o.now.target, m.base)
		case now.Release == o.stable:
			o.catching[id], o.late[id] = o.stable, true
			begun++
		case o.catching[id] == was.Release:
			delete(o.catching, id) // it did not get there, and is put back
		default:
			o.refute("cluster %s is no member and gets %s, Stable is %s (I7)", id, now.Release, o.stable)
		}
	}
	if before.Policy != nil {
		o.paced(before, step, rows, begun)
	}
}

// paced checks that not too many catch up at the same time.
func (o *oracle) paced(before rollout.State, step rollout.Step, rows map[string]rollout.Row, begun int) {
	for _, e := range step.Events {
		if e.Type == "CatchUpFailed" {
			delete(o.late, o.names[e.Cluster])
		}
	}
	there := map[string]bool{}
	for _, c := range before.Clusters {
		there[c.ID] = choice(before, c)
	}
	placed := 0
	for _, is := range there {
		if is {
			placed++
		}
	}
	for id := range o.late {
		said := heard(rows[id], 0)
		if member := o.now != nil && o.now.members[id] != nil; member || !there[id] || said != nil && said.Converged {
			delete(o.late, id)
		}
	}
	if most := share(before.Policy.WithDefaults().CatchUp.MaxConcurrent, placed, false, 1); begun > 0 && len(o.late) > most {
		o.refute("%d clusters catch up at a time, %d may", len(o.late), most)
	}
}

// budgets checks what may not be more than so many at a time.
func (o *oracle) budgets(before rollout.State, step rollout.Step, rows map[string]rollout.Row) {
	r := o.now
	inFlight, unavailable, out, forward, more, waiting := 0, 0, 0, false, false, 0
	failed := make([]int, len(r.waves))
	for _, m := range r.order {
		row := rows[m.id]
		said := heard(row, m.generation)
		fly := flying(m.fate) || m.fate == "Pending" && m.inherited
		if fly {
			inFlight++
		}
		if m.fate == "Failed" {
			failed[m.wave]++
		}
		// One that did not serve before is not to be updated where the policy says Block: it waits for itself, not for room.
		held := r.policy.Cluster.PreexistingUnhealthy == fleet.UnhealthyBlock && !m.moved && !servesNow(row) && !o.spoilt(row)
		if m.fate == "Pending" && m.wave <= r.wave && !held {
			waiting++
		}
		if m.moved && m.served && m.fate != "Removed" && m.fate != "Skipped" && m.fate != "RolledBack" && (fly || row.Assignment != nil && row.Assignment.State == fleet.Active && (said == nil || !said.Available)) {
			unavailable++
			if m.mine || fly {
				out++
			}
		}
		if m.awayAll && (m.moved || m.fate == "Failed" || m.fate == "Succeeded") {
			o.refute("%s: cluster %s was away all the time and is %s (I11)", r.id, m.name, m.fate)
		}
	}
	o.maxU = max(o.maxU, unavailable)
	for _, e := range step.Events {
		if m := r.members[o.names[e.Cluster]]; e.Rollout == r.id && e.Type == "ClusterDispatched" && m.fate == "Dispatched" && m.tries == 1 {
			forward, more = true, more || !m.free
		}
	}
	breach := false
	for i, n := range failed {
		breach = breach || i <= r.wave && n > r.waves[i].maxFailures
	}
	if breach && (r.phase == "Running" || r.phase == "Paused") {
		o.refute("%s: it is %s with failures %v (I5)", r.id, r.phase, failed)
	}
	wedged := inFlight == 0 && r.maxU-unavailable < 1 && out > 0 && waiting > 0 && r.phase == "Running" && r.wave < len(r.waves) && r.waves[r.wave].phase == "Updating" && o.opens(before)
	mark(&r.blocked, before.Now, wedged)
	if wedged && before.Now.Sub(r.blocked) > r.policy.Cluster.RegressionWindow.OrZero()+time.Minute {
		o.refute("%s: nothing moves for %s, and it goes on waiting (availability)", r.id, before.Now.Sub(r.blocked))
	}
	if !forward {
		return
	}
	if more && unavailable > r.maxU && out > 1 {
		o.refute("%s: %d clusters are unavailable, %d may be (I1)", r.id, unavailable, r.maxU)
	}
	// Late ones of earlier waves go by the budget of the wave under way, which may be done in the same step.
	if w := r.waves[r.sentIn]; inFlight > w.maxConcurrent {
		o.refute("%s: %d clusters are updated at a time, %d may be (I2)", r.id, inFlight, w.maxConcurrent)
	}
}

func (o *oracle) opens(before rollout.State) bool {
	windows, err := schedule.Parse(o.now.policy.Windows)
	open, _ := windows.Open(before.Now)
	return err == nil && open && (before.Freeze == "" || o.now.backward) && !before.App.Controls.Suspend
}

// overdue checks that what has to happen has happened.
func (o *oracle) overdue(before rollout.State, rows map[string]rollout.Row) {
	r, p := o.now, o.now.policy.Cluster
	if r.phase == "RollingBack" {
		return
	}
	clusters := map[string]rollout.Cluster{}
	for _, c := range before.Clusters {
		clusters[c.ID] = c
	}
	for _, m := range r.order {
		c, exists := clusters[m.id]
		said := heard(rows[m.id], m.generation)
		if rows[m.id].Release != r.target {
			said = nil
		}
		switch {
		case m.fate == "Removed":
		case !exists || !choice(before, c):
			o.refute("%s: cluster %s is %s, and not placed any more (removal)", r.id, m.name, m.fate)
		case flying(m.fate) && m.spent > p.ProgressDeadline.OrZero() && (said == nil || !said.Converged):
			o.refute("%s: cluster %s is %s after %s (deadline)", r.id, m.name, m.fate, m.spent)
		case m.fate == "Succeeded" && !m.down.IsZero() && before.Now.Sub(m.down) >= p.RegressionWindow.OrZero():
			o.refute("%s: cluster %s does not serve for %s, and is said to have succeeded (regression)", r.id, m.name, before.Now.Sub(m.down))
		case m.fate == "Failed" && said != nil && said.Converged && (m.why == "Deadline" || m.why == "Lost" && c.Connected && before.Now.Sub(m.converged) >= p.MinReady.OrZero() || m.why == "Unhealthy" || m.why == "Regression"):
			o.refute("%s: cluster %s is there after all, and is said to have failed by %s (late success)", r.id, m.name, m.why)
		case m.fate == "Deferred" && m.why == "Offline" && c.Connected && c.Held == "" && (m.moved || servesNow(rows[m.id])):
			o.refute("%s: cluster %s is back, and is left out (deferred)", r.id, m.name)
		}
	}
	if r.phase == "Running" && r.wave < len(r.waves) && r.waves[r.wave].phase == "Updating" {
		w := r.waves[r.wave]
		counted, decided, succeeded, settled := o.coverage(r, r.wave)
		if settled && counted > 0 && succeeded > 0 && decided >= share(w.MinUpdated, counted, true, 0) {
			o.refute("%s: %d of %d clusters of wave %s are decided, and it is not left (coverage)", r.id, decided, counted, w.Name)
		}
	}
	if r.phase != "Running" || r.wave >= len(r.waves) || r.waves[r.wave].phase != "After" {
		return
	}
	for name, g := range r.waves[r.wave].gates {
		if g.Soak != nil && g.running && !g.open && g.soaked >= g.Soak.Duration.Duration {
			o.refute("%s: gate %s has soaked for %s, and is not open", r.id, name, g.soaked)
		}
	}
}
