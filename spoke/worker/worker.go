package worker

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// record is what a worker remembers of its App over a restart.
type record struct {
	App fleet.Key `json:"app"`
	// Release is the last one whose objects were all applied, with Binding; Settled says that what Ready waits for was seen
	// healthy.
	Release fleet.Release `json:"release"`
	Binding fleet.Binding `json:"binding,omitzero"`
	Settled bool          `json:"settled,omitempty"`
	// HandledReconcileAt is the last reconcile request that a pass has served.
	HandledReconcileAt string `json:"handledReconcileAt,omitempty"`

	// run is what runDigest returned before; zero: nothing yet.
	run fleet.Digest
}

func (r record) same(o record) bool {
	return r.App == o.App && r.runDigest() == o.runDigest() && r.Settled == o.Settled && r.HandledReconcileAt == o.HandledReconcileAt
}

// runDigest names what was applied last.
func (r record) runDigest() fleet.Digest {
	if r.run.IsZero() {
		return fleet.RunDigest(r.Release.Digest(), r.Binding.Digest())
	}
	return r.run
}

// worker carries out one Assignment. Its fields without a comment on sharing belong to the goroutine of run.
type worker struct {
	pool   *Pool
	app    fleet.Key
	log    *slog.Logger
	wake   run.Wake
	cancel context.CancelFunc
	// gone says that the Assignment was ended, not the spoke; removed that nothing of it is left. ended is closed when
	// run returns.
	gone, removed atomic.Bool
	ended         chan struct{}
	// nudged says that the engine's status changed, reached that the hub was reached, lost that a blob is missing;
	// applying is set by a pass.
	nudged, reached, lost, applying atomic.Bool

	mu sync.Mutex
	// given is the newest Assignment; shared.
	given *Assigned

	// taken is the one that want, or unreadable, was made of.
	taken      *Assigned
	want       Assigned
	unreadable *Assigned
	progress   progress
	record     record
	suspended  bool
	// healthy and awaited are clocks of the App's health, and of that which Ready waits for.
	healthy, awaited clock
	// hindrance keeps a pass that is due from beginning; held says why nothing is to begin at all.
	hindrance *hindrance
	held      string
	fetched   fetched
	compiled  map[string]*expr.Ready
	told      fleet.Report
	// manifest is the one decoded last, and loaded says that the engine has taken up what was applied before the start;
	// used by one pass at a time.
	manifest *manifest.Manifest
	loaded   bool
	// wakesSeen is how often the engine had called for a pass when the newest one began.
	wakesSeen uint64
	running   *running
}

// clock tells since when something is not fine.
type clock struct {
	fine  bool
	since time.Time
}

func (c *clock) set(fine bool, now time.Time) {
	if !fine && c.fine {
		c.since = now
	}
	c.fine = fine
}

// restart has the time begin anew.
func (c *clock) restart(now time.Time) {
	if !c.fine {
		c.since = now
	}
}

// running is a pass or a removal under way.
type running struct {
	want   Assigned
	step   step
	cancel context.CancelCauseFunc
	// overtake cancels it but for what Helm has begun.
	overtake context.CancelCauseFunc
	done     chan outcome
}

// errOvertaken is why a pass is cancelled that has become pointless.
var errOvertaken = errors.New("overtaken by another Assignment")

func newWorker(p *Pool, app fleet.Key) *worker {
	return &worker{pool: p, app: app, log: p.Log.With(telemetry.KeyApp, app), wake: run.NewWake(), ended: make(chan struct{})}
}

// assign gives the worker its newest Assignment, and reports whether it may be another one than before.
func (w *worker) assign(assigned *Assigned) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given == assigned {
		return false
	}
	w.given = assigned
	w.wake.Set()
	return true
}

// run works until ctx ends. Then what is under way is cancelled and waited for.
func (w *worker) run(ctx context.Context) {
	defer close(w.ended)
	w.start(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var done chan outcome
		if w.running != nil {
			done = w.running.done
		}
		select {
		case <-ctx.Done():
			w.stop()
			return
		case o := <-done:
			w.finish(o)
		case <-w.wake.C():
		case <-timer.C:
		}
		if ctx.Err() != nil {
			continue
		}
		now := time.Now()
		timer.Stop()
		if at := w.look(ctx, now); !at.IsZero() {
			timer.Reset(max(at.Sub(now), 0))
		}
	}
}

// look does what is due and tells the hub what has changed. It returns when to look again; zero: when woken.
func (w *worker) look(ctx context.Context, now time.Time) time.Time {
	w.take()
	if w.reached.Load() {
		w.fetched.at = time.Time{}
	}
	if w.reached.Swap(false) && w.progress.last != nil && w.progress.last.failure != nil && w.progress.last.failure.Transient {
		w.progress.last.ended = time.Time{} // due at once
	}
	if w.lost.Swap(false) {
		w.progress.incomplete = !w.complete()
	}
	w.suspend()
	nudged := w.nudged.Swap(false)
	status := w.pool.Engine.Status(w.app) // what changes from here on nudges again
	if nudged {
		w.progress.nudged, w.progress.flux = true, status.ManagedByFlux
	}
	w.progress.woken = status.Wakes != w.wakesSeen
	if servedByLast(w.want, w.progress) {
		w.progress.handled = w.want.RequestedAt
		w.remember(w.want, *w.progress.last)
	}
	next := decide(now, w.want, w.progress)
	w.held = ""
	if w.running == nil || w.running.step == fetch {
		w.held = w.onHold(w.want, next.step)
	}
	due := w.running == nil && w.held == "" && next.step != rest && !next.at.After(now)
	w.hinder(due && next.step == pass && !w.want.Kept, now) // what it depends on may not be kept
	switch {
	case w.running != nil && overtakes(w.running.want, w.want):
		if spares(w.running.want, w.want) {
			w.running.overtake(errOvertaken)
		} else {
			w.running.cancel(errOvertaken)
		}
		next.at = time.Time{}
	case w.running != nil:
		next.at = time.Time{}
	case w.held != "":
		if next = w.fetchAhead(next, status); next.step == fetch && !next.at.After(now) {
			w.begin(ctx, next)
			next.at = time.Time{}
		}
	case w.hindrance != nil:
		next.at = now.Add(dependencyPeriod)
	case due:
		w.wakesSeen, w.progress.woken = status.Wakes, false
		w.begin(ctx, next)
		next.at = time.Time{}
	}
	expires := w.tell(status, now)
	if next.at.IsZero() || !expires.IsZero() && expires.Before(next.at) {
		return expires
	}
	return next.at
}

// hinder looks whether a pass that is due may begin. While it may not, no clock runs.
func (w *worker) hinder(due bool, now time.Time) {
	before := w.hindrance
	w.hindrance = nil
	if due {
		w.hindrance = w.findHindrance()
	}
	if before != nil && w.hindrance == nil {
		w.healthy.restart(now)
		w.awaited.restart(now)
	}
}

// take looks at the newest Assignment. One that is not understood leaves the one before in force.
func (w *worker) take() {
	w.mu.Lock()
	given := w.given
	w.mu.Unlock()
	if given == w.taken {
		return
	}
	w.taken = given
	if given.Err != nil {
		w.unreadable = given
		return
	}
	w.unreadable, w.want = nil, given.named()
}

// suspend tells the engine whether drift is to be corrected. A tombstone does not lift a suspension: what a person
// changed meanwhile stays as it is until it is deleted, or for good.
func (w *worker) suspend() {
	if w.want.Suspend == w.suspended {
		return
	}
	w.pool.Engine.SetSuspended(w.app, w.want.Suspend)
	w.progress.unverified = w.progress.unverified || w.suspended
	w.suspended = w.want.Suspend
}

// begin starts what decide said.
func (w *worker) begin(ctx context.Context, d decision) {
	within, cancel := context.WithCancelCause(ctx)
	ctx, overtake := context.WithCancelCause(within)
	r := &running{want: w.want, step: d.step, cancel: cancel, overtake: overtake, done: make(chan outcome, 1)}
	w.running = r
	if d.step != fetch {
		w.progress.nudged = false
	}
	if d.step == pass {
		w.progress.unverified, w.progress.incomplete = false, false
		w.removed.Store(false)
	}
	applied := w.record
	go func() { r.done <- w.carryOut(ctx, within, r.want, d, applied) }()
}

// finish takes note of what came of it.
func (w *worker) finish(o outcome) {
	r := w.running
	w.running = nil
	r.overtake(nil)
	r.cancel(nil)
	w.applying.Store(false)
	p := &w.progress
	if o.failure != nil && (errors.Is(o.failure, errOvertaken) || errors.Is(o.failure, ErrSuperseded) || errors.Is(o.failure, errHeld)) {
		// A hold may have cut off what the engine called for, which it does once.
		p.unverified = p.unverified || o.verify || errors.Is(o.failure, errHeld)
		return
	}
	if o.step == fetch {
		w.fetched.note(o)
		return
	}
	if o.failure != nil {
		o.failures = 1
		if last := p.last; last != nil && last.failure != nil && last.step == o.step && last.run == o.run {
			o.failures += last.failures
		}
		w.pool.Log.Warn("App not as it should be", telemetry.KeyApp, w.app.String(), telemetry.KeyRelease, r.want.Release.Digest().String(),
			"reason", o.failure.Reason, "tries", o.failures, telemetry.KeyErr, o.failure.Err)
	}
	changed := p.last == nil || p.last.step != o.step || p.last.run != o.run || p.last.failure != nil
	if p.last != nil && p.last.step == o.step {
		o.brought = p.last.run != o.run || p.last.failure != nil && p.last.brought
	}
	p.last = &o
	w.pool.metrics.count(o)
	switch {
	case o.step == remove:
		if o.failure == nil && o.removed {
			p.removed = o.generation
			w.removed.Store(true)
			w.pool.removed(w.app)
			w.pool.Records.Remove(recordName(w.app))
			w.pool.Blobs.Unpin(w.app.String())
			w.record = record{}
		}
		return
	case o.failure == nil && changed:
		w.healthy, w.awaited = clock{since: o.ended}, clock{since: o.ended}
	}
	p.handled = r.want.RequestedAt
	w.remember(r.want, o)
}

// remember saves what a restart should find. That not all could be deleted does not count: all is applied.
func (w *worker) remember(want Assigned, o outcome) {
	next := w.record
	next.App, next.HandledReconcileAt = w.app, w.progress.handled
	if next.runDigest() != o.run && (o.failure == nil || w.pool.Engine.Status(w.app).runDigest() == o.run) {
		next.Release, next.Binding, next.Settled, next.run = want.Release, want.Binding, false, want.RunDigest()
	}
	w.save(next)
}

func (w *worker) save(next record) {
	if next.same(w.record) {
		return
	}
	w.record = next
	if !next.Release.IsZero() {
		w.pool.Records.Save(recordName(w.app), next)
	}
}

// tell reports what has changed. The report holds until expires, if nothing else moves.
func (w *worker) tell(status Status, now time.Time) (expires time.Time) {
	w.healthy.set(status.Healthy.Status == fleet.True, now)
	w.awaited.set(awaited(w.want, status).Status == fleet.True, now)
	inPlace := status.runDigest() == w.record.runDigest() && !w.record.Release.IsZero()
	if w.awaited.fine && inPlace && !w.record.Settled {
		settled := w.record
		settled.Settled = true
		w.save(settled)
	}
	if w.want.Kept || w.want.Generation == 0 && w.unreadable == nil {
		if w.told.Generation != 0 {
			w.pool.Forget(w.app)
			w.told = fleet.Report{}
			w.pool.unsaid(w.app)
		}
		return time.Time{}
	}
	report, expires := describe(view{
		want: w.want, status: status, progress: w.progress, unreadable: w.unreadable, applying: w.applying.Load(),
		settled:        w.record.Settled && w.record.runDigest() == w.want.RunDigest(),
		unhealthySince: w.healthy.since, awaitedSince: w.awaited.since, hindrance: w.hindrance, held: w.held, ready: w.told.Ready, now: now,
	})
	if event, worth := eventOf(w.told, report); worth && (report.Ready.Status != fleet.True || status.Ready.Status != fleet.True) {
		w.pool.Event(event)
	}
	w.told = report
	w.pool.said(report)
	w.pool.Report(report)
	return expires
}

// stop ends what is under way, because the spoke stops or the Assignment is gone.
func (w *worker) stop() {
	if w.running != nil {
		w.running.cancel(context.Canceled)
		<-w.running.done
	}
	if w.gone.Load() {
		w.pool.unsaid(w.app)
		w.pool.Forget(w.app)
		w.pool.Blobs.Unpin(w.app.String())
		w.pool.Records.Remove(recordName(w.app))
	}
}

// jitter is the spread of what follows an outcome.
func jitter() float64 { return (2*rand.Float64() - 1) / 10 }

func recordName(app fleet.Key) string {
	digest := fleet.DigestOf([]byte(app.String()))
	return path.Join("apps", hex.EncodeToString(digest[:]))
}
