package release

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build/cache"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
)

// Store is what the loop needs of the store.
type Store interface {
	Objects(ctx context.Context, q resource.Query) ([]*resource.Object, fleet.Horizon, error)
	SecretData(ctx context.Context, namespace, name string) (map[string][]byte, error)

	Sources(ctx context.Context) (map[fleet.Key]fleet.SourceState, error)
	BindSource(ctx context.Context, meant fleet.Meant) error
	ClaimUpstreams(ctx context.Context, limit int, busy []fleet.Digest) ([]fleet.UpstreamState, error)
	KeepClaims(ctx context.Context, remotes []fleet.Digest) error
	MakeDue(ctx context.Context, upstream fleet.Digest) error
	Postpone(ctx context.Context, upstream fleet.Digest, pause time.Duration) error
	ForgetTree(ctx context.Context, treeBlob fleet.Digest) error
	SaveChecked(ctx context.Context, checked []fleet.Checked) error
	SaveLook(ctx context.Context, upstream fleet.Digest, look fleet.Looked, next time.Duration) error
	SourceHandled(ctx context.Context, kind, namespace, name, requestedAt string) error

	AppStates(ctx context.Context) (map[fleet.Key]fleet.AppState, error)
	ClaimBuild(ctx context.Context, key fleet.Digest, app fleet.Key, seen uint64) (claimed bool, err error)
	EndBuild(ctx context.Context, key fleet.Digest) error
	BuildInputs(ctx context.Context, recipes map[fleet.Key]fleet.Digest) ([]fleet.BuildInputs, error)
	EarlierInputs(ctx context.Context, app fleet.Key, recipe fleet.Digest) ([][]byte, error)
	BuiltManifests(ctx context.Context, keys []fleet.Digest) (map[fleet.Digest]fleet.Digest, error)
	SaveBuild(ctx context.Context, key, manifest fleet.Digest, inputs fleet.BuildInputs) error
	Distrust(ctx context.Context, namespace, builder string, shape fleet.Digest) error
	Distrusted(ctx context.Context, namespace, builder string) ([]fleet.Digest, error)
	ReleasedAll(ctx context.Context, built []fleet.Built) (isNew map[fleet.Key]bool, err error)
	Released(ctx context.Context, generation int64, revision fleet.Revision, release fleet.Release) (isNew bool, err error)
	NotReleased(ctx context.Context, app fleet.Key, failure fleet.BuildFailure) error
	AddEvents(ctx context.Context, events []fleet.FleetEvent) error
}

// Blobs is the blob store.
type Blobs interface {
	artifact.Keeper
	// GetAll returns several blobs. Is one of them not stored, it is fleet.ErrNotFound.
	GetAll(ctx context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error)
	// PutWhole stores the encoding of a Manifest, with which its parts are kept.
	PutWhole(ctx context.Context, whole []byte, parts []fleet.Digest) error
}

// Builder builds in limited child processes.
type Builder interface {
	Build(ctx context.Context, job render.Job) (render.Result, error)
	// Distrust has kustomize itself build a tenant's trees of these shapes.
	Distrust(tenant string, shapes ...fleet.Digest)
}

// Config is what a Loop needs.
type Config struct {
	Store   Store
	Blobs   Blobs
	Fetcher source.Fetcher
	Builder Builder
	Charts  Charts
	// Name names what holds a credential without giving it away.
	Name func(data []byte) fleet.Digest
	// CrossNamespaceRefs lets Apps be built from Sources of other namespaces.
	CrossNamespaceRefs bool
	// Wake says that there may be something to do.
	Wake    run.Wake
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Period between looks without a wake-up; default 1 s, since that is how Sources become due.
	Period time.Duration
	// Parallel is how many Apps are built at a time; default 8. For namespaces of which none is there are as many more: one
	// whose builds are long holds up no other.
	Parallel int
	// Conversations is how many remotes are asked at a time; default 128, and as many more in the same way. Those of which
	// no upstream was looked at well last have an eighth of that to themselves. Fetches is how many bring something; default 8.
	Conversations int
	Fetches       int
	// Renew is how often claims are renewed of what conversations that last are about; default 3 min.
	Renew time.Duration
}

// Loop makes Releases.
type Loop struct {
	Config
	metrics *metrics

	// turns bound the goroutines, shared out among namespaces, and busy names what they are at, so that nothing is begun
	// twice.
	turns *run.Turns
	// talks are the turns of conversations with remotes, and suspects those with remotes that failed last.
	talks, suspects *run.Turns
	fetches         *run.Turns
	group           sync.WaitGroup
	mu              sync.Mutex
	busy            map[any]bool
	trees           *trees
	packages        *packages
	// objects are what printed documents came to.
	objects *cache.Cache[fleet.Digest, manifest.Object]
	// troubles of the hub with Apps.
	troubles map[fleet.Key]*trouble
	// differed are shapes by namespace that are to be distrusted, and not stored yet.
	differed map[string][]fleet.Digest
	// secrets by "namespace/name", as last read.
	secrets map[string]readSecret
	// renewed is when claims were; only look uses it.
	renewed time.Time
	// asked are reconcile requests by Source that were seen and not served yet; only look uses it.
	asked map[string]asked
}

// New returns a Loop.
func New(config Config) *Loop {
	config.Period = cmp.Or(config.Period, time.Second)
	config.Parallel = cmp.Or(config.Parallel, 8)
	config.Renew = cmp.Or(config.Renew, 3*time.Minute)
	config.Conversations, config.Fetches = cmp.Or(config.Conversations, 128), cmp.Or(config.Fetches, 8)
	suspects := max(config.Conversations/8, 1)
	return &Loop{Config: config, metrics: newMetrics(config.Metrics), turns: run.NewTurns(config.Parallel, config.Parallel),
		talks: run.NewTurns(config.Conversations, config.Conversations), suspects: run.NewTurns(suspects, suspects), fetches: run.NewTurns(config.Fetches, config.Fetches), busy: map[any]bool{},
		trees: &trees{blobs: config.Blobs}, packages: newPackages(config.Charts), objects: cache.New[fleet.Digest, manifest.Object](objectBytes), troubles: map[fleet.Key]*trouble{}, differed: map[string][]fleet.Digest{}, secrets: map[string]readSecret{}, asked: map[string]asked{}}
}

// objectBytes bounds what is kept of objects.
const objectBytes = 32 << 20

// Run makes Releases until ctx ends, and waits for what it began.
func (l *Loop) Run(ctx context.Context) error {
	defer l.group.Wait()
	return run.Every(ctx, l.Period, l.Wake, func(ctx context.Context) {
		if err := l.look(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error("sources and Apps not looked at", "err", err)
		}
	})
}

// look begins what is to be done: it binds Sources to their upstreams, takes the due ones, and builds the Apps that
// are behind. What fails for one of them leaves the others alone.
func (l *Loop) look(ctx context.Context) error {
	view, err := l.read(ctx)
	if err != nil {
		return err
	}
	changed, err := l.bind(ctx, view)
	if changed {
		l.Wake.Set() // look again, with what is bound now
		return err
	}
	err = errors.Join(err, l.serve(ctx, view), l.refresh(ctx, view))
	claimErr := l.claim(ctx, view)
	l.metrics.census.take(view)
	l.forgetTroubles(view)
	l.forgetSecrets(view)
	l.start(ctx, view.behind())
	return errors.Join(err, claimErr)
}

// claim begins the conversations that are due.
func (l *Loop) claim(ctx context.Context, v *view) error {
	busy := l.talkingTo()
	if len(busy) > 0 && time.Since(l.renewed) >= l.Renew {
		if err := l.Store.KeepClaims(ctx, busy); err != nil {
			return err
		}
		l.renewed = time.Now()
	}
	room := 2*l.Conversations - len(busy)
	if room <= 0 {
		return nil
	}
	claimed, err := l.Store.ClaimUpstreams(ctx, room, busy)
	if err != nil {
		return err
	}
	byRemote := map[fleet.Digest][]fleet.UpstreamState{}
	for _, u := range claimed {
		byRemote[u.Remote] = append(byRemote[u.Remote], u)
	}
	for remote, upstreams := range byRemote {
		turns, party := l.talks, v.tenantOf(upstreams)
		if !slices.ContainsFunc(upstreams, func(u fleet.UpstreamState) bool { return u.Failures == 0 }) {
			turns, party = l.suspects, party+" failing"
		}
		l.begin(ctx, turns, party, func() bool { return l.converse(ctx, v, party, upstreams) }, remote)
	}
	return nil
}

// talkingTo are the remotes of which upstreams are being looked at.
func (l *Loop) talkingTo() []fleet.Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	var remotes []fleet.Digest
	for about := range l.busy {
		if remote, is := about.(fleet.Digest); is {
			remotes = append(remotes, remote)
		}
	}
	return remotes
}

// isBusy reports whether one of these is being worked at.
func (l *Loop) isBusy(about ...any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(about, func(a any) bool { return l.busy[a] })
}

// begin runs f in a goroutine when it is the party's turn, unless something that it is about is being worked at, and looks
// again when f says so.
func (l *Loop) begin(ctx context.Context, turns *run.Turns, party string, f func() (again bool), about ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(about, func(a any) bool { return l.busy[a] }) {
		return
	}
	for _, a := range about {
		l.busy[a] = true
	}
	l.group.Go(func() {
		again := false
		defer func() {
			l.mu.Lock()
			for _, a := range about {
				delete(l.busy, a)
			}
			l.mu.Unlock()
			if again {
				l.Wake.Set()
			}
		}()
		done, err := turns.Take(ctx, party)
		if err != nil {
			return // stopping
		}
		defer done()
		again = f()
	})
}
