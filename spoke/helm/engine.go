package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/health"
	"flotilla.dev/flotilla/spoke/reference"
	"flotilla.dev/flotilla/spoke/takeover"
)

// maxPasses is how many passes have Helm at once, as many as Flux works at.
const maxPasses = 4

// Config is what an Engine needs.
type Config struct {
	REST *rest.Config
	// Runner starts the processes that have Helm's SDK.
	Runner Runner
	// Blob returns the verified content of a part of a Manifest.
	Blob func(fleet.Digest) ([]byte, error)
	// Event is told what a person may want to know. Changed is told when the Status of an App changed outside a pass, or a
	// pass is called for. Neither may block. Either may be nil.
	Event   func(fleet.Event)
	Changed func(fleet.Key)
	// HoldChanged is told that a Flux object was put on hold, or is not any more. It must not block; it may be nil.
	HoldChanged func()
	Log         *slog.Logger
	Metrics     prometheus.Registerer

	// Namespace holds the spoke's own objects; it exists.
	Namespace string
	// DefaultServiceAccount is who acts for Apps that name no ServiceAccount, in the App's namespace. Empty: the spoke
	// itself.
	DefaultServiceAccount string
	// Processes is how many may run at once: those of four passes at most, of which one namespace's do not hold up another's
	// first, and that of a person's question. Zero: all five.
	Processes int
	// System is the root of the file system, for how much memory is left. Nil: this machine's.
	System fs.FS
}

// Engine keeps the releases of one cluster. It is safe for concurrent use.
type Engine struct {
	config     Config
	client     typedcorev1.CoreV1Interface
	meta       metadata.Interface
	dynamic    dynamic.Interface
	mapper     *apply.Mapper
	flux       *takeover.Watch
	store      *store
	storage    *storage
	references *reference.Watch
	accounts   *account.Accounts
	tracker    *drift.Tracker
	health     *health.Watcher
	refreshes  workqueue.TypedRateLimitingInterface[fleet.Key]
	turns      *run.Turns
	metrics    *metrics
	crowd      crowd
	log        *slog.Logger

	consulting chan struct{} // holds the token of the question that is being answered

	ready     chan struct{} // closed when the records are read
	concerned chan struct{} // closed when there is an App: without one, no Flux is looked for
	concern   sync.Once

	mu      sync.Mutex
	apps    map[fleet.Key]*app
	owners  map[fleet.ObjectRef][]*app // by reference without version, who has it last
	trouble error                      // why the records are not read, as far as that is known
}

// New returns an Engine that does nothing until Run.
func New(config Config) (*Engine, error) {
	var missing []error
	for _, needed := range []struct {
		name  string
		given bool
	}{
		{"REST", config.REST != nil}, {"Runner", config.Runner != nil}, {"Blob", config.Blob != nil}, {"Namespace", config.Namespace != ""},
	} {
		if !needed.given {
			missing = append(missing, errors.New("no "+needed.name))
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, fmt.Errorf("helm engine: %w: %w", fleet.ErrInvalid, err)
	}
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	if config.Event == nil {
		config.Event = func(fleet.Event) {}
	}
	if config.System == nil {
		config.System = os.DirFS("/")
	}
	if config.HoldChanged == nil {
		config.HoldChanged = func() {}
	}
	if config.Changed == nil {
		config.Changed = func(fleet.Key) {}
	}
	processes := cmp.Or(config.Processes, maxPasses+1)
	passes := min(processes, maxPasses)
	e := &Engine{
		config: config, turns: run.NewTurns(passes, passes), crowd: crowd{most: processes}, metrics: newMetrics(config.Metrics), log: config.Log,
		consulting: make(chan struct{}, 1), ready: make(chan struct{}), concerned: make(chan struct{}),
		apps: map[fleet.Key]*app{}, owners: map[fleet.ObjectRef][]*app{}, refreshes: newRefreshes(),
	}
	if err := e.connect(); err != nil {
		return nil, fmt.Errorf("helm engine: %w", err)
	}
	return e, nil
}

// connect makes the clients; it asks nothing of the cluster.
func (e *Engine) connect() error {
	config := rest.CopyConfig(e.config.REST)
	config.Timeout = 0 // it would end watches
	config.QPS = -1    // there are few requests; the API server's own fairness does the rest
	config.WarningHandler = rest.NoWarnings{}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	meta, err1 := metadata.NewForConfigAndClient(config, http)
	core, err2 := typedcorev1.NewForConfigAndClient(config, http)
	asker, err3 := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	full, err4 := dynamic.NewForConfigAndClient(config, http)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	e.client, e.meta, e.dynamic = core, meta, full
	e.store = &store{client: core.ConfigMaps(e.config.Namespace)}
	e.storage = newStorage(meta, e.disturbed, e.log)
	e.references = reference.New(meta, e.wake, e.log)
	e.mapper = apply.NewMapper(asker, meta)
	e.flux = newFluxWatch(e)
	corrector := apply.NewApplier(apply.Helm, meta, full, drift.Workers)
	e.accounts = account.New(config, http, &account.Account{Dynamic: full, Metadata: meta, Applier: corrector, Corrector: corrector})
	// What was seen of objects is not kept over a restart: then each is looked at once, if drift is asked for.
	e.tracker = drift.NewTracker(drift.Config{
		Client: meta, Selector: apply.Helm.NameLabel, Map: e.watchable, Facts: e.facts, Correct: e.correct, Seen: e.seen,
		Changed: e.changed, Log: e.log,
	})
	e.health = health.NewWatcher(health.Config{
		Read: e.read, Pods: e.watchPods, Wanted: func(ref fleet.ObjectRef) bool { return e.owner(ref) != nil },
		Expressions: e.expressions, Changed: e.changed, Judged: e.tracker.SetReady, Log: e.log,
	})
	return nil
}

// Run reads the records, then watches until the context ends. Deploy and Remove wait until the records are read.
func (e *Engine) Run(ctx context.Context) error {
	if !run.Until(ctx, run.Backoff{Min: time.Second, Max: 30 * time.Second}, e.takeUp, func(err error) {
		e.mu.Lock()
		e.trouble = err
		e.mu.Unlock()
		e.log.Warn("records of Helm releases are not read; trying again", "err", err)
	}) {
		return nil
	}
	close(e.ready)
	return run.All(ctx,
		run.Named{Name: "Helm's storage", Task: e.storage.run},
		run.Named{Name: "references", Task: e.references.Run},
		run.Named{Name: "definitions", Task: e.watchDefinitions},
		run.Named{Name: "Flux", Task: e.flux.Run},
		run.Named{Name: "drift", Task: e.tracker.Run},
		run.Named{Name: "health", Task: e.health.Run},
		run.Named{Name: "objects of releases", Task: e.runRefreshes},
	)
}

// takeUp reads what is known of the releases.
func (e *Engine) takeUp(ctx context.Context) error {
	all, err := e.store.list(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		a := e.app(s.app)
		a.mu.Lock()
		a.stored = s
		a.mu.Unlock()
		e.deployed(a)
	}
	return nil
}

// Ready waits until the records are read, and it is known what a Flux in the cluster manages.
func (e *Engine) Ready(ctx context.Context) error {
	if err := e.awaitRecords(ctx); err != nil {
		return err
	}
	e.concern.Do(func() { close(e.concerned) })
	return e.flux.Await(ctx)
}

func (e *Engine) awaitRecords(ctx context.Context) error {
	select {
	case <-e.ready:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.trouble, context.Cause(ctx))
}

// Apps returns the Apps that have a record in the cluster.
func (e *Engine) Apps(ctx context.Context) ([]fleet.Key, error) {
	all, err := e.store.list(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]fleet.Key, len(all))
	for i, s := range all {
		keys[i] = s.app
	}
	return keys, nil
}
