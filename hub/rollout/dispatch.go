package rollout

import "fmt"

// dispatch gives the target to as many clusters of the wave under way, and then of those before it, as the budgets
// allow. It is the only place where a Rollout goes forward.
func (t *turn) dispatch(w *Wave) {
	ready, hindered := t.ready()
	reason, message := t.closed()
	n := t.all()
	left := 0
	if reason == "" {
		n, left = t.send(ready, w, n)
	}
	t.block(w, reason == "" && left > 0 && n.InFlight == 0, n)
	switch {
	case t.ro.Phase != Running:
	case len(ready) > 0 && reason != "":
		t.waits(reason, message)
	case n.InFlight > 0:
		t.waits(ReasonWaitingClusters, number(n.InFlight, "cluster is being updated", "clusters are being updated"))
	case hindered != "":
		t.waits(ReasonWaitingClusters, hindered)
	}
}

// ready are the members that can be updated, in their order. One that cannot and defers is passed over; another says what
// it waits for, and is waited for.
func (t *turn) ready() (ready []*Member, hindered string) {
	order := []int{t.ro.Wave}
	for i := range t.ro.Wave {
		order = append(order, i)
	}
	for _, wave := range order {
		members := t.of(wave)
		for i := range members {
			m := &members[i]
			if m.Phase != MemberPending {
				continue
			}
			why, defers := t.ineligible(m)
			switch {
			case defers != "":
				t.move(m, MemberDeferred, defers, why)
				continue
			case why == "":
				ready = append(ready, m)
			case hindered == "":
				hindered = m.Name + " " + why
			}
			m.Message = why
		}
	}
	return ready, hindered
}

// send updates those that the budgets have room for, and returns how many are left. What only a Rollout before has left
// unavailable uses the room up, but where none of that can be mended now, one at a time goes all the same: the way to it leads
// through those that come before.
func (t *turn) send(ready []*Member, w *Wave, n Totals) (after Totals, left int) {
	out := t.outs()
	for _, m := range ready {
		if t.unavailable(m) && !t.out(m) {
			out++
		}
	}
	for _, m := range ready {
		if t.arrived(m) {
			t.succeed(m)
			continue
		}
		// One that is counted already takes no more room: it can be tried again, or be given what mends it.
		inFlight, counts := n.InFlight, t.wouldCount(m) && !t.unavailable(m)
		if !m.inFlight() {
			inFlight++
		}
		if inFlight > w.MaxConcurrent || counts && n.Unavailable >= t.ro.MaxUnavailable && out > 0 {
			left++
			continue
		}
		n.InFlight = inFlight
		if counts {
			n.Unavailable++
			out++
		}
		t.update(m)
	}
	return n, left
}

// update gives a member the target.
func (t *turn) update(m *Member) {
	m.BaseAvailable = t.wouldCount(m)
	if s := t.at(m); s.has && s.row.Release == t.ro.Target {
		t.request(m.Cluster) // it has the target, and is not there: another try
	}
	m.Moved, m.Inherited = true, false
	m.Attempt++
	t.restart(m)
	t.want[m.Cluster] = t.ro.Release
	t.move(m, MemberDispatched, "", "")
}

// restart has the clocks of a member begin that is changed now, whether forward or back.
func (t *turn) restart(m *Member) {
	m.Deadline, m.Healthy, m.Unhealthy, m.Unavailable = Clock{}, noTime, noTime, noTime
	m.Deadline.run(t.Now, t.at(m).Connected)
	t.dispatched = append(t.dispatched, m.Cluster)
	t.due(t.Now.Add(t.ro.Policy.Cluster.ProgressDeadline.OrZero()))
}

// wouldCount reports whether a member, once it is updated, counts against the budget of availability: it serves, or did
// before, or does not because of a Release that is known to be bad.
func (t *turn) wouldCount(m *Member) bool {
	return m.BaseAvailable || t.serves(m) || !m.Moved && t.spoilt(m)
}

// arrived reports whether the cluster runs the target already.
func (t *turn) arrived(m *Member) bool {
	s, r := t.at(m), t.heard(m, t.ro.Target)
	return !m.Moved && s.has && s.row.Release == t.ro.Target && r != nil && r.Converged
}

// block counts how long nothing goes forward although it could, and halts a Rollout whose budget of availability is used
// up by what does not come back by itself.
func (t *turn) block(w *Wave, blocked bool, n Totals) {
	if !blocked {
		w.Blocked = Clock{}
		return
	}
	w.Blocked.run(t.Now, true)
	message := fmt.Sprintf("%s not available, %d may be: %s", number(n.Unavailable, "cluster is", "clusters are"), t.ro.MaxUnavailable, t.names(t.unavailable))
	t.waits(ReasonAvailabilityBudget, message)
	if t.spent(w.Blocked, t.ro.Policy.Cluster.RegressionWindow.OrZero()) {
		t.halt(ReasonAvailabilityBudget, message)
	}
}
