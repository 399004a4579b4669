package spoke

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/util/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/cache"
	"flotilla.dev/flotilla/spoke/deploy"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/worker"
)

// answers finds what the hub asks for.
type answers struct {
	engine   *deploy.Engine
	releases *helm.Engine
	blobs    *cache.Cache
	// assigned is an App's Assignment; fetch brings its Manifest.
	assigned func(fleet.Key) (worker.Assigned, bool)
	fetch    worker.Fetch
	// mark is the cluster's own.
	mark func(context.Context) (fleet.ClusterMark, error)
	// secret is the content of one of the cluster's.
	secret func(context.Context, fleet.NamespacedRef) (map[string][]byte, error)
}

// answer is session.Config.Answer.
func (a *answers) answer(ctx context.Context, ask fleet.Ask) (any, error) {
	switch ask.What {
	case fleet.AskHelmValues:
		return a.values(ctx, ask.App)
	case fleet.AskHelmHistory:
		return a.history(ctx, ask.App)
	case fleet.AskHeldPrune:
		if refs := a.engine.Held(ask.App); refs != nil {
			return refs, nil
		}
		return []fleet.ObjectRef{}, nil
	case fleet.AskDiff, fleet.AskDeclaredDiff:
		return a.diff(ctx, ask)
	case fleet.AskTree:
		return a.tree(ctx, ask.App)
	case fleet.AskVariables:
		return a.variables(ctx, ask.App)
	case fleet.AskTrace:
		return a.trace(ctx, ask)
	case fleet.AskGate:
		return a.gate(ctx, ask.Gate)
	}
	return nil, fmt.Errorf("%w: this version of the spoke does not know the question %q", fleet.ErrInvalid, ask.What)
}

// active returns the Assignment of an App that is to be here.
func (a *answers) active(app fleet.Key) (worker.Assigned, error) {
	assigned, known := a.assigned(app)
	if !known || assigned.State == fleet.Removed {
		return assigned, fmt.Errorf("%s: %w: it is not assigned to this cluster", app.Words(), fleet.ErrNotFound)
	}
	return assigned, assigned.Err
}

func (a *answers) variables(ctx context.Context, app fleet.Key) (fleet.Variables, error) {
	assigned, err := a.active(app)
	if err != nil {
		return fleet.Variables{}, err
	}
	variables, err := a.engine.Variables(ctx, deploy.Target{App: app, Release: assigned.Release, Binding: assigned.Binding})
	if err != nil {
		return variables, err
	}
	mark, err := a.mark(ctx)
	variables.Cluster = &mark
	return variables, err
}

func (a *answers) diff(ctx context.Context, ask fleet.Ask) (fleet.Diff, error) {
	assigned, err := a.active(ask.App)
	switch {
	case err != nil:
		return fleet.Diff{}, err
	case ask.Drift && len(ask.Documents) > 0:
		return fleet.Diff{}, fmt.Errorf("%w: drift is of what was applied, not of documents", fleet.ErrInvalid)
	case ask.What == fleet.AskDeclaredDiff && len(ask.Documents) == 0:
		return fleet.Diff{}, fmt.Errorf("%w: what is declared is compared with documents, and there are none", fleet.ErrInvalid)
	case ask.App.Kind == flux.HelmReleaseKind:
		return a.releaseDiff(ctx, ask, assigned)
	}
	if ask.What == fleet.AskDeclaredDiff {
		assigned.Release = assigned.Release.Under(ask.Terms)
	}
	c := deploy.Comparison{Target: deploy.Target{
		App: ask.App, Release: assigned.Release, Binding: assigned.Binding, ApprovedPrune: assigned.ApprovedPrune,
	}, Drift: ask.Drift}
	if len(ask.Documents) > 0 {
		m, blobs, err := unpack(ask.Documents, assigned.Release)
		if err != nil {
			return fleet.Diff{}, err
		}
		c.Release.Manifest = m.Digest()
		c.Manifest, c.Blob = m, of(blobs)
		diff, err := a.engine.Diff(ctx, c)
		diff.Release = fleet.Digest{}
		return diff, err
	}
	if c.Manifest, c.Blob, err = a.manifest(ctx, assigned); err != nil {
		return fleet.Diff{}, err
	}
	return a.engine.Diff(ctx, c)
}

// manifest returns an Assignment's Manifest and its content: from the cache, or from the hub where that lacks anything.
func (a *answers) manifest(ctx context.Context, assigned worker.Assigned) (*manifest.Manifest, func(fleet.Digest) ([]byte, error), error) {
	if m := a.cached(assigned.Release.Manifest); m != nil {
		return m, a.blobs.Blob, nil
	}
	m, blobs, err := a.fetch(ctx, assigned, nil)
	return m, of(blobs), err
}

func (a *answers) cached(digest fleet.Digest) *manifest.Manifest {
	encoded, err := a.blobs.Blob(digest)
	if err != nil {
		return nil
	}
	m, err := manifest.Decode(encoded)
	if err != nil {
		return nil
	}
	for _, entry := range m.Entries {
		if !a.blobs.Has(entry.Digest) {
			return nil
		}
	}
	return m
}

func of(blobs manifest.Blobs) func(fleet.Digest) ([]byte, error) {
	return func(digest fleet.Digest) ([]byte, error) {
		if content, has := blobs[digest]; has {
			return content, nil
		}
		return nil, fmt.Errorf("blob %s: %w", digest, fleet.ErrNotFound)
	}
}

// unpack makes a Manifest of documents that came with a question.
func unpack(packed []byte, release fleet.Release) (*manifest.Manifest, manifest.Blobs, error) {
	content, err := fleet.UnpackDocuments(packed)
	if err != nil {
		return nil, nil, err
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return manifest.New(documents, manifest.OptionsOf(release.ReleaseSpec))
		}
		if err != nil {
			return nil, nil, fmt.Errorf("documents: %w: %w", fleet.ErrInvalid, err)
		}
		documents = append(documents, document)
	}
}
