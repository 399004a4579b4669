package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
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
	key := attempt(app)
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
	digest, err := l.manifest(ctx, app)
	switch {
	case err == nil:
		built := app.built(digest)
		isNew, err = l.Store.Released(ctx, built.Generation, built.Revision, built.Release)
		stale = errors.Is(err, fleet.ErrConflict)
	case errors.As(err, &input):
		err = l.failed(ctx, app, input)
		stale = errors.Is(err, fleet.ErrConflict)
	}
	switch {
	case ctx.Err() != nil: // stopping
		return false
	case stale:
		l.tellStale(app)
		return false // what changed has woken the loop
	case err != nil:
		l.postpone(ctx, app, err)
		return false
	}
	l.settled(app.Key)
	if input == nil { // else it is told
		l.tellReleased(app, isNew)
	}
	return true
}

// built is what the App comes to with a Manifest.
func (a declaredApp) built(manifest fleet.Digest) fleet.Built {
	annotations := a.object.Metadata.Annotations
	release := fleet.Release{App: a.Key, Manifest: manifest, DependsOn: a.spec.Dependencies(a.Key.Namespace, annotations)}
	return fleet.Built{Generation: a.object.Metadata.Generation, Revision: a.revision(), Release: release.Under(a.spec.Terms(annotations))}
}

func (l *Loop) tellReleased(app declaredApp, isNew bool) {
	if !isNew {
		l.Log.Debug("unchanged at the new revision", "app", app.Key.String(), "revision", app.revision())
		return
	}
	l.metrics.releases.Inc()
	l.Log.Info("released", "app", app.Key.String(), "revision", app.revision())
}

func (l *Loop) tellStale(app declaredApp) {
	l.Log.Debug("built from what is no longer there", "app", app.Key.String(), "revision", app.revision())
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
	if err := l.Store.AddEvents(ctx, []fleet.FleetEvent{event}); err != nil {
		l.Log.Error("event not stored", "app", app.String(), "err", err)
	}
}

// errArtifact marks a Tree, or a file of it, that cannot be had.
var errArtifact = errors.New("source artifact")

// manifest returns the digest of the App's Manifest: found by what an earlier build looked at, or built and stored. What
// was looked up before the build was claimed is looked up again: another replica, or the build of another App with the
// same recipe, may have stored it since.
func (l *Loop) manifest(ctx context.Context, app declaredApp) (fleet.Digest, error) {
	if lacks := app.lacks(); lacks != nil {
		return fleet.Digest{}, lacks
	}
	tree, err := l.trees.get(ctx, app.source.state.TreeBlob)
	if err != nil {
		return fleet.Digest{}, err
	}
	known, err := l.known(ctx, tree, []declaredApp{app})
	if err != nil {
		return fleet.Digest{}, err
	}
	digest := known[app.Key]
	if digest.IsZero() {
		if digest, err = l.knownEarlier(ctx, tree, app); err != nil {
			return digest, err
		}
	}
	if !digest.IsZero() {
		l.metrics.builds.WithLabelValues("found").Inc()
		return digest, nil
	}
	begin := time.Now()
	made, err := l.make(ctx, app, tree)
	if err != nil {
		return fleet.Digest{}, ofInput(err)
	}
	l.metrics.duration.Observe(time.Since(begin).Seconds())
	l.metrics.builds.WithLabelValues("built").Inc()
	if digest, err = l.keep(ctx, made.manifest, made.blobs); err != nil {
		return digest, err
	}
	key, inputs := attempt(app), fleet.BuildInputs{App: app.Key}
	if encoded := encodeInputs(made.inputs); made.inputs != nil && encoded != nil {
		key, inputs = keyOf(app, tree, made.inputs), fleet.BuildInputs{App: app.Key, Recipe: recipe(app), Inputs: encoded}
	}
	return digest, l.Store.SaveBuild(ctx, key, digest, inputs)
}

// made is what a build comes to.
type made struct {
	manifest *manifest.Manifest
	blobs    manifest.Blobs
	// inputs are the paths that it looked at; nil: it is known by the whole Tree.
	inputs []string
}

// make makes the Manifest of an App.
func (l *Loop) make(ctx context.Context, app declaredApp, tree *artifact.Tree) (made, error) {
	switch spec := app.spec.(type) {
	case flux.Kustomization:
		return l.makeObjects(ctx, app, spec, tree)
	case flux.HelmRelease:
		return l.makeChart(ctx, app, spec, tree)
	}
	return made{}, fmt.Errorf("%w: nobody builds a %s", fleet.ErrInvalid, app.Key.Kind)
}

func (l *Loop) makeObjects(ctx context.Context, app declaredApp, spec flux.Kustomization, tree *artifact.Tree) (m made, err error) {
	result, err := l.render(ctx, app, spec, tree)
	if encrypted := (*build.EncryptedError)(nil); errors.As(err, &encrypted) && spec.Decryption != nil {
		m.manifest, m.blobs, err = l.subtree(ctx, spec, tree, result.Inputs, encrypted)
	} else if err == nil {
		m.manifest, m.blobs, err = manifest.NewKnowing(l.objects, result.Objects, manifest.OptionsOf(spec.ReleaseSpec))
	}
	if err != nil {
		return made{}, err
	}
	l.Log.Debug("built", "app", app.Key.String(), "way", result.Way, "reason", result.Reason)
	m.inputs = result.Inputs
	return m, nil
}

// render builds the App in a child process. What kustomize proved wrong of the namespace's builds, in any replica at any
// time, it builds itself.
func (l *Loop) render(ctx context.Context, app declaredApp, spec flux.Kustomization, tree *artifact.Tree) (render.Result, error) {
	if err := l.keepDistrust(ctx, app.Key.Namespace); err != nil {
		return render.Result{}, err
	}
	distrusted, err := l.Store.Distrusted(ctx, app.Key.Namespace, build.Version)
	if err != nil {
		return render.Result{}, err
	}
	l.Builder.Distrust(app.Key.Namespace, distrusted...)
	result, err := l.Builder.Build(ctx, render.Job{Tenant: app.Key.Namespace, Path: spec.GetPath(), Spec: spec.BuildSpec, Tree: tree, Blob: l.files(tree).get})
	if result.Difference == nil {
		return result, err
	}
	l.event(ctx, app.Key, fleet.ReasonBuildDiffered, "kustomize, which repeated the build, came to something else: "+result.Difference.What+
		"; its output is used, and it makes such builds from now on. This is a fault of Flotilla's: please report it")
	l.mu.Lock()
	l.differed[app.Key.Namespace] = append(l.differed[app.Key.Namespace], result.Difference.Shape)
	l.mu.Unlock()
	if err := l.keepDistrust(ctx, app.Key.Namespace); err != nil {
		return render.Result{}, err
	}
	return result, err
}

// keepDistrust stores what is to be distrusted of a namespace's builds. What cannot be stored is when the namespace's next
// build is made: the builder, which knows, would not tell a second time.
func (l *Loop) keepDistrust(ctx context.Context, namespace string) error {
	l.mu.Lock()
	shapes := slices.Clone(l.differed[namespace])
	l.mu.Unlock()
	for _, shape := range shapes {
		if err := l.Store.Distrust(ctx, namespace, build.Version, shape); err != nil {
			return err
		}
		l.mu.Lock()
		if l.differed[namespace] = slices.DeleteFunc(l.differed[namespace], func(d fleet.Digest) bool { return d == shape }); len(l.differed[namespace]) == 0 {
			delete(l.differed, namespace)
		}
		l.mu.Unlock()
	}
	return nil
}

// subtree makes the Manifest of a build that needs keys which only clusters have: of the files that it looks at.
func (l *Loop) subtree(ctx context.Context, spec flux.Kustomization, tree *artifact.Tree, inputs []string, encrypted *build.EncryptedError) (*manifest.Manifest, manifest.Blobs, error) {
	subtree := build.NewSubtree(tree, spec.GetPath(), spec.BuildSpec, inputs, encrypted)
	read := l.files(tree)
	files := make(map[string][]byte, len(subtree.Files))
	size := int64(0)
	for _, file := range subtree.Files {
		if size += file.Size; size > manifest.MaxSize {
			return nil, nil, fmt.Errorf("%w: with %s the build reads more than the %d bytes that one made in the clusters may", fleet.ErrInvalid, file.Path, manifest.MaxSize)
		}
		content, err := read.get(ctx, file.Digest)
		if err != nil {
			return nil, nil, err
		}
		files[file.Path] = content
	}
	return manifest.NewSubtree(subtree.Encode(), files)
}

// ofInput marks the error of a build as one of its input where it is.
func ofInput(err error) error {
	var input *inputError
	if errors.As(err, &input) || errors.Is(err, errArtifact) || !errors.Is(err, fleet.ErrInvalid) && !errors.Is(err, fleet.ErrNotFound) {
		return err
	}
	return &inputError{fleet.ReasonBuildFailed, err}
}

// keep stores a Manifest with its objects.
func (l *Loop) keep(ctx context.Context, built *manifest.Manifest, blobs manifest.Blobs) (fleet.Digest, error) {
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
	return fleet.DigestOf(encoded), nil
}
