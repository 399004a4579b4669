package rollout

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// rollBack begins to take members back to their bases.
func (t *turn) rollBack(scope fleet.FailureScope, message string) {
	t.ro.Scope = scope
	var back, stuck int
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		switch {
		case !t.inScope(m):
		case t.stuck(m):
			stuck++
		default:
			back++
		}
	}
	if back == 0 {
		if stuck > 0 {
			t.ro.Message += fmt.Sprintf("; nothing is rolled back: %s did not have the App before, and spec.onFailure.allowUninstall is not set", number(stuck, "cluster", "clusters"))
		}
		return
	}
	t.phase(RollingBack, t.ro.Reason, message)
	t.restore()
}

// stuck reports whether a member did not have the App before, and may not lose it.
func (t *turn) stuck(m *Member) bool { return m.Base.IsZero() && !t.ro.Policy.OnFailure.AllowUninstall }

// inScope reports whether a rollback is about the member.
func (t *turn) inScope(m *Member) bool {
	if !m.Moved || m.Base == t.ro.Target {
		return false
	}
	switch m.Phase {
	case MemberSkipped, MemberRemoved, MemberRolledBack, MemberRollbackFailed:
		return false
	}
	switch t.ro.Scope {
	case fleet.ScopeFailed:
		return m.Phase == MemberFailed
	case fleet.ScopeWave:
		return m.Wave >= t.ro.Wave
	}
	return true
}

// restore gives as many members their base as may go back at the same time, the last one updated first, and ends the
// rollback when all are there.
func (t *turn) restore() {
	if t.ro.Phase != RollingBack {
		return
	}
	n := t.all()
	moved, restoring := 0, 0
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		if m.Moved {
			moved++
		}
		if m.Phase == MemberRollingBack {
			restoring++
		}
	}
	most, left := t.ro.Policy.OnFailure.MaxConcurrent.AtLeastOneOf(moved), 0
	for i := len(t.ro.Members) - 1; i >= 0; i-- {
		m := &t.ro.Members[i]
		switch {
		case m.Phase == MemberRollingBack, m.Phase.InFlight() && !t.inScope(m): // what is being updated may fail yet
			left++
		case !t.inScope(m):
		case t.stuck(m):
			t.move(m, MemberRollbackFailed, FailureOperator, "the App was not there before, and spec.onFailure.allowUninstall is not set")
		case restoring >= most || restoring > 0 && t.harms(m, n):
			left++
		default:
			left++
			restoring++
			if !t.unavailable(m) {
				n.Unavailable++
			}
			t.sendBack(m)
		}
	}
	if left == 0 {
		t.restored()
	}
}

// harms reports whether taking back a cluster that serves would leave more without than may be. What is counted already, as
// it is being updated, takes no more room. One at a time goes back all the same: those that do not serve may never come back,
// and the others are not to stay with them.
func (t *turn) harms(m *Member, n Totals) bool {
	r := t.heard(m, t.ro.Target)
	return r != nil && r.Available && !t.unavailable(m) && n.Unavailable >= t.ro.MaxUnavailable
}

// sendBack gives a member its base.
func (t *turn) sendBack(m *Member) {
	if m.Base.IsZero() {
		t.gone[m.Cluster] = true
	} else {
		t.want[m.Cluster] = t.Releases[m.Base]
	}
	t.restart(m)
	t.move(m, MemberRollingBack, m.Failure, m.Message)
}

// observeRollback is for a member on its way back, and for one that did not get there in time.
func (t *turn) observeRollback(m *Member, cluster *Cluster) {
	if m.Phase == MemberRollbackFailed && m.Failure == FailureOperator {
		return
	}
	r, back := t.back(m)
	if back {
		had := m.Failure
		if !had.failed() {
			had = ""
		}
		t.move(m, MemberRolledBack, had, "")
		return
	}
	if m.Phase == MemberRollbackFailed {
		return
	}
	policy := t.ro.Policy.Cluster
	// It does not stand still while the spoke waits for something: a fix may wait for the end of the rollback.
	m.Deadline.run(t.Now, t.works(cluster, nil))
	switch {
	case r != nil && r.Waiting == fleet.WaitingHold:
		t.move(m, MemberRollbackFailed, DeferredHeld, "it is held, and goes back when it is released"+after(": ", r.Message))
	case t.spent(m.Deadline, policy.ProgressDeadline.OrZero()):
		message := "it is not back in time"
		if r != nil {
			message += after(": ", r.says())
		}
		t.move(m, MemberRollbackFailed, FailureDeadline, message)
	case !m.Lost.IsZero() && t.after(m.Lost, policy.UnreachableTimeout.OrZero()):
		t.move(m, MemberRollbackFailed, FailureLost, "it is out of reach; it goes back when it returns")
	case r != nil:
		m.Message = r.says()
	}
}

// back is what a member says on its way back, and whether it is there.
func (t *turn) back(m *Member) (*Report, bool) {
	if !m.Base.IsZero() {
		r := t.heard(m, m.Base)
		return r, r != nil && r.Converged
	}
	row := t.at(m).row
	r := row.Report
	if r != nil && r.Generation < m.Generation {
		r = nil
	}
	return r, row.Assignment == nil || row.Removed
}

// restored ends a rollback. What it was not about stays as it is.
func (t *turn) restored() {
	if t.ro.Scope != fleet.ScopeUpdated {
		t.keep()
	}
	back, failed := 0, 0
	for i := range t.ro.Members {
		switch t.ro.Members[i].Phase {
		case MemberRolledBack:
			back++
		case MemberRollbackFailed:
			failed++
		}
	}
	if failed > 0 {
		names := t.names(func(m *Member) bool { return m.Phase == MemberRollbackFailed })
		t.phase(RollbackFailed, t.ro.Reason, fmt.Sprintf("%s not back: %s%s", number(failed, "cluster is", "clusters are"), names, after("; ", t.ro.Message)))
		return
	}
	t.phase(RolledBack, t.ro.Reason, fmt.Sprintf("%s back%s", number(back, "cluster is", "clusters are"), after("; ", t.ro.Message)))
}
