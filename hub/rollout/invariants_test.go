package rollout

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Each step in a test of this package is held against what must always hold: I1 to I17 of DESIGN.md, as far as one step
// shows it. I8, I9 and I16 are about many, and are properties.
func init() {
	inspect = func(s State, c Command, t *turn, step Step) { (&inspection{s, c, t, step}).all() }
}

// Uninspected has steps run as they do outside of tests.
func Uninspected(b *testing.B) {
	before := inspect
	inspect = nil
	b.Cleanup(func() { inspect = before })
}

type inspection struct {
	s    State
	c    Command
	t    *turn
	step Step
}

func (i *inspection) refute(invariant, format string, args ...any) {
	panic(fmt.Sprintf("%s of %s at %s does not hold: %s", invariant, i.t.Key, i.t.Now, fmt.Sprintf(format, args...)))
}

func (i *inspection) all() {
	i.deterministic()
	i.single()
	i.pins()
	if i.t.ro == nil {
		return
	}
	i.budgets(i.forward())
	i.members()
	i.waves()
	i.approvals()
	i.blast()
	i.unprovoked()
}

// before is a member as it was; nil: the Rollout is new.
func (i *inspection) before(m *Member) *Member {
	old := i.s.Active
	if old == nil || old.ID != i.t.ro.ID {
		return nil
	}
	return &old.Members[i.t.first[m.Wave]+m.Turn]
}

// forward are the members that the step gave the target.
func (i *inspection) forward() (sent []*Member) {
	for n := range i.t.ro.Members {
		m := &i.t.ro.Members[n]
		was := i.before(m)
		under := was != nil && (was.Phase.InFlight() || was.Phase == MemberDeferred && was.Attempt > 0) // held in the middle of it
		if m.Phase == MemberDispatched && !under {
			sent = append(sent, m)
		}
	}
	return sent
}

// first reports whether no Rollout under way had changed a member before it was given the target. Of one that was changed
// before, it depends on what its cluster said whether it was in U already: the oracle knows.
func (i *inspection) first(m *Member) bool {
	old := i.s.Active
	return old == nil || !slices.ContainsFunc(old.Members, func(was Member) bool { return was.Cluster == m.Cluster && was.Moved })
}

func (i *inspection) budgets(sent []*Member) {
	t, ro := i.t, i.t.ro
	if len(sent) == 0 {
		return
	}
	n := t.all()
	if n.Unavailable > ro.MaxUnavailable && t.outs() > 1 && slices.ContainsFunc(sent, i.first) {
		i.refute("I1", "%s: %d clusters are unavailable, %d may be", ro.ID, n.Unavailable, ro.MaxUnavailable)
	}
	if w := i.sentIn(); n.InFlight > w.MaxConcurrent {
		i.refute("I2", "%s: %d clusters are changed at a time, %d may be in wave %s", ro.ID, n.InFlight, w.MaxConcurrent, w.Name)
	}
	if message := t.breach(); message != "" {
		i.refute("I5", "%s went forward: %s", ro.ID, message)
	}
	for _, m := range sent {
		for wave := range m.Wave {
			if !ro.Waves[wave].Phase.over() {
				i.refute("I3", "%s: cluster %s of wave %d got the target before wave %d was done", ro.ID, m.Name, m.Wave, wave)
			}
		}
		if !t.at(m).Connected {
			i.refute("I11", "%s: cluster %s got the target while it was away", ro.ID, m.Name)
		}
	}
}

// sentIn is the wave that was under way when the step gave a cluster the target last: late ones of earlier waves go by its
// budget, and it may be done in the same step.
func (i *inspection) sentIn() *Wave {
	ro, at := i.t.ro, 0
	if old := i.s.Active; old != nil && old.ID == ro.ID {
		at = min(old.Wave, len(old.Waves)-1)
	}
	sent := at
	for _, e := range i.t.events {
		switch {
		case e.Rollout != ro.ID:
		case e.Wave != "" && e.Gate == "":
			at = slices.IndexFunc(ro.Waves, func(w Wave) bool { return w.Name == e.Wave })
		case e.Type == "Cluster"+string(MemberDispatched):
			sent = at
		}
	}
	return &ro.Waves[sent]
}

func (i *inspection) members() {
	t, ro := i.t, i.t.ro
	for n := range ro.Members {
		m := &ro.Members[n]
		was := i.before(m)
		fresh := was == nil || was.Phase != m.Phase
		row := t.at(m).row
		if s := t.at(m); s != &nowhere && (s.ID != m.Cluster || t.memberAt(s) != m) {
			i.refute("a seat", "%s: cluster %s has that of %s", ro.ID, m.Name, s.Name)
		}
		if m.Phase == MemberSucceeded && fresh {
			least := row.generation()
			if was != nil {
				least = max(least, was.Generation)
			}
			if r := row.Report; r == nil || !r.Converged || r.Release != ro.Target || r.Generation < least {
				i.refute("I4", "%s: cluster %s succeeded by %+v, and had to have generation %d", ro.ID, m.Name, row.Report, least)
			}
		}
		if !m.Moved && (t.unavailable(m) || m.Phase == MemberFailed && m.Failure != FailureRegression && m.Failure != FailureAnalysis) {
			i.refute("I11", "%s: cluster %s counts, and was never updated: %+v", ro.ID, m.Name, *m)
		}
		if m.Phase == MemberRolledBack && fresh {
			gone := m.Base.IsZero() && (row.Assignment == nil || row.Removed)
			if r := row.Report; !gone && (row.Release != m.Base || r == nil || !r.Converged || r.Release != m.Base || r.Generation < row.generation()) {
				i.refute("I13", "%s: cluster %s is rolled back to %s, and runs %s by %+v", ro.ID, m.Name, m.Base, row.Release, r)
			}
		}
	}
	if old := i.s.Active; ro.Phase == RolledBack && old != nil && old.ID == ro.ID {
		for n := range ro.Members {
			if m := &ro.Members[n]; t.inScope(m) || m.Phase == MemberRollingBack || m.Phase == MemberRollbackFailed {
				i.refute("I13", "%s is rolled back, and cluster %s is %s", ro.ID, m.Name, m.Phase)
			}
		}
	}
}

func (i *inspection) waves() {
	t, ro, old := i.t, i.t.ro, i.s.Active
	if old == nil || old.ID != ro.ID {
		return
	}
	if ro.Wave < old.Wave {
		i.refute("I3", "%s went back to wave %d", ro.ID, ro.Wave)
	}
	for n := range ro.Waves {
		w, was := &ro.Waves[n], &old.Waves[n]
		if was.Phase.over() && w.Phase != was.Phase {
			i.refute("I3", "%s: wave %s was %s and is %s", ro.ID, w.Name, was.Phase, w.Phase)
		}
		gates := was.gates()
		for j, g := range w.gates() {
			if gates[j].Phase.open() && g.Phase != gates[j].Phase {
				i.refute("I3", "%s: gate %s was %s and is %s", ro.ID, g.Name, gates[j].Phase, g.Phase)
			}
		}
		totals, policy := t.totals(t.of(n)), ro.policyOf(n)
		counted, fresh := totals.Size-totals.Removed-totals.Skipped, totals.Succeeded-totals.Stale
		covered := fresh >= 1 && fresh+totals.Failed >= policy.MinUpdated.RoundedUpOf(counted) || counted == 0 && !policy.Required
		if w.Phase == WaveDone && was.Phase != WaveDone && !covered && !w.Accepted {
			i.refute("I12", "%s: wave %s is done with %+v", ro.ID, w.Name, totals)
		}
	}
}

func (i *inspection) approvals() {
	ro := i.t.ro
	for n := range ro.Waves {
		policy := ro.policyOf(n)
		policies := append(append([]fleet.Gate{}, policy.Before...), policy.After...)
		for j, g := range ro.Waves[n].gates() {
			a := policies[j].Approval
			if a == nil || g.Phase != GatePassed {
				continue
			}
			who := map[string]bool{}
			for _, d := range g.Decisions {
				if d.Approve && (d.Principal != ro.Actor || a.AllowSelf) {
					who[d.Principal] = true
				}
			}
			if len(who) < a.MinApprovers || g.rejected() {
				i.refute("I15", "%s: gate %s passed with %+v", ro.ID, g.Name, g.Decisions)
			}
		}
	}
}

// blast is I6: how many clusters a bad Release has reached when the Rollout stops.
func (i *inspection) blast() {
	ro, old := i.t.ro, i.s.Active
	if ro.Phase != Halted || ro.Reason != ReasonFailureBudget || old == nil || old.ID != ro.ID || old.Phase == Halted || ro.CausedBy != "" {
		return
	}
	w := ro.Waves[min(ro.Wave, len(ro.Waves)-1)]
	bound, moved := w.MaxFailures+w.MaxConcurrent, 0
	for n := range ro.Members {
		m := &ro.Members[n]
		if m.Moved {
			moved++
		}
		switch {
		case m.Moved && (m.Phase.InFlight() || m.Phase == MemberPending): // held or failed before, and back since: it may have been one too many
			bound++
		case m.Wave < ro.Wave, m.Phase == MemberSucceeded, m.Phase == MemberSkipped, m.Phase == MemberRemoved, m.Phase == MemberDeferred,
			m.Failure == FailureRegression, m.Failure == FailureAnalysis:
			bound++
		}
	}
	if moved > bound {
		i.refute("I6", "%s: %d clusters have the Release, %d may: %+v", ro.ID, moved, bound, ro.Members)
	}
}

// pins is I7, and that generations grow.
func (i *inspection) pins() {
	t := i.t
	for id, put := range i.step.Put {
		row, release := t.site(id).row, put.Assignment.Release.Digest()
		if row.Assignment != nil && put.Assignment.Generation <= row.Assignment.Generation {
			i.refute("I7", "the generation of %s goes from %d to %d", id, row.Assignment.Generation, put.Assignment.Generation)
		}
		if t.ro == nil || !t.belongs(t.site(id)) || put.Assignment.State != fleet.Active || row.Assignment != nil && release == row.Release {
			continue
		}
		if m := t.member(id); release != t.ro.Target && release != m.Base {
			i.refute("I7", "%s: cluster %s gets %s, neither the target nor its base", t.ro.ID, m.Name, release)
		}
	}
}

// single is I10.
func (i *inspection) single() {
	active, queued, ids := 0, 0, map[string]bool{}
	for _, ro := range i.step.Rollouts {
		if ids[ro.ID] {
			i.refute("I10", "%s is written twice", ro.ID)
		}
		ids[ro.ID] = true
		switch {
		case ro.Phase.Active():
			active++
		case ro.Phase == Queued:
			queued++
		}
	}
	s := i.s
	if s.Active != nil && !ids[s.Active.ID] {
		active++
	}
	if s.Queued != nil && !ids[s.Queued.ID] {
		queued++
	}
	if active > 1 || queued > 1 {
		i.refute("I10", "%d Rollouts are under way and %d wait", active, queued)
	}
}

// unprovoked is I14: no Rollout to a bad Release begins by itself, and none goes back to what was never good.
func (i *inspection) unprovoked() {
	ro, old := i.t.ro, i.s.Active
	if old != nil && old.ID == ro.ID || i.s.Track == nil {
		return
	}
	if !ro.AllowBad && i.s.Track.Outcome(ro.Target) == Bad {
		i.refute("I14", "%s began, and its Release is bad", ro.ID)
	}
	for _, m := range ro.Members {
		if !m.Base.IsZero() && m.Base != i.s.Track.Stable && i.s.Track.Outcome(m.Base) != Good {
			i.refute("I14", "%s would take cluster %s back to %s, which was never good", ro.ID, m.Name, m.Base)
		}
	}
}

// deterministic is I17, at some of the steps: it takes as long as all the others.
func (i *inspection) deterministic() {
	if i.s.Generation%8 != 0 {
		return
	}
	_, again, err := act(i.s, i.c)
	if err != nil || !reflect.DeepEqual(again, i.step) {
		i.refute("I17", "the same state came to\n%+v\nand to\n%+v (%v)", i.step, again, err)
	}
}
