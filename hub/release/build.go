package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/render"
)

// reasonNoSource is why an App is not built whose Source is not declared.
const reasonNoSource = fleet.ReasonArtifactFailed

// build makes the Release of an App at its Source's Revision, or records why there is none.
func (l *Loop) build(ctx context.Context, app declaredApp) {
	generation := app.object.Metadata.Generation
	revision := fleet.Revision("")
	if app.source != nil {
		revision = app.source.state.Revision
	}
	isNew := false
	digest, err := l.manifest(ctx, app)
	if err == nil {
		release := fleet.Release{App: app.Key, Manifest: digest, Prune: *app.spec.Prune, Wait: app.spec.Wait,
			PruneGuard: app.object.Metadata.Annotations[flux.PruneGuardAnnotation]}
		isNew, err = l.Store.Released(ctx, generation, revision, release)
	}
	switch {
	case ctx.Err() != nil: // stopping
	case err != nil:
		l.failed(ctx, app, generation, revision, err)
	case isNew:
		l.metrics.releases.Inc()
		l.Log.Info("released", "app", app.Key.String(), "revision", revision)
	default:
		l.Log.Debug("unchanged at the new revision", "app", app.Key.String(), "revision", revision)
	}
}

// failed records why an App was not built. An input that will never do is not tried again until it changes.
func (l *Loop) failed(ctx context.Context, app declaredApp, generation int64, revision fleet.Revision, err error) {
	reason, retry := fleet.ReasonBuildFailed, app.spec.GetRetryInterval()
	if errors.Is(err, fleet.ErrInvalid) || errors.Is(err, fleet.ErrNotFound) {
		retry = time.Duration(0)
	}
	if app.source == nil || errors.Is(err, errArtifact) {
		reason = reasonNoSource
	}
	l.metrics.builds.WithLabelValues("failed").Inc()
	l.Log.Warn("not built", "app", app.Key.String(), "revision", revision, "err", err)
	if err := l.Store.NotReleased(ctx, app.Key, generation, revision, reason, err.Error(), retry); err != nil {
		l.Log.Error("failed build not recorded", "app", app.Key.String(), "err", err)
		return
	}
	event := fleet.FleetEvent{Kind: app.Key.Kind, Namespace: app.Key.Namespace, Name: app.Key.Name, Warning: true, Reason: reason, Message: err.Error()}
	if err := l.Store.AddEvent(ctx, event); err != nil {
		l.Log.Error("event not stored", "app", app.Key.String(), "err", err)
	}
}

// errArtifact marks a Tree that cannot be had.
var errArtifact = errors.New("source artifact")

// manifest returns the digest of the App's Manifest: found by the build's input, or built and stored.
func (l *Loop) manifest(ctx context.Context, app declaredApp) (fleet.Digest, error) {
	if app.source == nil {
		return fleet.Digest{}, fmt.Errorf("spec.sourceRef: %s/%s/%s: %w", app.spec.SourceRef.Kind, app.Key.Namespace, app.spec.SourceRef.Name, fleet.ErrNotFound)
	}
	key := fleet.DigestOf([]byte(build.Version + "\x00" + app.source.state.Tree.String() + "\x00" + app.spec.GetPath()))
	known, err := l.Store.BuiltManifest(ctx, key)
	if err == nil {
		l.metrics.builds.WithLabelValues("found").Inc()
		return known, nil
	}
	if !errors.Is(err, fleet.ErrNotFound) {
		return known, err
	}
	raw, err := l.Blobs.Get(ctx, app.source.state.TreeBlob)
	if err != nil {
		return known, fmt.Errorf("%w: %w", errArtifact, err)
	}
	tree, err := artifact.Decode(raw)
	if err != nil {
		return known, fmt.Errorf("%w: %w", errArtifact, err)
	}
	begin := time.Now()
	result, err := l.Builder.Build(ctx, render.Job{Tenant: app.Key.Namespace, Path: app.spec.GetPath(), Tree: tree, Blob: l.Blobs.Get})
	if err != nil {
		return known, err
	}
	l.metrics.duration.Observe(time.Since(begin).Seconds())
	l.metrics.builds.WithLabelValues("built").Inc()
	built, blobs, err := manifest.New(result.Objects)
	if err != nil {
		return known, err
	}
	return l.keep(ctx, key, built, blobs)
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
