package rollout

// Totals are the members of a Rollout, or of a wave of it, by what became of them.
type Totals struct {
	Size       int `json:"size,omitempty"`
	Pending    int `json:"pending,omitempty"`
	InFlight   int `json:"inFlight,omitempty"`
	Succeeded  int `json:"succeeded,omitempty"`
	Failed     int `json:"failed,omitempty"`
	Deferred   int `json:"deferred,omitempty"`
	Skipped    int `json:"skipped,omitempty"`
	Removed    int `json:"removed,omitempty"`
	RolledBack int `json:"rolledBack,omitempty"`
	// HadFailed are those of InFlight and RolledBack that had failed before they were taken back, which Failed has no more.
	HadFailed int `json:"hadFailed,omitempty"`
	// Stale are those of Succeeded that have not been heard for long; Unavailable those that do not serve because of the
	// Rollout.
	Stale       int `json:"stale,omitempty"`
	Unavailable int `json:"unavailable,omitempty"`
}

// Counted are the members that the Rollout is still about: neither skipped nor removed.
func (n Totals) Counted() int { return n.Size - n.Removed - n.Skipped }

// PercentDone is the part of the counted members that has succeeded, rounded down. What is deferred is never done.
func (n Totals) PercentDone() int {
	if n.Counted() == 0 {
		return 0
	}
	return n.Succeeded * 100 / n.Counted()
}

// Totals of the Rollout are those of its waves, as they were at its last step.
func (r *Rollout) Totals() (n Totals) {
	for i := range r.Waves {
		n.add(r.Waves[i].Totals)
	}
	return n
}

func (n *Totals) add(o Totals) {
	n.Size += o.Size
	n.Pending += o.Pending
	n.InFlight += o.InFlight
	n.Succeeded += o.Succeeded
	n.Failed += o.Failed
	n.Deferred += o.Deferred
	n.Skipped += o.Skipped
	n.Removed += o.Removed
	n.RolledBack += o.RolledBack
	n.HadFailed += o.HadFailed
	n.Stale += o.Stale
	n.Unavailable += o.Unavailable
}

// totals counts members of the Rollout under way.
func (t *turn) totals(members []Member) (n Totals) {
	for i := range members {
		t.count(&n, &members[i])
	}
	return n
}

// all counts every member.
func (t *turn) all() Totals { return t.totals(t.ro.Members) }

// count adds one member.
func (t *turn) count(n *Totals, m *Member) {
	n.Size++
	switch {
	case m.inFlight():
		n.InFlight++
	case m.Phase == MemberPending:
		n.Pending++
	case m.Phase == MemberSucceeded:
		n.Succeeded++
		if t.stale(m) {
			n.Stale++
		}
	case m.Phase == MemberFailed, m.Phase == MemberRollbackFailed:
		n.Failed++
	case m.Phase == MemberDeferred:
		n.Deferred++
	case m.Phase == MemberSkipped:
		n.Skipped++
	case m.Phase == MemberRemoved:
		n.Removed++
	case m.Phase == MemberRolledBack:
		n.RolledBack++
	}
	if m.hadFailed() {
		n.HadFailed++
	}
	if t.unavailable(m) {
		n.Unavailable++
	}
}

// hadFailed reports whether a member that is taken back, or was, had failed before.
func (m *Member) hadFailed() bool {
	return (m.Phase == MemberRollingBack || m.Phase == MemberRolledBack) && m.Failure.failed()
}

// sum notes the totals of each wave of the Rollout under way, for those who only read it.
func (t *turn) sum() {
	for i := range t.ro.Waves {
		t.ro.Waves[i].Totals = t.totals(t.of(i))
	}
}
