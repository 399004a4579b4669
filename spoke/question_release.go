package spoke

import (
	"context"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm"
	"flotilla.dev/flotilla/spoke/worker"
)

// comparison is a release as it is assigned.
func (a *answers) comparison(ctx context.Context, app fleet.Key, assigned worker.Assigned) (helm.Comparison, error) {
	m, blob, err := a.manifest(ctx, assigned)
	return helm.Comparison{Target: helm.Target{
		App: app, Release: assigned.Release, Manifest: m, Binding: assigned.Binding, Controls: assigned.Controls,
	}, Blob: blob}, err
}

func (a *answers) releaseDiff(ctx context.Context, ask fleet.Ask, assigned worker.Assigned) (fleet.Diff, error) {
	switch {
	case len(ask.Documents) > 0:
		return fleet.Diff{}, fmt.Errorf("%w: a HelmRelease is rendered in its cluster: there are no documents to compare it with", fleet.ErrInvalid)
	case ask.Drift:
		return fleet.Diff{}, fmt.Errorf("%w: a diff of a HelmRelease is of what Helm has applied; what has drifted from that its condition Drifted tells", fleet.ErrInvalid)
	}
	c, err := a.comparison(ctx, ask.App, assigned)
	if err != nil {
		return fleet.Diff{}, err
	}
	return a.releases.Diff(ctx, c)
}

func (a *answers) values(ctx context.Context, app fleet.Key) (fleet.HelmValues, error) {
	assigned, err := a.active(app)
	if err != nil {
		return fleet.HelmValues{}, err
	}
	c, err := a.comparison(ctx, app, assigned)
	if err != nil {
		return fleet.HelmValues{}, err
	}
	values, err := a.releases.Values(ctx, c)
	if err != nil {
		return values, err
	}
	mark, err := a.mark(ctx)
	values.Cluster = &mark
	return values, err
}

// history is that of a release that is here, or is to go.
func (a *answers) history(ctx context.Context, app fleet.Key) (fleet.HelmHistory, error) {
	assigned, known := a.assigned(app)
	if !known {
		return fleet.HelmHistory{}, fmt.Errorf("%s: %w: it is not assigned to this cluster", app.Words(), fleet.ErrNotFound)
	}
	var plan flux.HelmPlan
	if assigned.State != fleet.Removed && assigned.Err == nil {
		if m := a.cached(assigned.Release.Manifest); m != nil {
			if digest, _ := m.Chart(); !digest.IsZero() {
				encoded, err := a.blobs.Blob(digest)
				if err != nil {
					return fleet.HelmHistory{}, err
				}
				if plan, err = flux.DecodeHelmPlan(encoded); err != nil {
					return fleet.HelmHistory{}, err
				}
			}
		}
	}
	return a.releases.History(ctx, app, plan)
}

// tree is that of an App's objects. Those of a release are what Helm has applied.
func (a *answers) tree(ctx context.Context, app fleet.Key) (fleet.Tree, error) {
	if app.Kind != flux.HelmReleaseKind {
		return a.engine.Tree(ctx, app)
	}
	refs, err := a.releases.Objects(ctx, app)
	if err != nil {
		return fleet.Tree{}, err
	}
	return a.engine.TreeOf(ctx, refs)
}

// trace finds where an object comes from. A release's objects have its name in their labels.
func (a *answers) trace(ctx context.Context, ask fleet.Ask) (fleet.Trace, error) {
	trace, err := a.engine.Trace(ctx, ask.Word, ask.Namespace, ask.Name)
	if err != nil || !trace.App.IsZero() || trace.Declared {
		return trace, err
	}
	kind, name, _ := strings.Cut(trace.Owner, "/")
	namespace, name, _ := strings.Cut(name, "/")
	app := fleet.Key{Home: fleet.HubHome, Kind: kind, Namespace: namespace, Name: name}
	if kind == flux.HelmReleaseKind && a.releases.Has(app) {
		trace.App, trace.Owner = app, ""
	}
	return trace, nil
}
