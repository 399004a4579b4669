package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

const (
	// minPassTime is what a pass may always take; an App's timeout bounds the wait for health, not the writing of many
	// objects.
	minPassTime = 5 * time.Minute
	// helmWait is how long a pass of a HelmRelease may wait for a chart's hooks, each of which may take a timeout of its own. What
	// is cut short here is no failure, and would be again.
	helmWait = 24 * time.Hour
	// readyTime is how long a pass waits for the engine before it fails, to say so.
	readyTime = 45 * time.Second
	// supersededPause is how long a pass that is overtaken at the hub waits for the Assignment that did it, before the
	// hub is asked again.
	supersededPause = 5 * time.Second
)

// start takes the App up as it was when the spoke stopped, so that its drift is corrected and its health known while
// its Assignment waits for a slot, or for the hub.
func (w *worker) start(ctx context.Context) {
	w.healthy.since, w.awaited.since = time.Now(), time.Now()
	var saved record
	if !w.pool.Records.Load(recordName(w.app), &saved) || saved.App != w.app {
		return
	}
	saved.run = saved.runDigest()
	w.record, w.progress.handled = saved, saved.HandledReconcileAt
	w.pin(w.decoded(saved.Release.Manifest)) // before another App's first blob drops what this one needs
	w.take()
	w.suspend() // before Load, which begins to correct
	if w.ready(ctx) != nil {
		return // the next pass says so
	}
	release, err := w.pool.slot(ctx)
	if err != nil {
		return
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, minPassTime)
	defer cancel()
	w.load(ctx, saved)
}

// ready waits, without a slot, until the engine can be used.
func (w *worker) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if err := w.pool.Engine.Ready(ctx, w.app); err != nil {
		return fmt.Errorf("the cluster is not known yet: %w", err)
	}
	return nil
}

// load has the engine take up what was applied before the start, until that succeeds or a pass makes it needless. A
// Manifest whose blobs are lost in part is good enough: drift of the others is corrected.
func (w *worker) load(ctx context.Context, applied record) {
	if w.loaded {
		return
	}
	m := w.decoded(applied.Release.Manifest)
	w.pin(m)
	if m == nil {
		return
	}
	w.manifest = m
	err := w.pool.Engine.Load(ctx, w.app, m, applied.Release, applied.Binding)
	w.loaded = err == nil
	if err != nil && ctx.Err() == nil {
		w.log.Warn("what was applied is not taken up; the next pass will", telemetry.KeyErr, err)
	}
}

// carryOut makes a pass or a removal and says what came of it. applied is what the App had before. What Helm has begun may go on
// within that context.
func (w *worker) carryOut(ctx, within context.Context, want Assigned, d decision, applied record) (o outcome) {
	o = outcome{step: d.step, generation: want.generation(), run: want.RunDigest(), approved: want.ApprovedPrune, controls: want.OfSpec(), verify: d.verify}
	reason := ""
	err := run.Recover(ctx, func(ctx context.Context) (err error) {
		if d.step == pass {
			if err := w.ready(ctx); err != nil {
				return err
			}
		}
		if d.step == fetch {
			return w.fetch(ctx, want, applied)
		}
		if err := w.awaitHold(ctx, want, d.step); err != nil {
			return err
		}
		release, err := w.pool.slot(ctx)
		if err != nil {
			return err
		}
		if w.onHold(want, d.step) != "" {
			release()
			return errHeld
		}
		s := newSpell(ctx, within, want, release)
		defer s.end()
		o.began = time.Now()
		if d.step == remove {
			reason = fleet.ReasonPruneFailed
			o.removed, err = w.pool.Engine.Remove(s.ctx, Removal{
				App: w.app, Tombstone: *want.Tombstone, Release: want.Release, ApprovedPrune: want.ApprovedPrune, Timeout: want.timeout(),
				Controls: want.Controls, Waits: s.wait,
			})
			return err
		}
		return w.pass(s, want, d.verify, applied, &reason)
	})
	if errors.Is(err, ErrSuperseded) {
		w.log.Debug("overtaken at the hub; waiting for the newer Assignment", telemetry.KeyErr, err)
		_ = run.Sleep(ctx, supersededPause) // cut short when it comes
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause // whatever it was cut off at
	}
	if bug := (*run.PanicError)(nil); errors.As(err, &bug) {
		w.log.Error("a pass panicked", telemetry.KeyErr, err)
	}
	o.failure, o.ended, o.spread = failureOf(err, reason), time.Now(), jitter()
	return o
}

// pass gets the Manifest and has it deployed. A blob that turns out to be corrupt on the way is fetched, once.
func (w *worker) pass(s *spell, want Assigned, verify bool, applied record, reason *string) error {
	ctx := s.ctx
	w.load(ctx, applied)
	for try := 0; ; try++ {
		*reason = fleet.ReasonArtifactFailed
		m, err := w.obtain(ctx, want, applied.Release.Manifest)
		if err != nil {
			return err
		}
		*reason = fleet.ReasonFailed
		w.applying.Store(true)
		w.wake.Set()
		err = w.pool.Engine.Deploy(ctx, Target{
			App: w.app, Release: want.Release, Manifest: m, Binding: want.Binding, ApprovedPrune: want.ApprovedPrune, Verify: verify,
			Controls: want.Controls, Within: s.within, Waits: s.wait,
		})
		if err == nil || w.pool.Engine.Status(w.app).runDigest() == want.RunDigest() {
			w.loaded = true
			w.pin(m)
		}
		if err == nil || try > 0 || w.whole(m) {
			return err
		}
		w.log.Warn("a part of the manifest was lost on disk; fetching it", telemetry.KeyDigest, m.Digest())
	}
}

// obtain returns the Manifest of an Assignment with all its blobs in the cache: from there, or from the hub as a
// difference to what was applied last.
func (w *worker) obtain(ctx context.Context, want Assigned, applied fleet.Digest) (*manifest.Manifest, error) {
	before := w.decoded(applied)
	if m := w.decoded(want.Release.Manifest); m != nil && w.whole(m) {
		w.pin(m, before)
		w.manifest = m
		return m, nil
	}
	base := before
	if base != nil && !w.whole(base) {
		base = nil
	}
	m, blobs, err := w.pool.Fetch(ctx, want, base)
	if err != nil {
		return nil, err
	}
	w.pin(m, before)
	contents := maps.Clone(blobs)
	contents[m.Digest()] = m.Encode()
	if err := w.pool.Blobs.Put(contents); err != nil {
		return nil, err
	}
	w.manifest = m
	return m, nil
}
