package worker

import (
	"context"
	"errors"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// minPassTime is what a pass may always take; an App's timeout bounds the wait for health, not the writing of many
// objects.
const minPassTime = 5 * time.Minute

// start takes the App up as it was when the spoke stopped, so that its drift is corrected and its health known while
// its Assignment waits for a slot, or for the hub.
func (w *worker) start(ctx context.Context) {
	w.unhealthy = time.Now()
	var saved record
	if !w.pool.Records.Load(recordName(w.app), &saved) || saved.App != w.app {
		return
	}
	w.record, w.progress.handled = saved, saved.HandledReconcileAt
	release, err := w.pool.slot(ctx)
	if err != nil {
		return
	}
	defer release()
	m := w.cached(saved.Release.Manifest)
	if m == nil {
		return
	}
	w.manifest = m
	w.pin(m)
	w.take()
	w.suspend() // before Load, which begins to correct
	if err := w.pool.Engine.Load(ctx, w.app, m, saved.Release); err != nil && ctx.Err() == nil {
		w.log.Warn("what was applied is not taken up; the next pass will", telemetry.KeyErr, err)
	}
}

// carryOut makes a pass or a removal and says what came of it.
// applied is the Manifest that the App had before.
func (w *worker) carryOut(ctx context.Context, want Assigned, d decision, applied fleet.Digest) (o outcome) {
	o = outcome{step: d.step, generation: want.Generation, release: want.Release.Digest(), approved: want.ApprovedPrune, verify: d.verify}
	reason := ""
	err := run.Recover(ctx, func(ctx context.Context) (err error) {
		release, err := w.pool.slot(ctx)
		if err != nil {
			return err
		}
		defer release()
		ctx, cancel := context.WithTimeout(ctx, max(want.timeout(), minPassTime))
		defer cancel()
		o.began = time.Now()
		if d.step == remove {
			reason = fleet.ReasonPruneFailed
			o.removed, err = w.pool.Engine.Remove(ctx, Removal{
				App: w.app, Tombstone: *want.Tombstone, Release: want.Release, ApprovedPrune: want.ApprovedPrune, Timeout: want.timeout(),
			})
			return err
		}
		return w.pass(ctx, want, d.verify, applied, &reason)
	})
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
func (w *worker) pass(ctx context.Context, want Assigned, verify bool, applied fleet.Digest, reason *string) error {
	for try := 0; ; try++ {
		*reason = fleet.ReasonArtifactFailed
		m, err := w.obtain(ctx, want, applied)
		if err != nil {
			return err
		}
		*reason = fleet.ReasonFailed
		w.applying.Store(true)
		w.wake.Set()
		err = w.pool.Engine.Deploy(ctx, Target{
			App: w.app, Generation: want.Generation, Release: want.Release, Manifest: m,
			ApprovedPrune: want.ApprovedPrune, Verify: verify,
		})
		if err == nil {
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
	base := w.cached(applied)
	if m := w.cached(want.Release.Manifest); m != nil {
		w.pin(m, base)
		w.manifest = m
		return m, nil
	}
	m, blobs, err := w.pool.Fetch(ctx, want, base)
	if err != nil {
		return nil, err
	}
	w.pin(m, base)
	for digest, content := range blobs {
		if err := w.pool.Blobs.Put(digest, content); err != nil {
			return nil, err
		}
	}
	if err := w.pool.Blobs.Put(m.Digest(), m.Encode()); err != nil {
		return nil, err
	}
	w.manifest = m
	return m, nil
}

// cached returns a Manifest that is in the cache whole; nil: it is not.
func (w *worker) cached(digest fleet.Digest) *manifest.Manifest {
	if digest.IsZero() {
		return nil
	}
	m := w.manifest
	if m == nil || m.Digest() != digest {
		encoded, err := w.pool.Blobs.Blob(digest)
		if err != nil {
			return nil
		}
		if m, err = manifest.Decode(encoded); err != nil {
			w.log.Warn("a cached manifest is not understood", telemetry.KeyDigest, digest, telemetry.KeyErr, err)
			return nil
		}
	}
	if !w.whole(m) {
		return nil
	}
	return m
}

// whole reports whether all blobs of a Manifest are in the cache.
func (w *worker) whole(m *manifest.Manifest) bool {
	for _, entry := range m.Entries {
		if !w.pool.Blobs.Has(entry.Digest) {
			return false
		}
	}
	return true
}

// pin keeps the Manifests and their blobs in the cache, and nothing else of this App.
func (w *worker) pin(manifests ...*manifest.Manifest) {
	var digests []fleet.Digest
	for _, m := range manifests {
		if m == nil {
			continue
		}
		digests = append(digests, m.Digest())
		for _, entry := range m.Entries {
			digests = append(digests, entry.Digest)
		}
	}
	w.pool.Blobs.Pin(w.app.String(), digests)
}
