package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Hold knows what an operator at the cluster has put on hold.
type Hold interface {
	// Await waits until that is known of an App.
	Await(ctx context.Context, app fleet.Key) error
	// OnHold says why nothing new is to be applied of an App; empty: it may be.
	OnHold(app fleet.Key) string
}

// errHeld is why a pass that was due did not begin: its App was put on hold while it waited for its turn.
var errHeld = errors.New("put on hold")

// HoldChanged says that something else is on hold than before.
func (p *Pool) HoldChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		w.wake.Set()
	}
}

// onHold says why a step is not to be made; empty: it may be. A hold keeps what is there, so that it stops every pass: one
// of the Release that is there already would take in what it refers to. Drift is corrected all the same. What leaves the
// objects where they are may end.
func (w *worker) onHold(want Assigned, s step) string {
	if w.pool.Hold == nil || s == rest || s == remove && !want.Tombstone.Delete {
		return ""
	}
	return w.pool.Hold.OnHold(w.app)
}

// awaitHold waits until it is known whether the step may be made, and is errHeld if it may not.
func (w *worker) awaitHold(ctx context.Context, want Assigned, s step) error {
	if w.pool.Hold == nil || s == remove && !want.Tombstone.Delete {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if err := w.pool.Hold.Await(ctx, w.app); err != nil {
		return &Failure{Err: err, Transient: true}
	}
	return nil
}

// fetched is what was fetched of a Release that is on hold.
type fetched struct {
	run      fleet.Digest
	failures int
	// at is when a fetch that failed is tried again.
	at time.Time
}

// fetchAhead is what a worker does in place of a pass that is on hold.
func (w *worker) fetchAhead(held decision, status Status) decision {
	run := w.want.RunDigest()
	if held.step != pass || status.runDigest() == run || w.fetched.run == run {
		return decision{}
	}
	return decision{step: fetch, at: w.fetched.at}
}

// fetch has the Manifest in the cache.
func (w *worker) fetch(ctx context.Context, want Assigned, applied record) error {
	release, err := w.pool.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, minPassTime)
	defer cancel()
	_, err = w.obtain(ctx, want, applied.Release.Manifest)
	return err
}

func (f *fetched) note(o outcome) {
	if o.failure == nil {
		*f = fetched{run: o.run}
		return
	}
	f.failures++
	f.at = o.ended.Add(o.spreadOver(min(firstPause<<min(f.failures, 10), longestPause)))
}

// describeHeld is for an App of which something new waits. Its clocks stand still.
func describeHeld(report *fleet.Report, v view) {
	report.Waiting, report.Stage = fleet.WaitingHold, fleet.StageReceived
	report.Ready = condition(fleet.False, fleet.ReasonHeld, fmt.Sprintf("%s; release %s is applied once the annotation is taken away", v.held, short(report.Release)))
}
