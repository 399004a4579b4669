package rollout

import (
	"fmt"
	"time"
)

// inFlight reports whether the cluster is being changed, by the Rollout that this one took the place of too.
func (m *Member) inFlight() bool {
	return m.Phase.InFlight() || m.Phase == MemberPending && m.Inherited
}

// unavailable reports whether the cluster does not serve, or may not, because of the Rollout: it was moved, had served,
// and is being changed, or has not said that it serves since.
func (t *turn) unavailable(m *Member) bool {
	switch m.Phase {
	case MemberSkipped, MemberRemoved, MemberRolledBack:
		return false
	}
	if !m.Moved || !m.BaseAvailable {
		return false
	}
	if m.inFlight() {
		return true
	}
	s := t.at(m)
	if !s.has {
		return false // what has lost the App again is not without its service
	}
	return !s.serves || s.said < m.Generation
}

// out reports whether the cluster is unavailable by what this Rollout has given it, or is being changed: not by what a Rollout
// before has left behind.
func (t *turn) out(m *Member) bool {
	return t.unavailable(m) && (m.inFlight() || t.at(m).row.Release == t.ro.Target)
}

// outs counts the clusters that are out.
func (t *turn) outs() (n int) {
	for i := range t.ro.Members {
		if t.out(&t.ro.Members[i]) {
			n++
		}
	}
	return n
}

// current is the report of what the cluster is to run now, whatever that is.
func (t *turn) current(m *Member) *Report {
	row := t.at(m).row
	return row.heard(m, row.Release)
}

// stale reports whether a cluster that has succeeded has not been heard for so long that it says nothing any more.
func (t *turn) stale(m *Member) bool {
	if m.Phase == MemberSucceeded && !m.Lost.IsZero() {
		t.due(m.Lost.Add(t.ro.Policy.Cluster.UnreachableTimeout.OrZero()))
	}
	return t.ro.Stale(*m, t.Now)
}

// Stale reports whether a member that has succeeded has not been heard for so long that it says nothing any more.
func (r *Rollout) Stale(m Member, now time.Time) bool {
	return m.Phase == MemberSucceeded && !m.Lost.IsZero() && now.Sub(m.Lost) >= r.Policy.Cluster.UnreachableTimeout.OrZero()
}

// breach says which wave up to the one under way has more failures than it may; empty: none.
func (t *turn) breach() string {
	for i := range t.ro.Waves[:min(t.ro.Wave+1, len(t.ro.Waves))] {
		n := 0
		for _, m := range t.of(i) {
			if m.Phase == MemberFailed {
				n++
			}
		}
		if w := &t.ro.Waves[i]; n > w.MaxFailures {
			return fmt.Sprintf("wave %s: %d of %d clusters failed, %d may: %s", w.Name, n, w.Size, w.MaxFailures, t.failed(i))
		}
	}
	return ""
}

// named bounds the clusters that a message names.
const named = 5

// failed names the failed members of a wave.
func (t *turn) failed(wave int) string {
	return t.names(func(m *Member) bool { return m.Wave == wave && m.Phase == MemberFailed })
}

// names lists members, with what is to be said of the first.
func (t *turn) names(which func(*Member) bool) string {
	text, n, first := "", 0, ""
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		if !which(m) {
			continue
		}
		switch n++; {
		case n == 1:
			text, first = m.Name, m.Message
		case n <= named:
			text += ", " + m.Name
		}
	}
	if n > named {
		text += fmt.Sprintf(" and %d more", n-named)
	}
	if first != "" {
		text += ": " + first
	}
	return text
}
