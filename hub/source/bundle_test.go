package source_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// bundle is a repository on a server of its own, and a Git that fetches from it.
type bundle struct {
	t       *testing.T
	lab     *lab.GitServer
	repo    *lab.Repo
	url     string
	dir     string
	store   *countingStore
	fetcher *source.Git
	metrics *registry
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, lab: lab.TestGit(t), dir: t.TempDir(), store: &countingStore{}, metrics: newRegistry()}
	var err error
	if b.url, err = b.lab.NewRepo("repo"); err != nil {
		t.Fatal(err)
	}
	if b.repo, err = b.lab.Clone(t.Context(), "repo", filepath.Join(t.TempDir(), "work")); err != nil {
		t.Fatal(err)
	}
	b.fetcher = b.newGit(source.GitConfig{Metrics: b.metrics})
	return b
}

func (b *bundle) newGit(config source.GitConfig) *source.Git {
	b.t.Helper()
	if config.Dir == "" {
		config.Dir = b.dir
	}
	config.Store = b.store
	config.Log = slog.New(slog.DiscardHandler)
	fetcher, err := source.NewGit(config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(fetcher.Close)
	return fetcher
}

func (b *bundle) push(files map[string]string) (commit string) {
	b.t.Helper()
	for path, content := range files {
		if err := b.repo.Write(path, content); err != nil {
			b.t.Fatal(err)
		}
	}
	commit, err := b.repo.Commit(b.t.Context(), "change")
	if err == nil {
		err = b.repo.Push(b.t.Context())
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return commit
}

func (b *bundle) git(args ...string) {
	b.t.Helper()
	if _, err := b.repo.Git(b.t.Context(), args...); err != nil {
		b.t.Fatal(err)
	}
}

// server runs Git in the server's repository.
func (b *bundle) server(args ...string) {
	b.t.Helper()
	bare := lab.Repo{Dir: b.lab.Path("repo")}
	if _, err := bare.Git(b.t.Context(), args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) upstream(ref source.Ref) source.Upstream {
	return source.Upstream{ID: ref.String(), URL: b.url, Ref: ref}
}

func (b *bundle) resolve(u source.Upstream) fleet.Revision {
	b.t.Helper()
	revision, err := b.fetcher.Resolve(b.t.Context(), u)
	if err != nil {
		b.t.Fatal(err)
	}
	return revision
}

// fetch returns the contents of what the upstream points to.
func (b *bundle) fetch(u source.Upstream) map[string]string {
	b.t.Helper()
	tree, err := b.fetcher.Fetch(b.t.Context(), u, b.resolve(u))
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]string{}
	for _, file := range tree.Files {
		data, err := b.store.Get(b.t.Context(), file.Digest)
		if err != nil || int64(len(data)) != file.Size {
			b.t.Fatalf("%s: %d bytes, %v; want %d", file.Path, len(data), err, file.Size)
		}
		out[file.Path] = string(data)
		if (file.Mode == artifact.Executable) != strings.HasPrefix(file.Path, "exec") {
			b.t.Errorf("%s has mode %d", file.Path, file.Mode)
		}
	}
	if !slices.IsSortedFunc(tree.Files, func(x, y artifact.File) int { return strings.Compare(x.Path, y.Path) }) {
		b.t.Error("the files are not sorted")
	}
	return out
}

func (b *bundle) counter(name string) float64 {
	b.t.Helper()
	return b.metrics.sum(b.t, name)
}

// countingStore is a store that counts the blobs put, and can lose them.
type countingStore struct {
	mu    sync.Mutex
	inner artifact.Memory
	count int
	fail  error
}

func (s *countingStore) Put(ctx context.Context, blobs map[fleet.Digest][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += len(blobs)
	if s.fail != nil {
		return s.fail
	}
	return s.inner.Put(ctx, blobs)
}

func (s *countingStore) Missing(ctx context.Context, digests []fleet.Digest) ([]fleet.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.Missing(ctx, digests)
}

func (s *countingStore) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.Get(ctx, digest)
}

func (s *countingStore) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *countingStore) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner = artifact.Memory{}
}

// registry reads metrics back.
type registry struct{ *prometheus.Registry }

func newRegistry() *registry { return &registry{prometheus.NewRegistry()} }

func (r *registry) sum(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, metric := range family.GetMetric() {
				sum += metric.GetCounter().GetValue()
			}
		}
	}
	return sum
}
