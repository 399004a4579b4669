package git

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Config is what a Git needs.
type Config struct {
	// Dir is where mirrors are kept. It is this process's own, and may be lost.
	Dir string
	// Store gets the files of Trees.
	Store artifact.Keeper
	// Network is how upstreams are reached.
	Network *source.Network
	// Metrics of all kinds; nil is metrics that nobody sees.
	Metrics *source.Metrics
	// Registry registers the package's own metrics; nil registers none.
	Registry prometheus.Registerer
	// Limits of what an upstream may be; zero fields are the defaults.
	Limits Limits
	// Azure is the hub's identity there, which is used only for an Upstream with Identity; nil is what its environment says.
	Azure azcore.TokenCredential
	// Log gets what was dropped, and mirrors that are rebuilt; nil is slog's default.
	Log *slog.Logger
}

// Limits bound a repository.
type Limits struct {
	source.Limits
	// Objects is how many a transfer may have, Object the size of each of them, history included.
	Objects int
	Object  int64
	// Inflated is the bytes of all objects of a transfer together, unpacked: a pack may be a thousandth of that.
	Inflated int64
	// Mirror is the bytes a mirror may have on disk before it is fetched anew.
	Mirror int64
	// Mirrors is the bytes of all mirrors together before those go that were not used for longest.
	Mirrors int64
}

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	return Limits{
		Limits: l.WithDefaults(), Objects: cmp.Or(l.Objects, 2_000_000), Object: cmp.Or(l.Object, 128<<20),
		Inflated: cmp.Or(l.Inflated, 32<<30), Mirror: cmp.Or(l.Mirror, 2<<30), Mirrors: cmp.Or(l.Mirrors, 32<<30),
	}
}

// Git fetches Git repositories over HTTP(S) and SSH.
type Git struct {
	config  Config
	rebuilt prometheus.Counter

	mu        sync.Mutex
	upstreams map[string]*upstream // by name of the mirror
	roots     roots
	lists     lists
	mirrors   map[string]stored // by name
}

var _ source.Fetcher = (*Git)(nil)

// New returns a Git that keeps its mirrors in the directory, which it makes.
func New(config Config) (*Git, error) {
	if config.Dir == "" || config.Store == nil || config.Network == nil {
		return nil, fmt.Errorf("git sources: %w: no directory, no store or no network", fleet.ErrInvalid)
	}
	config.Limits = config.Limits.withDefaults()
	config.Log = cmp.Or(config.Log, slog.Default())
	if config.Metrics == nil {
		config.Metrics = source.NewMetrics(nil)
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("git sources: %w", err)
	}
	g := &Git{config: config, upstreams: map[string]*upstream{}, mirrors: map[string]stored{}, roots: roots{limit: maxHeld}, lists: lists{limit: maxListed}, rebuilt: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "flotilla_source_mirrors_rebuilt_total", Help: "Mirrors that were damaged and fetched anew.",
	})}
	if config.Registry != nil {
		config.Registry.MustRegister(g.rebuilt)
	}
	return g, nil
}

// Resolve implements source.Fetcher. It is one request, none when a commit is asked for, and none when another Upstream
// of the Remote has listed it since u.AsOf.
func (g *Git) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	if err := check(u); err != nil {
		return source.Found{}, err
	}
	included, err := inputs(u)
	if err != nil {
		return source.Found{}, err
	}
	if commit := refOf(u).Commit; commit != "" {
		return source.Found{Revision: refOf(u).revision("", commit), Inputs: included}, nil
	}
	state := g.upstream(stateName(u))
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()
	list, err := g.listSince(limited, u, state)
	if err != nil {
		return source.Found{}, g.explain(ctx, limited, u, err)
	}
	names, err := list.find(u)
	if err != nil {
		return source.Found{}, err
	}
	name, err := g.youngest(limited, u, list, names)
	if err != nil {
		return source.Found{}, g.explain(ctx, limited, u, err)
	}
	return source.Found{Revision: refOf(u).revision(name, list.commit(name).String()), Inputs: included}, nil
}

// youngest is the one of several tags of the same version whose commit is the youngest, as in Flux. If they are of
// more than one commit, those are fetched to tell.
func (g *Git) youngest(ctx context.Context, u source.Upstream, list *listing, names []string) (string, error) {
	best := names[0]
	if !slices.ContainsFunc(names, func(name string) bool { return list.commit(name) != list.commit(best) }) {
		return best, nil
	}
	state, err := g.hold(ctx, stateName(u))
	if err != nil {
		return "", err
	}
	defer state.unlock()
	mirror, err := g.openMirror(stateName(u))
	if err != nil {
		return "", err
	}
	defer mirror.close()
	var latest time.Time
	for _, name := range names {
		commit := list.commit(name)
		if !mirror.has(commit) {
			if err := g.fetchCommit(ctx, u, state, mirror, commit); err != nil {
				return "", err
			}
		}
		found, err := object.GetCommit(mirror.storage, commit)
		if err != nil {
			return "", &damageError{fmt.Errorf("commit %s: %w", commit, err)}
		}
		if when := found.Committer.When; latest.IsZero() || when.After(latest) {
			best, latest = name, when
		}
	}
	return best, nil
}

// listSince returns a list of refs that is no older than u.AsOf. Who comes while it is being asked for waits for it.
func (g *Git) listSince(ctx context.Context, u source.Upstream, state *upstream) (*listing, error) {
	select {
	case state.listing <- struct{}{}:
		defer func() { <-state.listing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	state.mu.Lock()
	list := state.list
	state.mu.Unlock()
	if list != nil && !u.AsOf.IsZero() && !list.begun.Before(u.AsOf) {
		g.keepList(state, list)
		return list, nil
	}
	begun := time.Now()
	list, err := g.list(ctx, u, state)
	if err != nil {
		return nil, err
	}
	list.begun = begun
	g.keepList(state, list)
	return list, nil
}

// keepList remembers a list of refs, as long as there is room for it.
func (g *Git) keepList(state *upstream, list *listing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	state.mu.Lock()
	state.list = list
	state.mu.Unlock()
	g.lists.use(state)
}

// Fetch implements source.Fetcher. Calls for one Remote follow one another; all but the first find what they need.
func (g *Git) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	if err := check(u); err != nil {
		return nil, err
	}
	text, err := commitOf(found.Revision)
	if err != nil {
		return nil, err
	}
	commit := plumbing.NewHash(text)
	state, err := g.hold(ctx, stateName(u))
	if err != nil {
		return nil, g.explain(ctx, ctx, u, err)
	}
	defer state.unlock()
	limited, cancel := context.WithTimeout(ctx, u.TimeLimit())
	defer cancel()

	got, err := g.fetch(limited, u, state, found.Revision, commit)
	var damage *damageError
	if errors.As(err, &damage) {
		g.config.Log.Warn("mirror is damaged and is fetched anew", "url", source.Redact(u.URL), "err", damage)
		g.rebuilt.Inc()
		if err := g.forget(stateName(u)); err != nil {
			return nil, g.explain(ctx, limited, u, &source.StoreFailure{Err: err})
		}
		got, err = g.fetch(limited, u, state, found.Revision, commit)
	}
	if errors.As(err, &damage) {
		return nil, u.Fail(source.KindContent, "the repository is damaged: %s", damage)
	}
	if err != nil {
		return nil, g.explain(ctx, limited, u, err)
	}
	for i, warning := range got.Tree.Warnings {
		if i == maxLoggedWarnings {
			break
		}
		g.config.Log.Warn("left out of a source", "url", source.Redact(u.URL), "revision", found.Revision, "what", warning)
	}
	return got, nil
}

// maxLoggedWarnings bounds what one fetch logs.
const maxLoggedWarnings = 10

func (g *Git) fetch(ctx context.Context, u source.Upstream, state *upstream, revision fleet.Revision, commit plumbing.Hash) (*source.Artifact, error) {
	name := stateName(u)
	mirror, err := g.openMirror(name)
	if err != nil {
		return nil, err
	}
	defer mirror.close()
	if !mirror.has(commit) {
		if err := g.fetchCommit(ctx, u, state, mirror, commit); err != nil {
			return nil, err
		}
	}
	message, mode, err := g.verified(ctx, u, state, mirror, revision, commit)
	if err != nil {
		return nil, err
	}
	old := g.root(name, u)
	got, root, err := g.make(ctx, u, mirror, commit, old)
	if errors.Is(err, errLost) {
		got, root, err = g.make(ctx, u, mirror, commit, nil)
	}
	if errors.Is(err, errLost) {
		return nil, &source.StoreFailure{Err: err}
	}
	if err != nil {
		return nil, err
	}
	got.Detail.Verified, got.Detail.VerifiedMode = message, mode
	g.keepRoot(name, u, root)
	return got, nil
}

// make makes the artifact of a commit that the mirror has.
func (g *Git) make(ctx context.Context, u source.Upstream, m *mirror, commit plumbing.Hash, old *dir) (*source.Artifact, *dir, error) {
	w := walker{ctx: ctx, git: g, upstream: u, mirrors: map[string]*mirror{"": m}, held: map[string]heldModule{}}
	defer w.close()
	tree, root, err := w.tree(m, commit, old)
	if err != nil {
		return nil, nil, err
	}
	w.detail.Size = tree.Size()
	if w.detail.Observed, err = observed(u); err != nil {
		return nil, nil, err
	}
	return &source.Artifact{Tree: tree, Detail: w.detail}, root, nil
}

// observed is what Flux repeats in a GitRepository's status of the spec that the artifact was made by.
func observed(u source.Upstream) (json.RawMessage, error) {
	spec := specOf(u)
	if spec.Ignore == nil && !spec.RecurseSubmodules && len(spec.Include) == 0 && len(spec.SparseCheckout) == 0 {
		return nil, nil
	}
	return json.Marshal(struct {
		Ignore            *string           `json:"observedIgnore,omitempty"`
		RecurseSubmodules bool              `json:"observedRecurseSubmodules,omitempty"`
		Include           []flux.GitInclude `json:"observedInclude,omitempty"`
		SparseCheckout    []string          `json:"observedSparseCheckout,omitempty"`
	}{spec.Ignore, spec.RecurseSubmodules, spec.Include, spec.SparseCheckout})
}

// root is what an earlier walk knows of a Tree that is much like the upstream's.
func (g *Git) root(name string, u source.Upstream) *dir {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.roots.get(name, u.ID, shapeOf(u))
}

func (g *Git) keepRoot(name string, u source.Upstream, root *dir) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roots.put(heldRoot{name, u.ID, shapeOf(u), root})
}

// forget drops a mirror and what was made of it, and those of its submodules.
func (g *Git) forget(name string) error {
	g.mu.Lock()
	g.roots.forget(name)
	g.mu.Unlock()
	return g.removeMirror(name)
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
