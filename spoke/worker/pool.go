package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/pkg/telemetry"
)

// DefaultConcurrency is how many passes run at once.
const DefaultConcurrency = 4

// Target is what a pass is told to make of an App.
type Target struct {
	App           fleet.Key
	Release       fleet.Release
	Manifest      *manifest.Manifest
	Binding       fleet.Binding
	ApprovedPrune fleet.Digest
	Verify        bool
	// Controls are the Assignment's.
	Controls fleet.Controls
	// Within is how long what Helm has begun may go on: where a pass is overtaken, that comes to its end. It ends with the pass
	// otherwise.
	Within context.Context
	// Waits is to be called before the pass waits for others of its kind, and what it returns after: meanwhile it has no place,
	// and no time of its own goes by.
	Waits func() (over func())
}

// Removal is how an App is to end.
type Removal struct {
	App       fleet.Key
	Tombstone fleet.Tombstone
	// Release is the last one: its prune guard holds.
	Release       fleet.Release
	ApprovedPrune fleet.Digest
	// Timeout bounds the wait for the objects to be gone, where the tombstone waits.
	Timeout time.Duration
	// Controls are the Assignment's.
	Controls fleet.Controls
	// Waits is that of a pass.
	Waits func() (over func())
}

// Engine makes the cluster have what it should.
type Engine interface {
	// Ready waits until the cluster is known well enough for a pass or a Load of an App, so that neither waits for that.
	Ready(ctx context.Context, app fleet.Key) error
	// Deploy is one pass; it does not wait for health. Remove carries out a tombstone and is called until it is done.
	Deploy(ctx context.Context, target Target) error
	Remove(ctx context.Context, removal Removal) (done bool, err error)
	// Load takes an App up after a restart, as it was applied last.
	Load(ctx context.Context, app fleet.Key, m *manifest.Manifest, release fleet.Release, binding fleet.Binding) error
	// SetSuspended stops and resumes the correction of drift.
	SetSuspended(app fleet.Key, suspended bool)
	Status(app fleet.Key) Status
	// AppliedBlobs are what the App's objects were made of when they were applied last, as far as that is known.
	AppliedBlobs(app fleet.Key) []fleet.Digest
	// Apps are those that have objects in the cluster.
	Apps(ctx context.Context) ([]fleet.Key, error)
}

// Blobs hold Manifests and objects by digest.
type Blobs interface {
	Blob(digest fleet.Digest) ([]byte, error)
	Has(digest fleet.Digest) bool
	Put(contents map[fleet.Digest][]byte) error
	Pin(owner string, digests []fleet.Digest)
	Unpin(owner string)
}

// Records keep what a restart should find again, and may be lost.
type Records interface {
	Load(name string, into any) bool
	Save(name string, value any) (kept bool)
	Remove(name string)
}

// Fetch brings the Manifest of an Assignment generation with the blobs that base, which may be nil, does not have. Its
// content is verified. An Assignment that was overtaken at the hub is ErrSuperseded.
type Fetch func(ctx context.Context, assigned Assigned, base *manifest.Manifest) (*manifest.Manifest, manifest.Blobs, error)

// Config is what a Pool is made of.
type Config struct {
	Engine  Engine
	Blobs   Blobs
	Records Records
	Fetch   Fetch
	// Hold may be nil: then nothing is.
	Hold Hold
	// Report and Forget tell the hub, Event tells people. They must not block.
	Report func(fleet.Report)
	Forget func(fleet.Key)
	Event  func(fleet.Event)
	// Log defaults to slog.Default, Metrics to none.
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Concurrency is how many passes run at once; zero: DefaultConcurrency.
	Concurrency int
}

// Pool runs a worker for each Assignment. Set, Assigned, Changed, HoldChanged, Retry, Lost and Unknown are safe for concurrent use.
type Pool struct {
	Config
	slots   chan struct{}
	metrics *metrics
	moved   run.Wake

	mu       sync.Mutex
	assigned map[fleet.Key]*Assigned // nil until Set is called
	workers  map[fleet.Key]*worker
	// reports are the last ones of every App.
	reports map[fleet.Key]fleet.Report
	// ending are closed when a worker has ended whose Assignment is gone: its App's next one waits for that.
	ending map[fleet.Key]chan struct{}
	// strays are the Apps that had objects in the cluster at the start, or were left with some; those assigned are still
	// among them.
	strays map[fleet.Key]bool
}

// New returns a Pool that does nothing until Run.
func New(config Config) (*Pool, error) {
	var problems []error
	for name, missing := range map[string]bool{
		"Engine": config.Engine == nil, "Blobs": config.Blobs == nil, "Records": config.Records == nil, "Fetch": config.Fetch == nil,
		"Report": config.Report == nil, "Forget": config.Forget == nil, "Event": config.Event == nil,
	} {
		if missing {
			problems = append(problems, errors.New("no "+name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("worker pool: %w: %w", fleet.ErrInvalid, err)
	}
	config.Log = cmp.Or(config.Log, slog.Default())
	return &Pool{
		Config: config, slots: make(chan struct{}, cmp.Or(config.Concurrency, DefaultConcurrency)),
		metrics: newMetrics(config.Metrics), moved: run.NewWake(), workers: map[fleet.Key]*worker{},
		ending: map[fleet.Key]chan struct{}{}, strays: map[fleet.Key]bool{}, reports: map[fleet.Key]fleet.Report{},
	}, nil
}

// Run works until ctx ends, and returns when every worker has.
func (p *Pool) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	working.Go(func() { p.findStrays(ctx) })
	p.moved.Set()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.moved.C():
			p.arrange(ctx, &working)
		}
	}
}

// Set says what is assigned: all that the desired state names, and all that is kept. An Assignment that is not there
// any more is forgotten; nothing happens to its objects. The map is the Pool's from then on, and what it points to stays as it
// is: what was there before is not looked at again.
func (p *Pool) Set(assigned map[fleet.Key]*Assigned) {
	p.mu.Lock()
	p.assigned = assigned
	p.mu.Unlock()
	p.moved.Set()
}

// Assigned returns what is assigned of an App, if anything is.
func (p *Pool) Assigned(app fleet.Key) (Assigned, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	assigned := p.assigned[app]
	if assigned == nil {
		return Assigned{}, false
	}
	return *assigned, true
}

// Changed says that the engine's status of an App is another one.
func (p *Pool) Changed(app fleet.Key) {
	if w := p.worker(app); w != nil {
		w.nudged.Store(true)
		w.wake.Set()
	}
}

// Retry has what waits for the hub tried again now.
func (p *Pool) Retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		w.reached.Store(true)
		w.wake.Set()
	}
}

// Lost says that a blob which the engine asked for is not there: the App that needs it fetches it.
func (p *Pool) Lost() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		w.lost.Store(true)
		w.wake.Set()
	}
}

// Unknown are the Apps that have objects here and that the desired state does not name, sorted.
func (p *Pool) Unknown() []fleet.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	var unknown []fleet.Key
	for app, a := range p.assigned {
		if a.Kept {
			unknown = append(unknown, app)
		}
	}
	for app := range p.strays {
		if _, known := p.assigned[app]; !known {
			unknown = append(unknown, app)
		}
	}
	slices.SortFunc(unknown, fleet.Key.Compare)
	return unknown
}

// arrange starts a worker for what is assigned newly, tells those what they are to do now whose Assignment may have changed,
// and ends those whose Assignment is gone. Who depends on any of these looks again too.
func (p *Pool) arrange(ctx context.Context, working *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for app, assigned := range p.assigned {
		w, works := p.workers[app]
		if !works {
			w = newWorker(p, app)
			p.workers[app] = w
		}
		if w.assign(assigned) {
			p.wakeDependents(app)
		}
		if works {
			continue
		}
		running, cancel := context.WithCancel(ctx)
		w.cancel = cancel
		before := p.ending[app]
		delete(p.ending, app)
		working.Go(func() {
			if before != nil {
				<-before
			}
			w.run(running)
		})
	}
	for app, w := range p.workers {
		if _, stays := p.assigned[app]; !stays {
			w.gone.Store(true)
			w.cancel()
			delete(p.workers, app)
			p.ending[app] = w.ended
			p.wakeDependents(app)
			if !w.removed.Load() {
				p.strays[app] = true // it left before its tombstone was done
			}
		}
	}
	p.metrics.assignments.Set(float64(len(p.workers)))
}

// findStrays asks the cluster which Apps have objects in it, until it answers.
func (p *Pool) findStrays(ctx context.Context) {
	back := run.Backoff{Min: time.Second, Max: time.Minute}
	for {
		apps, err := p.Engine.Apps(ctx)
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, app := range apps {
				p.strays[app] = true
			}
			return
		}
		if run.Sleep(ctx, back.Next()) != nil {
			return
		}
		p.Log.Warn("the Apps in the cluster are not known yet; trying on", telemetry.KeyErr, err)
	}
}

// removed takes note that nothing of an App is the spoke's any more.
func (p *Pool) removed(app fleet.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.strays, app)
}

func (p *Pool) worker(app fleet.Key) *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.workers[app]
}
