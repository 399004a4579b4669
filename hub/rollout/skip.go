package rollout

import (
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// RetryCluster has clusters that failed updated once more, and those that did not catch up.
type RetryCluster struct {
	Actor, Reason string
	// Clusters by name; AllFailed: every one that failed.
	Clusters  []string
	AllFailed bool
}

func (c RetryCluster) apply(t *turn) error {
	late := t.retryLate(c)
	names := slices.DeleteFunc(slices.Clone(c.Clusters), func(name string) bool { return slices.Contains(late, name) })
	switch {
	case t.underWay() == nil:
	case len(names) > 0:
		return fmt.Errorf("a try of %s that failed in cluster %s: %w: no Rollout is under way, and what has caught up, or is catching up, is not tried again",
			t.Key.Words(), names[0], fleet.ErrNotFound)
	default:
		return nil
	}
	retried, err := t.clusters(names, func(m *Member) bool { return m.Phase == MemberFailed }, func(*Member) bool { return c.AllFailed })
	switch {
	case err != nil:
		return err
	case len(retried) > 0 && t.ro.Wave == len(t.ro.Waves):
		return t.refuse("all waves are done: clusters catch up once it is over")
	}
	for _, m := range retried {
		t.askAnew(m)
		m.Attempt = 0
		t.move(m, MemberPending, "", "")
		t.because(c.Actor, c.Reason)
	}
	if len(retried) > 0 && t.ro.Waves[t.ro.Wave].Phase == WaveAfter {
		w := &t.ro.Waves[t.ro.Wave]
		w.stop(t.Now)
		w.Phase = WaveUpdating // they get their turn; gates go on where they were
		t.tell(Event{Type: "Wave" + string(w.Phase), Wave: w.Name, Actor: c.Actor})
	}
	return nil
}

// because says who had the last event happen, and why. It is no message of the member's: that says what is waited for.
func (t *turn) because(actor, reason string) {
	t.by(actor)
	t.events[len(t.events)-1].Message = reason
}

// retryLate forgets that clusters did not catch up, and returns their names.
func (t *turn) retryLate(c RetryCluster) (names []string) {
	for _, cluster := range t.Clusters {
		if u := t.track.CatchingUp[cluster.ID]; u.Failed && (c.AllFailed || slices.Contains(c.Clusters, cluster.Name)) {
			delete(t.track.CatchingUp, cluster.ID)
			names = append(names, cluster.Name)
			t.tell(Event{Rollout: t.track.foundBy(u.To), Type: "CatchUp", Actor: c.Actor, Cluster: cluster.Name,
				Message: "it is to be tried again" + after("; reason: ", c.Reason)})
		}
	}
	return names
}

// askAnew forgets what a cluster answered to gates that have not passed.
func (t *turn) askAnew(m *Member) {
	for _, g := range t.ro.Waves[m.Wave].gates() {
		if !g.Phase.open() {
			g.Probes = slices.DeleteFunc(g.Probes, func(p Probe) bool { return p.Cluster == m.Cluster })
		}
	}
}

// SkipCluster passes clusters over: they count no more, and stay at what they have until the Rollout, or a later one, has
// succeeded.
type SkipCluster struct {
	Actor, Reason string
	// Clusters by name.
	Clusters []string
	// AllFailed, AllDeferred, AllStale: every one that failed, was passed over, or was not heard for long since it
	// succeeded.
	AllFailed, AllDeferred, AllStale bool
}

func (c SkipCluster) apply(t *turn) error {
	may := func(m *Member) bool {
		return m.Phase == MemberPending || m.Phase == MemberFailed || m.Phase == MemberDeferred || t.stale(m) ||
			m.Phase.InFlight() && t.heard(m, t.ro.Target).waits()
	}
	all := func(m *Member) bool {
		return c.AllFailed && m.Phase == MemberFailed || c.AllDeferred && m.Phase == MemberDeferred || c.AllStale && t.stale(m)
	}
	skipped, err := t.clusters(c.Clusters, may, all)
	if err != nil {
		return err
	}
	for _, m := range skipped {
		m.Inherited = false
		t.move(m, MemberSkipped, FailureOperator, c.Reason)
		t.by(c.Actor)
	}
	return nil
}

// clusters finds members by name, which all may, and others that may and that all takes.
func (t *turn) clusters(names []string, may, all func(*Member) bool) ([]*Member, error) {
	if err := t.underWay(); err != nil {
		return nil, err
	}
	if t.ro.Phase == RollingBack {
		return nil, t.refuse("it is on its way back")
	}
	left := map[string]bool{}
	for _, name := range names {
		left[name] = true
	}
	var found []*Member
	for i := range t.ro.Members {
		m := &t.ro.Members[i]
		switch asked := left[m.Name]; {
		case asked && !may(m):
			return nil, t.refuse("cluster %s is %s", m.Name, m.Phase)
		case asked || may(m) && all(m):
			found = append(found, m)
			delete(left, m.Name)
		}
	}
	for _, name := range names {
		if left[name] {
			return nil, fmt.Errorf("cluster %s of rollout %s: %w", name, t.ro.ID, fleet.ErrNotFound)
		}
	}
	return found, nil
}
