package release

import (
	"context"
	"errors"
	"time"

	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/render"
)

// reasonNoSource is why an App is not built whose Source is not declared, or was never fetched.
const reasonNoSource = fleet.ReasonArtifactFailed

// inputError is wrong with what an App is built from: it fails again until that changes, or a person asks for another
// try. Any other failure is the hub's own, and says nothing of the App.
type inputError struct {
	reason string
	err    error
}

func (e *inputError) Error() string { return e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

// buildKey names a build by its whole input.
type buildKey fleet.Digest

func (a declaredApp) buildKey() buildKey {
	if a.lacks() != nil {
		return buildKey(fleet.DigestOf([]byte(a.Key.String())))
	}
	return buildKey(fleet.DigestOf([]byte(build.Version + "\x00" + a.source.state.Tree.String() + "\x00" + a.spec.GetPath())))
}

// revision of the Source that the App is built from.
func (a declaredApp) revision() fleet.Revision {
	if a.source == nil {
		return ""
	}
	return a.source.state.Revision
}

// build makes the Release of an App at its Source's Revision, or records why there is none. It reports whether that
// may have left something to do.
func (l *Loop) build(ctx context.Context, app declaredApp) bool {
	key := fleet.Digest(app.buildKey())
	claimed, err := l.Store.ClaimBuild(ctx, key, app.Key, app.state.Version)
	if err != nil {
		l.postpone(ctx, app, err)
		return false
	}
	if !claimed {
		return false // another replica is at it, or was since
	}
	defer func() {
		if err := l.Store.EndBuild(ctx, key); err != nil && ctx.Err() == nil {
			l.Log.Warn("claim of a build not ended", "app", app.Key.String(), "err", err)
		}
	}()
	var input *inputError
	isNew, stale := false, false
	digest, err := l.manifest(ctx, app, key)
	switch {
	case err == nil:
		release := fleet.Release{App: app.Key, Manifest: digest, Prune: *app.spec.Prune, ReleaseSpec: app.spec.ReleaseSpec,
			PruneGuard: app.object.Metadata.Annotations[flux.PruneGuardAnnotation],
			DependsOn:  app.spec.Dependencies(app.Key.Namespace, app.object.Metadata.Annotations)}
		isNew, err = l.Store.Released(ctx, app.object.Metadata.Generation, app.revision(), release)
		stale = errors.Is(err, fleet.ErrConflict)
	case errors.As(err, &input):
		err = l.failed(ctx, app, input)
		stale = errors.Is(err, fleet.ErrConflict)
	}
	switch {
	case ctx.Err() != nil: // stopping
		return false
	case stale:
		l.Log.Debug("built from what is no longer there", "app", app.Key.String(), "revision", app.revision(), "err", err)
		return false // what changed has woken the loop
	case err != nil:
		l.postpone(ctx, app, err)
		return false
	}
	l.settled(app.Key)
	switch {
	case input != nil: // it is told
	case isNew:
		l.metrics.releases.Inc()
		l.Log.Info("released", "app", app.Key.String(), "revision", app.revision())
	default:
		l.Log.Debug("unchanged at the new revision", "app", app.Key.String(), "revision", app.revision())
	}
	return true
}

// failed records why an App was not built.
func (l *Loop) failed(ctx context.Context, app declaredApp, input *inputError) error {
	l.metrics.builds.WithLabelValues("failed").Inc()
	failure := fleet.BuildFailure{Generation: app.object.Metadata.Generation, Revision: app.revision(), RequestedAt: app.requestedAt(),
		Reason: input.reason, Message: input.Error()}
	if err := l.Store.NotReleased(ctx, app.Key, failure); err != nil {
		return err
	}
	l.Log.Warn("not built", "app", app.Key.String(), "revision", app.revision(), "err", input)
	l.event(ctx, app.Key, input.reason, input.Error())
	return nil
}

// event warns of an App.
func (l *Loop) event(ctx context.Context, app fleet.Key, reason, message string) {
	event := fleet.FleetEvent{Kind: app.Kind, Namespace: app.Namespace, Name: app.Name, Warning: true, Reason: reason, Message: message}
	if err := l.Store.AddEvent(ctx, event); err != nil {
		l.Log.Error("event not stored", "app", app.String(), "err", err)
	}
}

// errArtifact marks a Tree, or a file of it, that cannot be had.
var errArtifact = errors.New("source artifact")

// manifest returns the digest of the App's Manifest: found by the build's input, or built and stored.
func (l *Loop) manifest(ctx context.Context, app declaredApp, key fleet.Digest) (fleet.Digest, error) {
	if err := app.lacks(); err != nil {
		return fleet.Digest{}, &inputError{reasonNoSource, err}
	}
	known, err := l.Store.BuiltManifest(ctx, key)
	if err == nil {
		l.metrics.builds.WithLabelValues("found").Inc()
		return known, nil
	}
	if !errors.Is(err, fleet.ErrNotFound) {
		return known, err
	}
	files, err := l.files(ctx, app.source.state.TreeBlob)
	if err != nil {
		return known, err
	}
	begin := time.Now()
	result, err := l.Builder.Build(ctx, render.Job{Tenant: app.Key.Namespace, Path: app.spec.GetPath(), Tree: files.tree, Blob: files.get})
	if err != nil {
		return known, ofInput(err)
	}
	l.metrics.duration.Observe(time.Since(begin).Seconds())
	l.metrics.builds.WithLabelValues("built").Inc()
	built, blobs, err := manifest.New(result.Objects)
	if err != nil {
		return known, ofInput(err)
	}
	return l.keep(ctx, key, built, blobs)
}

// ofInput marks the error of a build as one of its input where it is.
func ofInput(err error) error {
	if errors.Is(err, errArtifact) || !errors.Is(err, fleet.ErrInvalid) && !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	return &inputError{fleet.ReasonBuildFailed, err}
}

// keep stores a Manifest with its objects, and that the build key gives it.
func (l *Loop) keep(ctx context.Context, key fleet.Digest, built *manifest.Manifest, blobs manifest.Blobs) (fleet.Digest, error) {
	if err := l.Blobs.Put(ctx, blobs); err != nil {
		return fleet.Digest{}, err
	}
	objects := make([]fleet.Digest, len(built.Entries))
	for i, entry := range built.Entries {
		objects[i] = entry.Digest
	}
	encoded := built.Encode()
	if err := l.Blobs.PutWhole(ctx, encoded, objects); err != nil {
		return fleet.Digest{}, err
	}
	digest := fleet.DigestOf(encoded)
	return digest, l.Store.SaveBuild(ctx, key, digest)
}
