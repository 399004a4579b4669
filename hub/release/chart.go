package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/resource"
)

// Charts packages charts.
type Charts interface {
	// Package is the packaged chart that a Tree holds. What is wrong with it wraps fleet.ErrInvalid.
	Package(ctx context.Context, tree *artifact.Tree) (source.Chart, error)
}

// chartVersion is that of how charts and plans are made: whatever comes to change the bytes of one belongs to it.
const chartVersion = "1"

// makeChart makes the Manifest of a HelmRelease: of the chart that its Source has, and of what its spec says. Nothing is
// rendered: that depends on the cluster.
func (l *Loop) makeChart(ctx context.Context, app declaredApp, spec flux.HelmRelease, tree *artifact.Tree) (made, error) {
	chart, err := l.packages.of(ctx, app.source.state.Tree, tree)
	var lost *source.StoreFailure
	switch {
	case errors.As(err, &lost):
		return made{}, fmt.Errorf("%w: %w", errArtifact, err)
	case errors.Is(err, fleet.ErrInvalid):
		return made{}, app.ofChart(err)
	case err != nil:
		return made{}, err
	}
	of, err := app.artifact(chart)
	if err != nil {
		return made{}, app.ofChart(err)
	}
	plan, err := spec.Plan(app.object.Metadata.Annotations, of).Encode()
	if err != nil {
		return made{}, err
	}
	if len(plan) > manifest.MaxObjectSize {
		return made{}, fmt.Errorf("spec: %w: the values and what else is said of the release have %d bytes; %d are allowed", fleet.ErrInvalid, len(plan), manifest.MaxObjectSize)
	}
	m := made{}
	if m.manifest, m.blobs, err = manifest.NewChart(plan, chart.Archive); err != nil {
		return made{}, app.ofChart(err)
	}
	return m, nil
}

// ofChart is what is wrong with the chart that a HelmRelease is of.
func (a declaredApp) ofChart(err error) error {
	field, _ := a.spec.Refers()
	return &inputError{fleet.ReasonArtifactFailed, fmt.Errorf("%s: %s: %w", field, a.sourceRef().In(a.Key.Namespace), err)}
}

// artifact says of which chart the release is, as Flux does: to a Source's Revision that has a digest belongs a version of
// its own, so that a tag that was pushed again is upgraded to. What was pushed by a name has the digest of its files.
func (a declaredApp) artifact(chart source.Chart) (flux.HelmArtifact, error) {
	of := flux.HelmArtifact{Revision: chart.Version, Source: a.sourceRef().In(a.Key.Namespace)}
	revision := string(a.revision())
	if a.source.object.Kind == resource.ExternalArtifact.Name && !strings.Contains(revision, ":") {
		revision = a.source.state.Tree.String()
	}
	if a.source.object.Kind == resource.HelmChart.Name || !strings.Contains(revision, ":") {
		return of, nil
	}
	version, err := semver.NewVersion(chart.Version)
	if err != nil {
		return of, fmt.Errorf("%w: its version %q is not a semantic version", fleet.ErrInvalid, chart.Version)
	}
	of.OCIDigest = revision
	if tag, digest, tagged := strings.Cut(revision, "@"); tagged {
		tagVersion, err := semver.NewVersion(strings.ReplaceAll(tag, "_", "+"))
		if err == nil {
			of.OCIDigest = digest
			if !tagVersion.Equal(version) {
				return of, fmt.Errorf("%w: the revision %s is not of its version, %s: push a chart by the tag that its version is", fleet.ErrInvalid, revision, chart.Version)
			}
		}
	}
	_, sum, _ := strings.Cut(revision, ":")
	if len(sum) < digestMark {
		return of, fmt.Errorf("%w: the revision %q has no digest behind its colon", fleet.ErrInvalid, revision)
	}
	marked, err := version.SetMetadata(sum[:digestMark])
	if err != nil {
		return of, fmt.Errorf("%w: the revision %q has a digest that cannot be part of a version: %w", fleet.ErrInvalid, revision, err)
	}
	of.Revision = marked.String()
	return of, nil
}

// digestMark is how much of a digest is part of a version, as in Flux.
const digestMark = 12

// chartRecipe names all that a HelmRelease's Manifest follows from, but for the chart's files. Whatever the revision says
// goes into the plan.
func chartRecipe(app declaredApp, spec flux.HelmRelease) fleet.Digest {
	plan, err := spec.Plan(app.object.Metadata.Annotations, flux.HelmArtifact{Source: app.sourceRef().In(app.Key.Namespace)}).Encode()
	if err != nil {
		plan = []byte(err.Error()) // which the build tells
	}
	return named([]byte("chart"), []byte(app.Key.Namespace), []byte(chartVersion), plan, []byte(app.revision()))
}

// reasonSourceNotReady is Flux's of a HelmRelease whose Source has nothing of what it means now.
const reasonSourceNotReady = "SourceNotReady"

// tellsOfSource reports whether the App is not built from what its Source had before it was declared anew, and says why
// there is nothing else: a HelmRelease, as in Flux.
func (a declaredApp) tellsOfSource() bool {
	return a.Key.Kind == resource.HelmRelease.Name && a.source != nil && !a.source.pushed && !a.source.spec.suspend
}

// awaits reports whether the App's Source is yet to be asked for what it means now, or was not there yet when the Sources were
// read: a HelmRelease's own chart, which is stored with it.
func (a declaredApp) awaits() bool {
	if spec, is := a.spec.(flux.HelmRelease); is && spec.Chart != nil && a.source == nil && a.denied == nil {
		return true
	}
	if a.denied != nil || !a.tellsOfSource() || a.isOthersChart() {
		return false
	}
	return a.source.isOutdated() && a.source.state.Reason == "" || !a.isOwnChart()
}

// isOthersChart reports whether the HelmChart that stands for a HelmRelease which brings one is not made for it.
func (a declaredApp) isOthersChart() bool {
	spec, is := a.spec.(flux.HelmRelease)
	return is && spec.Chart != nil && a.source != nil && a.source.object.Owner != a.Key
}

// isOwnChart reports whether the HelmChart that was read is what the HelmRelease says, which was read after it; one that
// brings none has no say.
func (a declaredApp) isOwnChart() bool {
	spec, is := a.spec.(flux.HelmRelease)
	if !is || spec.Chart == nil {
		return true
	}
	chart, err := resource.Spec[flux.HelmChart](a.source.object)
	if err != nil {
		return false
	}
	declared, _, _ := spec.Declares(a.Key.Namespace, a.Key.Name)
	want, errWant := json.Marshal(declared)
	has, errHas := json.Marshal(chart)
	return errWant == nil && errHas == nil && string(want) == string(has)
}

// isOutdated reports whether nothing was fetched of what the Source is declared to be.
func (s *declaredSource) isOutdated() bool {
	return !s.bound || s.state.ObservedGeneration != s.object.Metadata.Generation || s.state.Latest.TreeBlob.IsZero()
}

// isInputAsked reports whether what a Source is made of is to serve the same request, and has not.
func (v *view) isInputAsked(s *declaredSource) bool {
	for _, ref := range s.spec.inputs {
		in := v.byKey[fleet.Key{Home: fleet.HubHome, Kind: ref.kind, Namespace: s.object.Metadata.Namespace, Name: ref.name}]
		if in != nil && !in.pushed && !in.spec.static && !in.spec.suspend && !in.state.Upstream.IsZero() &&
			in.requestedAt() == s.requestedAt() && in.state.HandledReconcileAt != s.requestedAt() {
			return true
		}
	}
	return false
}
