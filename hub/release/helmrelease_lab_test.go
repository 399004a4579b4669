package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/manifest"
)

// helmRelease declares one of the namespace apps.
func helmRelease(name, spec string) string {
	return `{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{"interval":"10m",` + spec + `}}`
}

// ofRepository is the spec of a HelmRelease that brings its chart with it.
func ofRepository(version string) string {
	return `"chart":{"metadata":{"labels":{"team":"web"}},"spec":{"chart":"app","version":"` + version + `","sourceRef":{"kind":"HelmRepository","name":"charts"}}}`
}

// chartServer serves a repository of one chart, and counts how often that is fetched.
func chartServer(t *testing.T, version string) (url string, fetches *atomic.Int32) {
	t.Helper()
	fetches = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index.yaml" {
			_, _ = fmt.Fprintf(w, "apiVersion: v1\nentries:\n  app:\n  - name: app\n    version: %s\n    urls: [app.tgz]\n", version)
			return
		}
		fetches.Add(1)
		_, _ = w.Write(packagedChart(version))
	}))
	t.Cleanup(server.Close)
	return server.URL, fetches
}

// packed counts how often a chart is packaged.
type packed struct {
	release.Charts
	n atomic.Int32
}

func (p *packed) Package(ctx context.Context, tree *artifact.Tree) (source.Chart, error) {
	p.n.Add(1)
	return p.Charts.Package(ctx, tree)
}

// withHelmCounted is withHelm, and counts how often a chart is packaged.
func withHelmCounted(t *testing.T) (change func(*release.Config), packages *atomic.Int32) {
	t.Helper()
	counted := &packed{}
	return func(config *release.Config) {
		withHelm(t)(config)
		counted.Charts, config.Charts = config.Charts, counted
	}, &counted.n
}

func helmKey(name string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "HelmRelease", Namespace: "apps", Name: name}
}

// eventuallyReleased waits until a HelmRelease is built from a revision, and returns that build.
func (b *bundle) eventuallyReleased(name, revision string) (state fleet.AppState, m *manifest.Manifest, plan flux.HelmPlan, archive []byte) {
	b.t.Helper()
	state = b.eventuallyKey(helmKey(name), func(s fleet.AppState) error {
		if !strings.HasPrefix(string(s.Revision), revision) || s.Release.IsZero() || s.Reason != "" {
			return fmt.Errorf("at %+v, not at %s", s, revision)
		}
		return nil
	})
	return b.released(state)
}

func (b *bundle) released(state fleet.AppState) (_ fleet.AppState, m *manifest.Manifest, plan flux.HelmPlan, archive []byte) {
	b.t.Helper()
	m = b.manifest(state.Release)
	planned, pieces := m.Chart()
	var err error
	if plan, err = flux.DecodeHelmPlan(b.blob(planned)); err != nil {
		b.t.Fatal(err)
	}
	for _, piece := range pieces {
		archive = append(archive, b.blob(piece)...)
	}
	return state, m, plan, archive
}

func (b *bundle) blob(digest fleet.Digest) []byte {
	b.t.Helper()
	data, err := b.Blobs().Get(b.t.Context(), digest)
	if err != nil {
		b.t.Fatal(err)
	}
	return data
}

// chartFile is the Chart.yaml of a package.
func chartFile(t *testing.T, archive []byte) string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(zip)
	for {
		header, err := files.Next()
		if err != nil {
			t.Fatalf("no Chart.yaml: %v", err)
		}
		if strings.HasSuffix(header.Name, "/Chart.yaml") {
			data, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
	}
}

// noise is what hardly gets smaller when it is packed.
func noise(size int) string {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data) // it has no error
	return string(data)
}

// placement places a HelmRelease in all clusters.
func placement(app, overrides string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"` + app + `","namespace":"apps"},"spec":{"apps":[{"kind":"HelmRelease","name":"` + app +
		`"}],"clusters":{"selector":{}},"overrides":[` + overrides + `]}}`
}

// assigned rolls a HelmRelease on, and returns what its one cluster is assigned.
func (b *bundle) assigned(app string) fleet.Assignment {
	b.t.Helper()
	if _, err := b.Roll(b.t.Context(), helmKey(app), rollout.Next); err != nil {
		b.t.Fatal(err)
	}
	found, _, err := b.Instances(b.t.Context(), fleet.InstanceQuery{Kind: "HelmRelease", Name: app})
	if err != nil || len(found) != 1 {
		b.t.Fatalf("%d clusters have it, error %v", len(found), err)
	}
	return found[0].Assignment
}
