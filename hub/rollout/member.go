package rollout

import (
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Member is one cluster of a Rollout. Two that are the same are equal by ==.
type Member struct {
	// Cluster is its id, Name what it was called when the Rollout began.
	Cluster string
	Name    string
	// Wave is the index of its wave, Turn its place there.
	Wave, Turn int
	Phase      MemberPhase
	// Failure and Message say what went wrong, or what is waited for. One that is taken back keeps what it had failed by.
	Failure Failure
	Message string
	// Base is what it goes back to; zero: the App was not there.
	Base fleet.Digest
	// BaseAvailable: it served before it was updated, or did not have the App.
	BaseAvailable bool
	// Moved: this Rollout, or one it took the place of, has changed what it runs.
	Moved bool
	// Inherited: what the Rollout before has changed may not be done yet.
	Inherited bool
	// Generation of its Assignment from which on reports count.
	Generation uint64
	// Attempt is how often it was updated.
	Attempt int
	// Deadline counts towards the progress deadline.
	Deadline Clock
	// Since it is in its phase; Healthy, Unhealthy, Unavailable, Lost: since it is converged, failed, not available, out of
	// reach. Zero: it is not.
	Since, Healthy, Unhealthy, Unavailable, Lost time.Time
}

// MemberPhase is where a cluster is.
type MemberPhase string

// The phases of a member.
const (
	MemberPending        MemberPhase = "Pending"
	MemberDispatched     MemberPhase = "Dispatched"
	MemberApplying       MemberPhase = "Applying"
	MemberVerifying      MemberPhase = "Verifying"
	MemberSucceeded      MemberPhase = "Succeeded"
	MemberFailed         MemberPhase = "Failed"
	MemberDeferred       MemberPhase = "Deferred"
	MemberSkipped        MemberPhase = "Skipped"
	MemberRemoved        MemberPhase = "Removed"
	MemberRollingBack    MemberPhase = "RollingBack"
	MemberRolledBack     MemberPhase = "RolledBack"
	MemberRollbackFailed MemberPhase = "RollbackFailed"
)

// InFlight reports whether the cluster is being changed.
func (p MemberPhase) InFlight() bool {
	switch p {
	case MemberDispatched, MemberApplying, MemberVerifying, MemberRollingBack:
		return true
	}
	return false
}

// Failure says how a cluster failed, or why it is deferred.
type Failure string

// The failures; from Offline on they are reasons to be deferred, which are none.
const (
	FailureApply      Failure = "ApplyError"
	FailureDeadline   Failure = "Deadline"
	FailureUnhealthy  Failure = "Unhealthy"
	FailureRegression Failure = "Regression"
	FailureLost       Failure = "Lost"
	FailureAnalysis   Failure = "AnalysisFailed"
	FailureOperator   Failure = "Operator"

	DeferredOffline        Failure = "Offline"
	DeferredHeld           Failure = "Held"
	DeferredUnhealthy      Failure = "BaseUnhealthy"
	DeferredLost           Failure = "OutOfReach"
	DeferredStillUnhealthy Failure = "StillUnhealthy"
)

// failed reports whether it is one of what has a cluster fail: no reason to be deferred, and no person's word.
func (f Failure) failed() bool {
	switch f {
	case FailureApply, FailureDeadline, FailureUnhealthy, FailureRegression, FailureLost, FailureAnalysis:
		return true
	}
	return false
}

// unhealthyFor is how long a cluster may say that it has failed before it has.
const unhealthyFor = 30 * time.Second

// Report is what a spoke said last of an Assignment.
type Report struct {
	Generation uint64
	Release    fleet.Digest
	Stage      fleet.Stage
	// Converged, Available and Terminal as in fleet.Report; Failed: it says that its objects have failed.
	Converged, Available, Terminal, Failed bool
	Waiting                                fleet.Waiting
	Message                                string
}

// heard is the report that counts for a member: of what it is to run, and of no time before.
func (t *turn) heard(m *Member, release fleet.Digest) *Report {
	return t.at(m).row.heard(m, release)
}

func (row *Row) heard(m *Member, release fleet.Digest) *Report {
	if row.Assignment == nil || row.Report == nil {
		return nil
	}
	if r := row.Report; r.Release == release && r.Generation >= max(m.Generation, row.Assignment.Pin) {
		return r
	}
	return nil
}

// observe brings every member up to what its cluster says.
func (t *turn) observe() {
	target := t.ro.Target
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		site := t.at(m)
		cluster := site.Cluster
		switch {
		case m.Phase == MemberRemoved:
		case !site.placed:
			t.move(m, MemberRemoved, "", "it is not placed on the cluster any more")
		default:
			t.observeReach(m, cluster)
			t.observeMember(m, cluster, target)
		}
	}
}

// observeReach notes since when a cluster is out of reach.
func (t *turn) observeReach(m *Member, cluster *Cluster) {
	switch {
	case cluster.Connected:
		m.Lost = time.Time{}
	case m.Lost.IsZero() && m.Moved:
		m.Lost = t.Now
	}
}

func (t *turn) observeMember(m *Member, cluster *Cluster, target fleet.Digest) {
	switch m.Phase {
	case MemberPending:
		t.observeInherited(m, cluster)
	case MemberDispatched, MemberApplying, MemberVerifying:
		t.observeUpdate(m, cluster, t.heard(m, target))
	case MemberRollingBack, MemberRollbackFailed:
		t.observeRollback(m, cluster)
	case MemberSucceeded:
		t.observeSuccess(m, t.heard(m, target))
	case MemberFailed:
		t.observeFailure(m, cluster, t.heard(m, target))
	case MemberDeferred:
		t.observeDeferred(m, cluster, t.heard(m, target))
	}
}

// observeInherited is for a member whose turn has not come and that the Rollout before was changing: it counts as in
// flight until that has come to an end, as that Rollout would have found.
func (t *turn) observeInherited(m *Member, cluster *Cluster) {
	if !m.Inherited {
		return
	}
	policy, r := t.ro.Policy.Cluster, t.current(m)
	m.Deadline.run(t.Now, t.works(cluster, r))
	m.Inherited = (r == nil || !r.Converged && !r.Terminal) && !t.spent(m.Deadline, policy.ProgressDeadline.OrZero()) &&
		(m.Lost.IsZero() || !t.after(m.Lost, policy.UnreachableTimeout.OrZero()))
	if !m.Inherited {
		m.Deadline.run(t.Now, false)
	}
}

// works reports whether a cluster can get on: its deadline counts then.
func (t *turn) works(cluster *Cluster, r *Report) bool {
	return cluster.Connected && !r.waits() && !t.App.Controls.Suspend
}

// waits reports whether the spoke waits for something, with its clocks stopped.
func (r *Report) waits() bool { return r != nil && r.Waiting != fleet.WaitingNone && r.Waiting != "" }

// says is what a spoke says, after what it waits for.
func (r *Report) says() string {
	switch r.Waiting {
	case fleet.WaitingDependency:
		return "a dependency" + after(": ", r.Message)
	case fleet.WaitingPruneHeld:
		return "a held prune to be approved" + after(": ", r.Message)
	case fleet.WaitingHold:
		return "the cluster's hold to be released" + after(": ", r.Message)
	}
	return r.Message
}

// observeUpdate is for a member that is being updated.
func (t *turn) observeUpdate(m *Member, cluster *Cluster, r *Report) {
	policy := t.ro.Policy.Cluster
	m.Deadline.run(t.Now, t.works(cluster, r))
	if r != nil && !r.Available {
		since(&m.Unavailable, t.Now)
	}
	switch {
	case r != nil && r.Waiting == fleet.WaitingHold:
		m.Healthy, m.Unhealthy = noTime, noTime
		t.move(m, MemberDeferred, DeferredHeld, r.Message)
		return
	case r != nil && r.Converged && !cluster.Connected && policy.MinReady.OrZero() > 0:
		m.Healthy, m.Unhealthy = noTime, noTime // out of reach, it is not known to be ready; it has made it in time all the same
		if !t.lost(m) {
			t.move(m, MemberVerifying, "", "")
		}
		return
	case r != nil && r.Converged:
		since(&m.Healthy, t.Now)
		m.Unhealthy = time.Time{}
		if !t.after(m.Healthy, policy.MinReady.OrZero()) {
			t.move(m, MemberVerifying, "", "")
			return
		}
		t.succeed(m)
		return
	case r != nil && r.Terminal:
		t.refused(m, r)
		return
	}
	m.Healthy = time.Time{}
	if r == nil || !r.Failed {
		m.Unhealthy = time.Time{}
	} else {
		since(&m.Unhealthy, t.Now)
	}
	switch {
	case !m.Unhealthy.IsZero() && t.after(m.Unhealthy, unhealthyFor) && m.BaseAvailable:
		t.fail(m, FailureUnhealthy, r.Message)
	case t.spent(m.Deadline, policy.ProgressDeadline.OrZero()):
		t.overdue(m, r)
	case t.lost(m):
	case r != nil:
		t.move(m, progressOf(r.Stage), "", r.says())
	}
}

// lost gives a member up that has been out of reach for too long, and reports whether it has.
func (t *turn) lost(m *Member) bool {
	policy := t.ro.Policy.Cluster
	switch {
	case m.Lost.IsZero() || !t.after(m.Lost, policy.UnreachableTimeout.OrZero()):
		return false
	case policy.OnLost == fleet.LostDefer:
		t.move(m, MemberDeferred, DeferredLost, "it is out of reach since it was updated")
	default:
		t.fail(m, FailureLost, "it is out of reach since it was updated")
	}
	return true
}

// refused is for an error that no retry of the spoke's helps.
func (t *turn) refused(m *Member, r *Report) {
	if m.Attempt > t.ro.Policy.Cluster.Retries || t.spent(m.Deadline, t.ro.Policy.Cluster.ProgressDeadline.OrZero()) {
		t.fail(m, FailureApply, r.Message)
		return
	}
	m.Attempt++
	t.request(m.Cluster)
	t.dispatched = append(t.dispatched, m.Cluster)
	m.Phase = MemberApplying // it got there, said or not: each try is told
	t.move(m, MemberDispatched, "", "tried again after: "+r.Message)
}

// overdue is for a member whose time is up. One that was not available before says nothing of the Release.
func (t *turn) overdue(m *Member, r *Report) {
	message := "it said nothing of the Release"
	if r != nil {
		message = r.Message
	}
	if !m.BaseAvailable {
		t.move(m, MemberDeferred, DeferredStillUnhealthy, message)
		return
	}
	t.fail(m, FailureDeadline, message)
}

// observeSuccess watches a cluster that was updated: what becomes unavailable for long has failed after all.
func (t *turn) observeSuccess(m *Member, r *Report) {
	switch {
	case r != nil && r.Available:
		m.Unavailable = time.Time{}
	case r != nil:
		since(&m.Unavailable, t.Now)
	}
	// The clock runs on while the cluster is out of reach.
	if !m.Unavailable.IsZero() && t.after(m.Unavailable, t.ro.Policy.Cluster.RegressionWindow.OrZero()) {
		message := "it was not available when it was heard last"
		if r != nil {
			message = r.Message
		}
		t.fail(m, FailureRegression, message)
	}
}

// observeFailure takes back a failure that was none: the cluster is converged after all. One that was lost has to be so for
// minReady once it is back: what is known of it at first it said before.
func (t *turn) observeFailure(m *Member, cluster *Cluster, r *Report) {
	converged := r != nil && r.Converged
	switch m.Failure {
	case FailureDeadline, FailureUnhealthy, FailureRegression:
		if converged {
			t.succeed(m)
		}
	case FailureLost:
		if !converged || !cluster.Connected {
			m.Healthy = noTime
			return
		}
		since(&m.Healthy, t.Now)
		if t.after(m.Healthy, t.ro.Policy.Cluster.MinReady.OrZero()) {
			t.succeed(m)
		}
	}
}

// observeDeferred has a member back in whose reason is gone.
func (t *turn) observeDeferred(m *Member, cluster *Cluster, r *Report) {
	switch m.Failure {
	case DeferredHeld:
		if m.Attempt > 0 && r != nil && r.Waiting != fleet.WaitingHold {
			t.move(m, MemberVerifying, "", "")
			t.observeUpdate(m, cluster, r)
			return
		}
	case DeferredLost:
		if cluster.Connected {
			t.move(m, MemberVerifying, "", "")
			t.observeUpdate(m, cluster, r)
		}
		return
	case DeferredStillUnhealthy:
		if r != nil && r.Converged {
			t.succeed(m)
		}
		return
	}
	if m.Attempt == 0 {
		if _, defers := t.ineligible(m); defers == "" {
			t.move(m, MemberPending, "", "")
			if m.Inherited {
				t.due(t.Now.Add(time.Millisecond)) // whether that has come to an end is seen in the next step
			}
		}
	}
}

func (t *turn) succeed(m *Member) {
	m.Unavailable, m.Unhealthy = time.Time{}, time.Time{}
	t.move(m, MemberSucceeded, "", "")
}

func (t *turn) fail(m *Member, failure Failure, message string) {
	t.move(m, MemberFailed, failure, message)
}

// move has a member in another phase, and tells of it. Its clock stands still outside of an update.
func (t *turn) move(m *Member, phase MemberPhase, failure Failure, message string) {
	changed := m.Phase != phase || m.Failure != failure
	m.Phase, m.Failure, m.Message = phase, failure, message
	if !phase.InFlight() {
		m.Deadline.run(t.Now, false)
	}
	if changed {
		m.Since = t.Now
		t.tell(Event{Type: "Cluster" + string(phase), Cluster: m.Name, Reason: string(failure), Message: message})
	}
}

// progressOf is the phase that a stage of the spoke's is.
func progressOf(stage fleet.Stage) MemberPhase {
	switch stage {
	case fleet.StageVerifying, fleet.StageSettled, fleet.StageFailed:
		return MemberVerifying
	case "":
		return MemberDispatched
	}
	return MemberApplying
}

// since sets a time that is not set.
func since(at *time.Time, now time.Time) {
	if at.IsZero() {
		*at = now
	}
}
