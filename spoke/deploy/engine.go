package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/health"
	"flotilla.dev/flotilla/spoke/inventory"
	"flotilla.dev/flotilla/spoke/reference"
	"flotilla.dev/flotilla/spoke/takeover"
)

// Config is what an Engine needs.
type Config struct {
	REST *rest.Config
	// Blob returns the verified content of an object.
	Blob func(fleet.Digest) ([]byte, error)
	// Build makes the builds of files that only the cluster's keys decrypt, where nothing of them can be seen or kept. Nil:
	// Apps that need one are refused.
	Build func(context.Context, render.Job) (render.Result, error)
	// Event is told what a person may want to know. Changed is told when the Status of an App changed outside a pass.
	// Neither may block. Either may be nil.
	Event   func(fleet.Event)
	Changed func(fleet.Key)
	// HoldChanged is told that a Flux object was put on hold, or is not any more. It must not block; it may be nil.
	HoldChanged func()
	Log         *slog.Logger
	Metrics     prometheus.Registerer

	// Namespace holds the spoke's own objects; it exists.
	Namespace string
	// Dir is a directory on a volume that may be lost. Empty: nothing is kept there.
	Dir string
	// DefaultServiceAccount is who acts for Apps that name no ServiceAccount, in the App's namespace. Empty: the spoke
	// itself.
	DefaultServiceAccount string
}

// Engine deploys Apps to one cluster. It is safe for concurrent use.
type Engine struct {
	config   Config
	marks    apply.Marks
	client   typedcorev1.CoreV1Interface
	dynamic  dynamic.Interface
	mapper   *apply.Mapper
	accounts *account.Accounts
	store    *inventory.Store
	tracker  *drift.Tracker
	health   *health.Watcher
	lookout  *health.Lookout
	flux     *takeover.Watch
	// fluxNoted says that the inventory of a suspended Flux object is another.
	fluxNoted run.Wake
	crds      *drift.Definitions
	// references are watched for what Apps are made of.
	references *reference.Watch
	stamps     stamps
	metrics    *metrics
	log        *slog.Logger

	ready chan struct{} // closed when the inventories are read

	mu      sync.Mutex
	apps    map[fleet.Key]*app
	owners  map[fleet.ObjectRef]*app // by reference without version
	trouble error                    // why the inventories are not read, as far as that is known
}

// New returns an Engine that does nothing until Run.
func New(config Config) (*Engine, error) {
	var missing []error
	if config.REST == nil {
		missing = append(missing, errors.New("no REST"))
	}
	if config.Blob == nil {
		missing = append(missing, errors.New("no Blob"))
	}
	if config.Namespace == "" {
		missing = append(missing, errors.New("no Namespace"))
	}
	if err := errors.Join(missing...); err != nil {
		return nil, fmt.Errorf("deploy engine: %w: %w", fleet.ErrInvalid, err)
	}
	config.Log = cmp.Or(config.Log, slog.New(slog.DiscardHandler))
	if config.Event == nil {
		config.Event = func(fleet.Event) {}
	}
	if config.HoldChanged == nil {
		config.HoldChanged = func() {}
	}
	if config.Changed == nil {
		config.Changed = func(fleet.Key) {}
	}
	e := &Engine{
		config:    config,
		marks:     apply.Kustomize,
		metrics:   newMetrics(config.Metrics),
		log:       config.Log,
		ready:     make(chan struct{}),
		fluxNoted: run.NewWake(),
		apps:      map[fleet.Key]*app{},
		owners:    map[fleet.ObjectRef]*app{},
	}
	if err := e.connect(); err != nil {
		return nil, fmt.Errorf("deploy engine: %w", err)
	}
	return e, nil
}

// connect makes the clients; it asks nothing of the cluster.
func (e *Engine) connect() error {
	config := rest.CopyConfig(e.config.REST)
	config.Timeout = 0 // it would end watches; apply bounds its own requests
	config.QPS = -1    // requests are bounded by apply; the API server's own fairness does the rest
	config.WarningHandler = rest.NoWarnings{}
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	asker, err1 := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	meta, err2 := metadata.NewForConfigAndClient(config, http)
	full, err3 := dynamic.NewForConfigAndClient(config, http)
	core, err4 := typedcorev1.NewForConfigAndClient(config, http)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	memory, err := drift.OpenMemory(e.config.Dir)
	if err != nil {
		// It is a volume that may be lost; without it everything is looked at once.
		e.log.Warn("what was seen of objects is not remembered", "err", err)
	}
	e.client, e.dynamic = core, full
	e.mapper = apply.NewMapper(asker, meta)
	e.accounts = account.New(config, http, &account.Account{
		Dynamic: full, Metadata: meta,
		Applier:   apply.NewApplier(e.marks, meta, full, 2*parallel),
		Corrector: apply.NewApplier(e.marks, meta, full, drift.Workers),
	})
	e.store = inventory.NewStore(core.ConfigMaps(e.config.Namespace))
	e.tracker = drift.NewTracker(drift.Config{
		Client:   meta,
		Selector: e.marks.NameLabel,
		Map:      e.watchable,
		Facts:    e.facts,
		Correct:  e.correct,
		Seen:     e.seen,
		Changed:  e.changed,
		Memory:   memory,
		Log:      e.log,
	})
	e.health = health.NewWatcher(health.Config{
		Read:    e.read,
		Pods:    e.watchPods,
		Wanted:  func(ref fleet.ObjectRef) bool { return e.owner(ref) != nil },
		Changed: e.changed,
		Judged:  e.tracker.SetReady,
		Log:     e.log,

		Expressions: e.expressions,
	})
	e.lookout = health.NewLookout(health.LookoutConfig{Read: e.readFor, Follow: e.follow, Changed: e.config.Changed})
	e.flux = newFluxWatch(e)
	e.crds = &drift.Definitions{
		Resource: meta.Resource(apply.CRDs), Tracker: e.tracker, Forget: e.mapper.Forget, Flux: fluxDefinition,
		Present: e.flux.Present, Absent: e.flux.Absent, Failed: e.flux.Failed, Log: e.log,
	}
	e.references = reference.New(meta, e.wake, e.log)
	return nil
}

// Run reads the inventories, then watches, corrects drift and follows health until the context ends. Deploy, Remove
// and Load wait until the inventories are read.
func (e *Engine) Run(ctx context.Context) error {
	if !run.Until(ctx, run.Backoff{Min: time.Second, Max: 30 * time.Second}, e.takeUp, func(err error) {
		e.mu.Lock()
		e.trouble = err
		e.mu.Unlock()
		e.log.Warn("inventories are not read; trying again", "err", err)
	}) {
		return nil
	}
	close(e.ready)
	return run.All(ctx,
		run.Named{Name: "drift", Task: e.tracker.Run},
		run.Named{Name: "health", Task: e.health.Run},
		run.Named{Name: "health checks", Task: e.lookout.Run},
		run.Named{Name: "definitions", Task: e.crds.Run},
		run.Named{Name: "Flux", Task: e.flux.Run},
		run.Named{Name: "references", Task: e.references.Run},
		run.Named{Name: "Flux's inventories", Task: e.takeInChanges},
	)
}

// takeUp begins to watch what the inventories say. Nothing is corrected before Load or Deploy brings the content.
func (e *Engine) takeUp(ctx context.Context) error {
	if err := e.stamps.load(ctx, e.client.Secrets(e.config.Namespace)); err != nil {
		return err
	}
	inventories, err := e.store.List(ctx)
	if err != nil {
		return err
	}
	for _, inv := range inventories {
		a := e.app(inv.App())
		a.mu.Lock()
		a.inv = inv
		a.mu.Unlock()
		e.adopt(a, inv)
	}
	e.arbitrate(ctx)
	return nil
}

// Apps returns the Apps that have an inventory in the cluster, ordered.
func (e *Engine) Apps(ctx context.Context) ([]fleet.Key, error) { return e.store.Apps(ctx) }

// changed tells the owner's worker that the App's Status is another one.
func (e *Engine) changed(ref fleet.ObjectRef) {
	if a := e.owner(ref); a != nil {
		e.config.Changed(a.key)
	}
}
