package git_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
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
	fetcher *git.Git
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
	b.fetcher = b.newGit(git.Config{Registry: b.metrics})
	return b
}

// in is the bundle for a subtest: the same repository, of which the subtest's own Git knows nothing yet. Subtests that push
// come one after another.
func (b *bundle) in(t *testing.T) *bundle {
	t.Helper()
	own := *b
	own.t, own.dir, own.store, own.metrics = t, t.TempDir(), &countingStore{}, newRegistry()
	own.fetcher = own.newGit(git.Config{Registry: own.metrics})
	return &own
}

func (b *bundle) newGit(config git.Config) *git.Git {
	b.t.Helper()
	if config.Dir == "" {
		config.Dir = b.dir
	}
	config.Store = b.store
	if config.Registry != nil {
		config.Metrics = source.NewMetrics(config.Registry)
	}
	if config.Network == nil {
		config.Network = source.NewNetwork(source.NetworkConfig{Metrics: cmp.Or(config.Metrics, source.NewMetrics(nil))})
	}
	config.Log = slog.New(slog.DiscardHandler)
	fetcher, err := git.New(config)
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

func (b *bundle) upstream(ref flux.GitReference) source.Upstream {
	spec := flux.GitRepository{URL: b.url, Interval: &flux.Duration{Duration: time.Minute}, Ref: &ref}
	return source.Upstream{ID: fmt.Sprint(ref), Remote: b.url, Kind: "GitRepository", URL: b.url, Spec: spec}
}

// follow has the upstream follow another ref.
func follow(u *source.Upstream, ref flux.GitReference) {
	change(u, func(spec *flux.GitRepository) { spec.Ref = &ref })
}

// change changes the upstream's spec.
func change(u *source.Upstream, to func(spec *flux.GitRepository)) {
	spec := u.Spec.(flux.GitRepository)
	to(&spec)
	u.Spec = spec
}

// named is the upstream with the URL in its spec, which a test may have changed.
func named(u source.Upstream) source.Upstream {
	if spec, isGit := u.Spec.(flux.GitRepository); isGit {
		spec.URL = u.URL
		u.Spec = spec
	}
	return u
}

// secret is a Secret of these keys and values, in turn, that spec.secretRef names.
func secret(pairs ...string) source.Secrets {
	data := map[string][]byte{}
	for i := 0; i < len(pairs); i += 2 {
		data[pairs[i]] = []byte(pairs[i+1])
	}
	return source.Secrets{"secretRef": data}
}

// network is one with a policy.
func network(addresses source.Addresses) *source.Network {
	return source.NewNetwork(source.NetworkConfig{Addresses: addresses, Metrics: source.NewMetrics(nil)})
}

// gitConfig is that of a Git of its own, with a policy.
func gitConfig(t *testing.T, addresses source.Addresses) git.Config {
	t.Helper()
	return git.Config{Dir: t.TempDir(), Network: network(addresses)}
}

// at is a Revision as it is found.
func at(revision string) source.Found { return source.Found{Revision: fleet.Revision(revision)} }

func (b *bundle) resolve(u source.Upstream) source.Found {
	b.t.Helper()
	found, err := b.fetcher.Resolve(b.t.Context(), named(u))
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// fetch returns the contents of what the upstream points to.
func (b *bundle) fetch(u source.Upstream) map[string]string {
	b.t.Helper()
	fetched, err := b.fetcher.Fetch(b.t.Context(), named(u), b.resolve(u))
	if err != nil {
		b.t.Fatal(err)
	}
	tree := fetched.Tree
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

func (s *countingStore) PutNodes(ctx context.Context, nodes []artifact.Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.PutNodes(ctx, nodes)
}

func (s *countingStore) Kept(ctx context.Context, nodes []artifact.Node) (map[fleet.Digest]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner.Kept(ctx, nodes)
}
