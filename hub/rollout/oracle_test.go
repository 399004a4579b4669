package rollout_test

import (
	"fmt"
	"strings"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/schedule"
)

// oracle says from the events, the Assignments and the reports alone whether the rules were kept. It has no code of the
// engine's package: who is in which wave, what may fail and how much time has passed it works out by itself. What a policy
// means by a selector, by what it leaves out and by a window it has from where the engine has it: Selector.Matches,
// WithDefaults and package schedule have tests of their own.
type oracle struct {
	w     *world
	runs  map[string]*ledger
	now   *ledger // of the Rollout under way
	names map[string]string
	// verdicts are what became of Releases; stable what succeeded last.
	verdicts map[fleet.Digest]rollout.Outcome
	stable   fleet.Digest
	// kept is what a cancelled one has left.
	kept fleet.Digest
	// away says since when clusters are out of reach; last when the step before was.
	away map[string]time.Time
	last time.Time
	// numbers are the Assignments' generations; catching are clusters that get something outside of a Rollout.
	numbers  map[string]uint64
	catching map[string]fleet.Digest
	// late are those of them that are not there yet.
	late   map[string]bool
	queued string
	broken []string
	maxU   int
	steps  int
}

// ledger is what the oracle keeps of one Rollout.
type ledger struct {
	id, scope     string
	target        fleet.Digest
	backward      bool
	actor         string
	phase, reason string
	// wave under way, and the one that was when a cluster was given the target last.
	wave, sentIn int
	policy       fleet.RolloutPolicy
	waves        []*waveLedger
	members      map[string]*memberLedger
	order        []*memberLedger
	maxU         int
	blocked      time.Time
}

// waveLedger is of a wave, gateLedger of a gate of it, memberLedger of a cluster.
type waveLedger struct {
	fleet.Wave
	size, maxConcurrent, maxFailures int
	phase                            string
	accepted                         bool
	gates                            map[string]*gateLedger // by side and name
	succeeded                        map[string]bool
}

type gateLedger struct {
	fleet.Gate
	open, running bool
	soaked        time.Duration
	soaking       bool
	approved      map[string]bool
}

type memberLedger struct {
	id, name string
	wave     int
	base     fleet.Digest
	// fate is what was told of it last, and why.
	fate, why string
	// moved: it has got something, by this Rollout (mine) or one before; inherited: that is not done. It served before.
	moved, mine, inherited, served bool
	// free: it was unavailable already when it was updated.
	free bool
	// generation from which on reports count, and how often it was tried since it got its turn.
	generation uint64
	tries      int
	// spent counts towards the deadline, and counts on until the next step.
	spent  time.Duration
	counts bool
	// Since when it is converged, says that it has failed, and does not serve after it succeeded.
	converged, ill, down time.Time
	// awayAll: it was out of reach all the time; strayed: it was out of reach or failed after it had succeeded.
	awayAll, strayed bool
}

func watchWith(w *world) *oracle {
	o := &oracle{w: w, names: map[string]string{}, runs: map[string]*ledger{}, verdicts: map[fleet.Digest]rollout.Outcome{},
		away: map[string]time.Time{}, numbers: map[string]uint64{}, catching: map[string]fleet.Digest{}, late: map[string]bool{}}
	w.watch = o.step
	return o
}

func (o *oracle) refute(format string, args ...any) {
	if len(o.broken) < 10 {
		o.broken = append(o.broken, fmt.Sprintf("step %d: ", o.steps)+fmt.Sprintf(format, args...))
	}
}

// step looks at one step: what it was made of, and what it wants written.
func (o *oracle) step(before rollout.State, step rollout.Step) {
	o.steps++
	dt := time.Duration(0)
	if !o.last.IsZero() {
		dt = before.Now.Sub(o.last)
	}
	o.last = before.Now
	for _, c := range before.Clusters {
		o.names[c.Name] = c.ID
		switch _, gone := o.away[c.ID]; {
		case c.Connected:
			delete(o.away, c.ID)
		case !gone:
			o.away[c.ID] = before.Now
		}
	}
	if o.now != nil {
		o.count(before, dt)
	}
	rows := o.written(before, step)
	for _, e := range step.Events {
		o.event(before, step, rows, e)
	}
	o.known(before, step)
	o.pins(before, step, rows)
	if o.now != nil {
		o.budgets(before, step, rows)
		o.overdue(before, rows)
		o.clocks(before, rows)
	}
}

// written is what the rows are once the step is written, and checks that numbers only grow.
func (o *oracle) written(before rollout.State, step rollout.Step) map[string]rollout.Row {
	rows := make(map[string]rollout.Row, len(before.Rows))
	for i, row := range before.Rows {
		id := before.Clusters[i].ID
		if put, is := step.Put[id]; is {
			row.Assignment, row.Release = &put.Assignment, put.Assignment.Release.Digest()
		}
		rows[id] = row
	}
	for id, put := range step.Put {
		if put.Assignment.Generation <= o.numbers[id] {
			o.refute("cluster %s gets generation %d after %d (I7, P19)", id, put.Assignment.Generation, o.numbers[id])
		}
		o.numbers[id] = put.Assignment.Generation
		if put.Assignment.State == fleet.Active && put.Assignment.Release.Manifest.IsZero() {
			o.refute("cluster %s gets a Release that is not there any more (P17)", id)
		}
	}
	return rows
}

// heard is what counts as said of what a cluster is to run.
func heard(row rollout.Row, least uint64) *rollout.Report {
	if row.Assignment == nil || row.Assignment.State != fleet.Active || row.Report == nil || row.Report.Release != row.Release ||
		row.Report.Generation < max(least, row.Assignment.Pin) {
		return nil
	}
	return row.Report
}

func servesNow(row rollout.Row) bool {
	if row.Assignment == nil || row.Assignment.State == fleet.Removed {
		return true
	}
	r := heard(row, 0)
	return r != nil && r.Available
}

// spoilt: it does not serve, because of a Release that is known to be bad.
func (o *oracle) spoilt(row rollout.Row) bool {
	return row.Assignment != nil && row.Assignment.State == fleet.Active && o.verdicts[row.Release] == rollout.Bad
}

func flying(fate string) bool {
	return fate == "Dispatched" || fate == "Applying" || fate == "Verifying" || fate == "RollingBack"
}

// event takes one event in.
func (o *oracle) event(before rollout.State, step rollout.Step, rows map[string]rollout.Row, e rollout.Event) {
	if e.Type == "Started" {
		o.started(before, step, e)
		return
	}
	r := o.runs[e.Rollout]
	if r == nil {
		return // of one that is queued, or of none
	}
	if fate, is := strings.CutPrefix(e.Type, "Cluster"); is {
		if m := r.members[o.names[e.Cluster]]; m != nil {
			o.fate(before, step, rows, r, m, fate, e)
		} else {
			o.refute("%s tells of %s, which is no member (I7)", r.id, e.Cluster)
		}
		return
	}
	switch e.Type {
	case "WaveBefore", "WaveUpdating", "WaveAfter", "WaveDone", "WaveSkipped":
		o.waved(r, e)
	case "GateOpened", "GatePassed", "GateOverridden", "Approved":
		o.gated(r, e)
	case "Running", "Paused", "Halted", "RollingBack", "Succeeded", "RolledBack", "RollbackFailed", "Cancelled", "Superseded":
		o.phased(before, rows, r, e)
	}
}

// fate has a cluster of a Rollout go on.
func (o *oracle) fate(before rollout.State, step rollout.Step, rows map[string]rollout.Row, r *ledger, m *memberLedger, fate string, e rollout.Event) {
	row, was, now := *rowOf(before, m.id), m.fate, before.Now
	said := heard(row, m.generation)
	switch fate {
	case "Dispatched":
		if flying(was) && r.policy.Cluster.Retries < m.tries {
			o.refute("%s: cluster %s is tried the %d. time (retries)", r.id, m.name, m.tries+1)
		}
		if !flying(was) {
			o.forward(before, r, m)
			m.spent, m.tries = 0, 0
			m.free = m.inherited || m.moved && m.served && !servesNow(row)
			m.served = m.served || servesNow(row) || !m.moved && o.spoilt(row)
		}
		m.tries++
		m.moved, m.mine, m.inherited = true, true, false
		r.sentIn = min(r.wave, len(r.waves)-1)
		m.generation = rows[m.id].Assignment.Generation
		m.converged, m.ill, m.down = time.Time{}, time.Time{}, time.Time{}
	case "Succeeded":
		if said == nil || !said.Converged || row.Release != r.target {
			o.refute("%s: cluster %s succeeded by report %+v of %s (I4)", r.id, m.name, row.Report, row.Release)
		}
		if flying(was) && now.Sub(m.converged) < r.policy.Cluster.MinReady.OrZero() {
			o.refute("%s: cluster %s succeeded %s after it converged (minReady)", r.id, m.name, now.Sub(m.converged))
		}
		if m.mine {
			r.waves[m.wave].succeeded[m.id] = true
		}
		m.down = time.Time{}
	case "Failed":
		o.failed(before, r, m, e, said)
		if e.Reason == "Regression" || e.Reason == "AnalysisFailed" {
			m.strayed = true
		}
	case "Deferred":
		if e.Reason == "OutOfReach" || e.Reason == "Held" && m.mine {
			m.strayed = true
		}
	case "RollingBack":
		if rows[m.id].Assignment == nil {
			o.refute("%s: cluster %s goes back and has nothing", r.id, m.name)
		} else {
			m.generation = rows[m.id].Assignment.Generation
		}
		m.spent = 0
	case "RolledBack":
		if m.base.IsZero() {
			if row.Assignment != nil && !row.Removed {
				o.refute("%s: cluster %s is back without having lost the App (I13)", r.id, m.name)
			}
		} else if said == nil || !said.Converged || row.Release != m.base {
			o.refute("%s: cluster %s is back by report %+v of %s, its base is %s (I13)", r.id, m.name, row.Report, row.Release, m.base)
		}
	}
	m.fate, m.why = fate, e.Reason
}

// forward checks what has to be so for a cluster to be updated.
func (o *oracle) forward(before rollout.State, r *ledger, m *memberLedger) {
	if r.phase != "Running" {
		o.refute("%s: it goes on while it is %s (I5)", r.id, r.phase)
	}
	if m.wave > r.wave {
		o.refute("%s: cluster %s of wave %d got its turn in wave %d (I3)", r.id, m.name, m.wave, r.wave)
	}
	if w := r.waves[min(r.wave, len(r.waves)-1)]; w.phase != "Updating" {
		o.refute("%s: cluster %s got its turn while wave %s is %s (I3)", r.id, m.name, w.Name, w.phase)
	}
	for i, c := range before.Clusters {
		if c.ID == m.id && (!c.Connected || c.Held != "") {
			o.refute("%s: cluster %s got its turn while it is away or held: %+v (I11)", r.id, m.name, before.Clusters[i])
		}
	}
	windows, err := schedule.Parse(r.policy.Windows)
	if open, _ := windows.Open(before.Now); err != nil || !open || before.Freeze != "" && !r.backward || before.App.Controls.Suspend {
		o.refute("%s: cluster %s got its turn while nothing may go forward: open %v freeze %q", r.id, m.name, open, before.Freeze)
	}
	if !m.moved && !r.backward && !servesNow(*rowOf(before, m.id)) && !o.spoilt(*rowOf(before, m.id)) && r.policy.Cluster.PreexistingUnhealthy != fleet.UnhealthyUpdate {
		o.refute("%s: cluster %s got its turn although it did not serve", r.id, m.name)
	}
}

// failed checks that a failure was one.
func (o *oracle) failed(before rollout.State, r *ledger, m *memberLedger, e rollout.Event, said *rollout.Report) {
	p, now := r.policy.Cluster, before.Now
	gone := time.Duration(-1)
	if at, away := o.away[m.id]; away {
		gone = now.Sub(at)
	}
	wrong := false
	switch e.Reason {
	case "ApplyError":
		wrong = said == nil || !said.Terminal || m.tries <= p.Retries && m.spent < p.ProgressDeadline.OrZero()
	case "Deadline":
		wrong = m.spent < p.ProgressDeadline.OrZero() || !m.served
	case "Unhealthy":
		wrong = said == nil || !said.Failed || m.ill.IsZero() || now.Sub(m.ill) < 30*time.Second
	case "Lost":
		wrong = gone < p.UnreachableTimeout.OrZero() || p.OnLost == fleet.LostDefer
	case "Regression":
		wrong = m.down.IsZero() || now.Sub(m.down) < p.RegressionWindow.OrZero() || m.fate != "Succeeded"
	case "AnalysisFailed":
		wrong = m.fate != "Succeeded"
	default:
		wrong = true
	}
	if wrong || !m.moved && e.Reason != "Regression" && e.Reason != "AnalysisFailed" {
		o.refute("%s: cluster %s failed by %s: %+v, %+v", r.id, m.name, e.Reason, *m, said)
	}
}
