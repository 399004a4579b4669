package rollout_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// started works out what a Rollout that begins is to do, by the policy and the fleet as they are now.
func (o *oracle) started(before rollout.State, step rollout.Step, e rollout.Event) {
	var begun *rollout.Rollout
	for _, ro := range step.Rollouts {
		if ro.ID == e.Rollout {
			begun = ro
		}
	}
	if begun == nil || o.runs[e.Rollout] != nil {
		o.refute("%s began twice, or is not written", e.Rollout)
		return
	}
	policy := before.Policy.WithDefaults()
	r := &ledger{id: begun.ID, target: begun.Target, actor: begun.Actor, phase: "Running", policy: policy, members: map[string]*memberLedger{}}
	_, asked := o.w.command.(rollout.Rollback)
	r.backward = r.target == o.stable || asked
	if o.verdicts[r.target] == rollout.Bad && !begun.AllowBad {
		o.refute("%s begins with %s, which has failed before (I14)", r.id, r.target)
	}
	var about map[string]*memberLedger
	if r.backward {
		o.divide(before, r)
		about, r.members, r.order, r.waves = r.members, map[string]*memberLedger{}, nil, nil
		r.policy.Waves = []fleet.Wave{policy.RestWave()}
		r.policy.Waves[0].Name, r.policy.Waves[0].MaxConcurrent, r.policy.Windows = "all", policy.OnFailure.MaxConcurrent, nil
	}
	left := o.divide(before, r)
	if !r.backward && len(left) > 0 && policy.Unmatched == fleet.UnmatchedReject {
		o.refute("%s begins, and no wave takes %d clusters: the policy says Reject", r.id, len(left))
	}
	if about != nil {
		r.order = slices.DeleteFunc(r.order, func(m *memberLedger) bool { return about[m.id] == nil })
		clear(r.members)
		for _, m := range r.order {
			r.members[m.id] = m
		}
		r.waves = r.waves[:1]
		r.waves[0].size = len(r.order)
		r.waves[0].maxConcurrent = share(policy.OnFailure.MaxConcurrent, len(r.order), false, 1)
	}
	r.maxU = share(policy.MaxUnavailable, len(r.order), false, 1)
	if old := o.now; old != nil {
		o.inherit(r, old)
		for _, m := range r.order {
			o.comeToItsEnd(before, r, m)
		}
	}
	o.runs[r.id], o.now = r, r
}

// divide puts each cluster into its wave, and returns those that are in none.
func (o *oracle) divide(before rollout.State, r *ledger) (left []rollout.Cluster) {
	for _, c := range before.Clusters {
		if choice(before, c) {
			left = append(left, c)
		}
	}
	waves := r.policy.Waves
	if r.policy.Unmatched == fleet.UnmatchedLast {
		waves = append(slices.Clip(waves), r.policy.RestWave())
	}
	for i, p := range waves {
		var in, out []rollout.Cluster
		for _, c := range left {
			if p.Select == nil || p.Select.Matches(c.Labels) {
				in = append(in, c)
			} else {
				out = append(out, c)
			}
		}
		slices.SortStableFunc(in, func(a, b rollout.Cluster) int { return strings.Compare(a.Name, b.Name) })
		switch p.Order.By {
		case fleet.ByLabel:
			slices.SortStableFunc(in, func(a, b rollout.Cluster) int { return cmp.Compare(rank(a, p.Order.Key), rank(b, p.Order.Key)) })
		case fleet.ByShuffle:
			slices.SortStableFunc(in, func(a, b rollout.Cluster) int { return cmp.Compare(lot(a, r.target), lot(b, r.target)) })
		}
		if p.Limit != nil {
			n := min(len(in), share(p.Limit, len(in), false, 1))
			in, out = in[:n], append(out, in[n:]...)
		}
		if i == len(r.policy.Waves) && len(in) == 0 {
			break
		}
		left = out
		r.waves = append(r.waves, &waveLedger{Wave: p, size: len(in), maxConcurrent: share(p.MaxConcurrent, len(in), false, 1),
			maxFailures: share(p.MaxFailures, len(in), false, 0), phase: "Pending", gates: doors(p), succeeded: map[string]bool{}})
		for _, c := range in {
			_, away := o.away[c.ID]
			m := &memberLedger{id: c.ID, name: c.Name, wave: len(r.waves) - 1, fate: "Pending", base: o.baseOf(*rowOf(before, c.ID)), awayAll: away}
			r.members[c.ID], r.order = m, append(r.order, m)
		}
	}
	return left
}

// lot is what a shuffle for a Release draws for a cluster.
func lot(c rollout.Cluster, target fleet.Digest) uint64 {
	sum := sha256.Sum256([]byte(string(target.Bytes()) + c.ID))
	return binary.BigEndian.Uint64(sum[:8])
}

func rank(c rollout.Cluster, key string) int {
	n, err := strconv.Atoi(c.Labels[key])
	if err != nil {
		return 1 << 30
	}
	return n
}

// choice reports whether the App is to be in the cluster.
func choice(s rollout.State, c rollout.Cluster) bool {
	there := false
	if a := rowOf(s, c.ID).Assignment; a != nil {
		there = a.State == fleet.Active
	}
	for _, taint := range c.Spec.Taints {
		if taint.Effect == fleet.NoExecute || !there {
			return false // no Placement here tolerates any
		}
	}
	return !c.Terminating && s.Placement.Clusters.Matches(c.Name, c.Labels)
}

// share of n, as a policy's number says, by counting.
func share(a *fleet.Amount, n int, up bool, least int) int {
	text, percent := strings.CutSuffix(a.String(), "%")
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	k := 0
	for k < n && (!percent && k < value || percent && (up && 100*k < n*value || !up && 100*(k+1) <= n*value)) {
		k++
	}
	return max(k, least)
}

// baseOf is what a cluster goes back to: what it has, where that is good, or else what succeeded last.
func (o *oracle) baseOf(row rollout.Row) fleet.Digest {
	if row.Assignment != nil && row.Assignment.State == fleet.Active && o.verdicts[row.Release] == rollout.Good {
		return row.Release
	}
	return o.stable
}

// inherit takes over what the Rollout before has changed.
func (o *oracle) inherit(r, old *ledger) {
	for id, m := range r.members {
		if was := old.members[id]; was != nil && was.moved && was.fate != "RolledBack" && was.fate != "Removed" {
			m.moved, m.served, m.inherited, m.awayAll = true, was.served, flying(was.fate) || was.inherited && was.fate == "Pending", false
			if m.generation = was.generation; m.inherited {
				m.spent = was.spent
			}
		}
	}
}

// comeToItsEnd sees whether what the Rollout before had under way in a cluster is over.
func (o *oracle) comeToItsEnd(before rollout.State, r *ledger, m *memberLedger) {
	if m.fate != "Pending" || !m.inherited {
		return
	}
	said := heard(*rowOf(before, m.id), m.generation)
	at, away := o.away[m.id]
	m.inherited = (said == nil || !said.Converged && !said.Terminal) && m.spent < r.policy.Cluster.ProgressDeadline.OrZero() &&
		!(away && before.Now.Sub(at) >= r.policy.Cluster.UnreachableTimeout.OrZero())
}

func doors(p fleet.Wave) map[string]*gateLedger {
	all := map[string]*gateLedger{}
	for _, g := range p.Before {
		all["before/"+g.Name()] = &gateLedger{Gate: g, approved: map[string]bool{}}
	}
	for _, g := range p.After {
		all["after/"+g.Name()] = &gateLedger{Gate: g, approved: map[string]bool{}}
	}
	return all
}

// waved has a wave go on.
func (o *oracle) waved(r *ledger, e rollout.Event) {
	i := slices.IndexFunc(r.waves, func(p *waveLedger) bool { return p.Name == e.Wave })
	if i < 0 || i != r.wave && !(i == r.wave+1 && r.waves[r.wave].over()) {
		o.refute("%s: %s of wave %s while wave %d is under way (I3)", r.id, e.Type, e.Wave, r.wave)
		return
	}
	r.wave = i
	p := r.waves[i]
	was := p.phase
	p.phase = strings.TrimPrefix(e.Type, "Wave")
	next := map[string]string{"Pending": "Before", "Before": "Updating", "Updating": "After", "After": "Done"}
	if was == "After" && p.phase == "Updating" {
		return // clusters of it are updated once more
	}
	counted, decided, succeeded, settled := o.coverage(r, i)
	switch {
	case p.phase == "Skipped":
		if counted > 0 || p.Required && !p.accepted {
			o.refute("%s: wave %s is passed over with %d clusters (I12)", r.id, p.Name, counted)
		}
		return
	case next[was] != p.phase:
		o.refute("%s: wave %s goes from %s to %s (I3)", r.id, p.Name, was, p.phase)
	}
	side := map[string]string{"Updating": "before/", "Done": "after/"}[p.phase]
	for name, g := range p.gates {
		if side != "" && strings.HasPrefix(name, side) && !g.open {
			o.refute("%s: wave %s is %s while gate %s has not passed (I3)", r.id, p.Name, p.phase, name)
		}
	}
	if p.phase == "After" || p.phase == "Done" {
		need := share(p.MinUpdated, counted, true, 0)
		if !settled && p.phase == "After" || counted > 0 && !p.accepted && (succeeded < 1 || decided < need) {
			o.refute("%s: wave %s is left with %d of %d decided, %d succeeded, %d needed, settled %v (I12)", r.id, p.Name, decided, counted, succeeded, need, settled)
		}
	}
}

func (p *waveLedger) over() bool { return p.phase == "Done" || p.phase == "Skipped" }

// coverage counts a wave's clusters: how many there are to count, how many are decided, and whether all are settled.
func (o *oracle) coverage(r *ledger, wave int) (counted, decided, succeeded int, settled bool) {
	settled = true
	for _, m := range r.order {
		if m.wave != wave {
			continue
		}
		switch {
		case m.fate == "Removed" || m.fate == "Skipped":
			continue
		case m.fate == "Succeeded" && !o.stale(r, m):
			succeeded++
			decided++
		case m.fate == "Failed":
			decided++
		case m.fate == "Pending" || flying(m.fate):
			settled = false
		}
		counted++
	}
	return counted, decided, succeeded, settled
}

// stale: it has succeeded, and is out of reach for long.
func (o *oracle) stale(r *ledger, m *memberLedger) bool {
	at, away := o.away[m.id]
	return away && m.moved && !o.last.Before(at.Add(r.policy.Cluster.UnreachableTimeout.OrZero()))
}

// gated has a gate go on.
func (o *oracle) gated(r *ledger, e rollout.Event) {
	for _, p := range r.waves {
		for name, g := range p.gates {
			if p.Name != e.Wave || strings.TrimPrefix(strings.TrimPrefix(name, "before/"), "after/") != e.Gate {
				continue
			}
			switch e.Type {
			case "GateOpened":
				g.running = true
			case "Approved":
				g.approved[e.Actor] = true
			case "GateOverridden":
				g.open = true
			case "GatePassed":
				o.passed(r, p, g, name)
			}
		}
	}
}

func (o *oracle) passed(r *ledger, p *waveLedger, g *gateLedger, name string) {
	if g.open || r.phase != "Running" || p != r.waves[r.wave] {
		o.refute("%s: gate %s of wave %s passes twice, or out of turn (I3)", r.id, name, p.Name)
	}
	g.open = true
	switch {
	case g.Soak != nil:
		if g.soaked < g.Soak.Duration.Duration {
			o.refute("%s: gate %s has soaked for %s", r.id, name, g.soaked)
		}
	case g.Approval != nil:
		n := 0
		for who := range g.approved {
			if (len(g.Approval.Approvers) == 0 || slices.Contains(g.Approval.Approvers, who) || slices.Contains(g.Approval.Approvers, groupOf(who))) &&
				(who != r.actor || g.Approval.AllowSelf) {
				n++
			}
		}
		if n < g.Approval.MinApprovers {
			o.refute("%s: gate %s passes with %d of %d approvals (I15)", r.id, name, n, g.Approval.MinApprovers)
		}
	}
}

// groupOf is the group that a principal of these tests is in.
func groupOf(principal string) string { return "group:of-" + strings.TrimPrefix(principal, "user:") }

// soaks reports whether a soak of the wave under way may count now: nothing that was updated is known not to serve.
func (o *oracle) soaks(r *ledger, rows map[string]rollout.Row) bool {
	for _, m := range r.order {
		if m.fate != "Succeeded" || m.wave > r.wave || o.stale(r, m) {
			continue
		}
		_, away := o.away[m.id]
		said := heard(rows[m.id], m.generation)
		if !m.down.IsZero() || (!away || !m.moved) && (said == nil || !said.Available) {
			return false
		}
	}
	return true
}

// count has the clocks of the Rollout under way go on, as they stood after the step before, and takes in what was said.
func (o *oracle) count(before rollout.State, dt time.Duration) {
	r := o.now
	for _, m := range r.order {
		if m.counts {
			m.spent += dt
		}
		if _, away := o.away[m.id]; !away || m.moved {
			m.awayAll = false
		}
	}
	if r.wave < len(r.waves) {
		for _, g := range r.waves[r.wave].gates {
			if g.soaking {
				g.soaked += dt
			}
		}
	}
	for _, m := range r.order {
		said := heard(*rowOf(before, m.id), m.generation)
		o.comeToItsEnd(before, r, m)
		if said == nil || rowOf(before, m.id).Release != r.target {
			if flying(m.fate) {
				m.converged, m.ill = time.Time{}, time.Time{}
			}
			continue
		}
		_, away := o.away[m.id]
		mark(&m.converged, before.Now, said.Converged && !away)
		mark(&m.ill, before.Now, said.Failed)
		if m.fate == "Succeeded" {
			mark(&m.down, before.Now, !said.Available)
		}
	}
}

func mark(at *time.Time, now time.Time, is bool) {
	switch {
	case !is:
		*at = time.Time{}
	case at.IsZero():
		*at = now
	}
}

// clocks notes which clocks run until the next step.
func (o *oracle) clocks(before rollout.State, rows map[string]rollout.Row) {
	r := o.now
	for _, m := range r.order {
		_, away := o.away[m.id]
		said := heard(rows[m.id], m.generation)
		waits := said != nil && said.Waiting != "" && said.Waiting != fleet.WaitingNone
		m.counts = (flying(m.fate) || m.fate == "Pending" && m.inherited) && !away && !waits && !before.App.Controls.Suspend
	}
	if r.wave >= len(r.waves) {
		return
	}
	w := r.waves[r.wave]
	for name, g := range w.gates {
		under := w.phase == "Before" && strings.HasPrefix(name, "before/") || w.phase == "After" && strings.HasPrefix(name, "after/")
		g.soaking = g.Soak != nil && under && g.running && !g.open && r.phase == "Running" && o.soaks(r, rows)
	}
}
