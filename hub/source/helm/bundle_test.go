package helm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/helm"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// bundle is a Helm with a store of its own.
type bundle struct {
	*testing.T
	*helm.Helm
	store    *artifact.Memory
	registry *registry
}

func newBundle(t *testing.T, change ...func(*helm.Config)) *bundle {
	t.Helper()
	b := &bundle{T: t, store: &artifact.Memory{}, registry: &registry{tags: map[string][]byte{}}}
	metrics := source.NewMetrics(nil)
	config := helm.Config{Dir: t.TempDir(), Store: b.store, Network: source.NewNetwork(source.NetworkConfig{Metrics: metrics}), Registry: b.registry, Metrics: metrics}
	b.registry.store = b.store
	for _, c := range change {
		c(&config)
	}
	var err error
	if b.Helm, err = helm.New(config); err != nil {
		t.Fatal(err)
	}
	return b
}

// files is a chart, or whatever a directory has, by path.
type files map[string]string

func chartYAML(name, version string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version)
}

// with is the files and more.
func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

// in is the files in a directory.
func (f files) in(dir string) files {
	all := files{}
	for name, text := range f {
		all[path.Join(dir, name)] = text
	}
	return all
}

func podinfo(version string) files {
	return files{"Chart.yaml": chartYAML("podinfo", version), "values.yaml": "replicas: 1\nimage: {tag: a}\n", "templates/cm.yaml": "kind: ConfigMap\n", "prod.yaml": "replicas: 3\n"}
}

// packed is the chart in an archive, below a directory.
func packed(dir string, f files) []byte { return lab.TarGzip(f.in(dir)) }

// unpack is what is in a packaged chart, by path in the chart's directory.
func unpack(t *testing.T, data []byte) files {
	t.Helper()
	all := files{}
	_, err := artifact.Extract(t.Context(), bytes.NewReader(data), artifact.ExtractLimits{}, func(file artifact.Extracted) error {
		var text bytes.Buffer
		_, err := text.ReadFrom(file.Content)
		all[file.Path] = text.String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func repository(spec flux.HelmRepository, secrets source.Secrets) source.Upstream {
	return source.Upstream{
		ID: "id " + spec.URL, Remote: "remote " + spec.URL, Kind: "HelmRepository", URL: source.Redact(spec.URL), Spec: spec, Secrets: secrets, Timeout: 20 * time.Second,
	}
}

// fetched resolves and fetches.
func fetched(ctx context.Context, f source.Fetcher, u source.Upstream) (source.Found, *source.Artifact, error) {
	found, err := f.Resolve(ctx, u)
	if err != nil {
		return found, nil, err
	}
	got, err := f.Fetch(ctx, u, found)
	return found, got, err
}

// index is the repository as an input, fetched.
func (b *bundle) index(u source.Upstream) source.Input {
	b.Helper()
	found, got, err := fetched(b.Context(), b.Repositories(), u)
	if err != nil {
		b.Fatal(err)
	}
	return b.input(u, found.Revision, got.Tree)
}

func (b *bundle) input(u source.Upstream, revision fleet.Revision, tree *artifact.Tree) source.Input {
	b.Helper()
	nodes := tree.Nodes()
	if err := b.store.PutNodes(b.Context(), nodes); err != nil {
		b.Fatal(err)
	}
	return source.Input{Field: "sourceRef", Name: "input", Upstream: u, Revision: revision, Tree: tree.Digest(), TreeBlob: nodes[len(nodes)-1].Digest}
}

// git is a GitRepository with the files, as an input.
func (b *bundle) git(f files) source.Input {
	b.Helper()
	var all []artifact.File
	for name, text := range f {
		digest := fleet.DigestOf([]byte(text))
		if err := b.store.Put(b.Context(), map[fleet.Digest][]byte{digest: []byte(text)}); err != nil {
			b.Fatal(err)
		}
		all = append(all, artifact.File{Path: name, Digest: digest, Size: int64(len(text))})
	}
	tree, err := artifact.NewTree(all)
	if err != nil {
		b.Fatal(err)
	}
	u := source.Upstream{Kind: "GitRepository", URL: "https://git.example.com/app.git"}
	return b.input(u, "main@sha1:6f1c9b2a7d3e4f50617283940a1b2c3d4e5f6071", tree)
}

// of is the HelmChart of an input.
func of(input source.Input, spec flux.HelmChart) source.Upstream {
	spec.SourceRef = flux.LocalSourceRef{Kind: input.Kind, Name: input.Name}
	return source.Upstream{ID: "chart", Remote: "chart", Kind: "HelmChart", URL: input.URL, Spec: spec, Inputs: []source.Input{input}, Secrets: source.Secrets{}}
}

// chart is what comes of a HelmChart: the name of its file and the bytes.
func (b *bundle) chart(u source.Upstream) (source.Found, *source.Artifact, []byte) {
	b.Helper()
	found, got, err := fetched(b.Context(), b.Charts(), u)
	if err != nil {
		b.Fatal(err)
	}
	if len(got.Tree.Files) != 1 {
		b.Fatalf("%d files", len(got.Tree.Files))
	}
	return found, got, b.content(got)
}

func (b *bundle) content(got *source.Artifact) []byte {
	b.Helper()
	data, err := b.store.Get(b.Context(), got.Tree.Files[0].Digest)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// fails wants the error to be of the kind and to say all of it.
func fails(t *testing.T, name string, err error, kind source.Kind, says ...string) {
	t.Helper()
	if err == nil || source.KindOf(err) != kind {
		t.Errorf("%s: %v (%s), want %s", name, err, source.KindOf(err), kind)
		return
	}
	for _, want := range says {
		var failure *source.Error
		if kind == source.KindAuth && strings.HasPrefix(want, "spec.") && strings.Contains(want, ": ") && (!errors.As(err, &failure) || failure.Reason != "AuthenticationFailed") {
			t.Errorf("%s: %v has not the reason of Secrets that will not do", name, err)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q does not say %q", name, err, want)
		}
	}
	for _, secret := range []string{"hunter2", lab.SecretOfServer} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q shows what it must not", name, err)
		}
	}
}
