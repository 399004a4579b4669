package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// GitConfig is what a Git needs.
type GitConfig struct {
	// Dir is where mirrors are kept. It is this process's own, and may be lost.
	Dir string
	// Store gets the files of Trees.
	Store artifact.Store
	// Limits of what an upstream may be; zero fields are the defaults.
	Limits Limits
	// Addresses is the policy on where upstreams may be.
	Addresses Addresses
	// Log gets what was dropped, and mirrors that are rebuilt; nil is slog's default.
	Log *slog.Logger
	// Metrics registers the package's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Limits bound a repository.
type Limits struct {
	// Pack is the bytes of one transfer, Objects the objects in it, Object the size of each of them, history included.
	Pack    int64
	Objects int
	Object  int64
	// Tree is the bytes of the files of a Tree together, File of each of them, Entries their number.
	Tree    int64
	File    int64
	Entries int
	// Mirror is the bytes a mirror may have on disk before it is fetched anew.
	Mirror int64
}

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	return Limits{
		Pack: cmp.Or(l.Pack, 512<<20), Objects: cmp.Or(l.Objects, 2_000_000), Object: cmp.Or(l.Object, 128<<20),
		Tree: cmp.Or(l.Tree, 256<<20), File: cmp.Or(l.File, 32<<20), Entries: cmp.Or(l.Entries, artifact.MaxEntries),
		Mirror: cmp.Or(l.Mirror, 2<<30),
	}
}

// Git fetches Git repositories over HTTP(S).
type Git struct {
	config  GitConfig
	metrics *metrics

	mu        sync.Mutex
	upstreams map[string]*upstream // by name of the mirror
}

var _ Fetcher = (*Git)(nil)

// NewGit returns a Git that keeps its mirrors in the directory, which it makes.
func NewGit(config GitConfig) (*Git, error) {
	if config.Dir == "" || config.Store == nil {
		return nil, fmt.Errorf("git sources: %w: no directory or no store", fleet.ErrInvalid)
	}
	config.Limits = config.Limits.withDefaults()
	config.Log = cmp.Or(config.Log, slog.Default())
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("git sources: %w", err)
	}
	return &Git{config: config, metrics: newMetrics(config.Metrics), upstreams: map[string]*upstream{}}, nil
}

// Resolve implements Fetcher. It is one request, and none when a commit is asked for.
func (g *Git) Resolve(ctx context.Context, u Upstream) (_ fleet.Revision, err error) {
	defer func(begin time.Time) { g.metrics.done("resolve", err, time.Since(begin)) }(time.Now())
	if err := u.validate(); err != nil {
		return "", err
	}
	if u.Ref.Commit != "" {
		return u.Ref.revision(u.Ref.Commit), nil
	}
	state := g.upstream(mirrorName(u.ID))
	limited, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	list, err := g.list(limited, u, state)
	if err != nil {
		return "", u.explain(ctx, limited, err)
	}
	commit, want, err := list.find(u)
	if err != nil {
		return "", err
	}
	state.remember(list, commit, want)
	return u.Ref.revision(commit.String()), nil
}

// Fetch implements Fetcher. Calls for one upstream follow one another; all but the first find what they need.
func (g *Git) Fetch(ctx context.Context, u Upstream, revision fleet.Revision) (_ *artifact.Tree, err error) {
	defer func(begin time.Time) { g.metrics.done("fetch", err, time.Since(begin)) }(time.Now())
	if err := u.validate(); err != nil {
		return nil, err
	}
	text, err := commitOf(revision)
	if err != nil {
		return nil, err
	}
	commit := plumbing.NewHash(text)
	state, err := g.hold(ctx, mirrorName(u.ID))
	if err != nil {
		return nil, u.explain(ctx, ctx, err)
	}
	defer state.unlock()
	limited, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()

	tree, err := g.fetch(limited, u, state, commit)
	var damage *damageError
	if errors.As(err, &damage) {
		g.config.Log.Warn("mirror is damaged and is fetched anew", "url", redact(u.URL), "err", damage)
		g.metrics.rebuilt.Inc()
		if err := g.dropMirror(u.ID); err != nil {
			return nil, storeError(u, err)
		}
		state.forget()
		tree, err = g.fetch(limited, u, state, commit)
	}
	if errors.As(err, &damage) {
		return nil, u.fail(KindContent, "the repository is damaged: %s", damage)
	}
	if err != nil {
		return nil, u.explain(ctx, limited, err)
	}
	for i, warning := range tree.Warnings {
		if i == maxLoggedWarnings {
			break
		}
		g.config.Log.Warn("left out of a source", "url", redact(u.URL), "revision", revision, "what", warning)
	}
	return tree, nil
}

// maxLoggedWarnings bounds what one fetch logs.
const maxLoggedWarnings = 10

func (g *Git) fetch(ctx context.Context, u Upstream, state *upstream, commit plumbing.Hash) (*artifact.Tree, error) {
	mirror, err := g.openMirror(u.ID)
	if err != nil {
		return nil, err
	}
	defer mirror.close()
	if !mirror.has(commit) {
		if err := g.transfer(ctx, u, state, mirror, commit); err != nil {
			return nil, err
		}
	}
	w := walker{ctx: ctx, git: g, upstream: u, mirror: mirror, state: state}
	return w.tree(commit)
}

// storeError is a failure of the hub's own disk or blob store.
func storeError(u Upstream, err error) error {
	failure := u.fail(KindStore, "the hub could not keep what it fetched; it is tried again")
	failure.cause = err
	return failure
}

// upstream is what a Git remembers of an upstream while it runs.
type upstream struct {
	busy chan struct{} // held by the one that uses the mirror

	mu      sync.Mutex
	list    *listing
	client  *client
	trusted fleet.Digest // of the authorities the client was made for
	// wants maps a commit that was resolved to what the server calls it: a tag has a hash of its own.
	commit, want plumbing.Hash
	// blobs are the files of the last Tree: what they are in Git, and in the store.
	blobs map[plumbing.Hash]blob
}

// blob is a file's content in the store.
type blob struct {
	digest fleet.Digest
	size   int64
}

func (g *Git) upstream(name string) *upstream {
	g.mu.Lock()
	defer g.mu.Unlock()
	state := g.upstreams[name]
	if state == nil {
		state = &upstream{busy: make(chan struct{}, 1)}
		g.upstreams[name] = state
	}
	return state
}

// hold returns the upstream, and its mirror with it, to the caller alone, who unlocks it.
func (g *Git) hold(ctx context.Context, name string) (*upstream, error) {
	for {
		state := g.upstream(name)
		if err := state.lock(ctx); err != nil {
			return nil, err
		}
		if g.upstream(name) == state {
			return state, nil
		}
		state.unlock() // it was retired while this one waited
	}
}

func (s *upstream) lock(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *upstream) unlock() { <-s.busy }

func (s *upstream) remember(list *listing, commit, want plumbing.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.commit, s.want = list, commit, want
}

func (s *upstream) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs = nil
}

// Close lets idle connections go. A Git can be used on.
func (g *Git) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, state := range g.upstreams {
		state.mu.Lock()
		if state.client != nil {
			state.client.CloseIdleConnections()
		}
		state.mu.Unlock()
	}
}
