package render

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Config is what a Pool needs.
type Config struct {
	// Workers is how many builds run at a time; zero is one for each processor.
	Workers int
	// Memory bounds each worker, in bytes; zero is 512 MiB.
	Memory int64
	// CPU bounds the processor time of one build; zero is 30 s. Whole seconds.
	CPU time.Duration
	// Wall bounds the time of one build, from its beginning in a worker; zero is 60 s.
	Wall time.Duration
	// JobsPerWorker is how many builds a worker makes before it is replaced; zero is 100.
	JobsPerWorker int
	// Log gets what workers print and why they are replaced; nil is slog's default.
	Log *slog.Logger
	// Metrics registers the pool's metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Job is one build.
type Job struct {
	// Tenant whose input it is. A worker serves one tenant only.
	Tenant string
	// Path is the directory to build.
	Path string
	// Spec is what comes on top of what the directory says.
	Spec fleet.BuildSpec
	Tree *artifact.Tree
	// Blob returns the content of a file. Its error ends the build and is what Build returns.
	Blob func(ctx context.Context, digest fleet.Digest) ([]byte, error)
}

// Result is what a build made.
type Result struct {
	// Objects are the documents that kustomize printed, one an object.
	Objects [][]byte
	// Inputs are what the build looked at, sorted: files read or asked for, and directories listed with a slash at the
	// end. build.Key takes them. A build that failed has them too: its input fails as long as they are the same.
	Inputs []string
}

// spare is how many fresh workers are kept ready, so that a build does not wait for one to start.
const spare = 1

// Pool runs builds in worker processes.
type Pool struct {
	config  Config
	metrics *metrics
	slots   chan struct{} // held by running builds
	wanted  chan request  // fresh workers that Run should hand out
	wake    chan struct{} // says to Run that spares may be missing
	stopped chan struct{} // closed when Run ends

	mu      sync.Mutex
	idle    []*worker // the longest unused first
	workers map[*worker]bool
}

// New returns a Pool, which starts workers when it runs.
func New(config Config) (*Pool, error) {
	config.Workers = cmp.Or(config.Workers, runtime.GOMAXPROCS(0))
	config.Memory = cmp.Or(config.Memory, 512<<20)
	config.CPU = cmp.Or(config.CPU, 30*time.Second)
	config.Wall = cmp.Or(config.Wall, time.Minute)
	config.JobsPerWorker = cmp.Or(config.JobsPerWorker, 100)
	config.Log = cmp.Or(config.Log, slog.Default())
	if config.Workers < 0 || config.Memory < 64<<20 || config.CPU < time.Second || config.Wall < 0 || config.JobsPerWorker < 0 {
		return nil, fmt.Errorf("render: %w: workers %d, memory %d (at least 64 MiB), CPU %s (at least 1s), wall %s, jobs %d",
			fleet.ErrInvalid, config.Workers, config.Memory, config.CPU, config.Wall, config.JobsPerWorker)
	}
	return &Pool{
		config:  config,
		metrics: newMetrics(config.Metrics),
		slots:   make(chan struct{}, config.Workers),
		wanted:  make(chan request),
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		workers: map[*worker]bool{},
	}, nil
}

// request asks Run for a worker.
type request struct {
	reply chan<- started
}

type started struct {
	worker *worker
	err    error
}

// Run starts workers as they are needed until ctx ends; then it stops them all, and builds that still run fail.
func (p *Pool) Run(ctx context.Context) error {
	// The kernel kills a worker when the thread that started it ends, so that one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer p.stop()
	p.fill()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			p.fill()
		case request := <-p.wanted:
			worker, err := p.pick(isFresh), error(nil) // a spare one may be there since it was asked for
			if worker == nil {
				worker, err = p.start()
			}
			request.reply <- started{worker, err}
		}
	}
}

// fill starts fresh workers until there are enough spare ones.
func (p *Pool) fill() {
	for p.fresh() < spare {
		worker, err := p.start()
		if err != nil {
			p.config.Log.Warn("render worker did not start", "err", err)
			return // the next build asks again, and gets the error
		}
		p.mu.Lock()
		p.idle = append(p.idle, worker)
		p.mu.Unlock()
	}
}

func (p *Pool) fresh() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, w := range p.idle {
		if isFresh(w) && w.alive() {
			n++
		}
	}
	return n
}

func (p *Pool) start() (*worker, error) {
	begin := time.Now()
	worker, err := startWorker(p.config)
	if err != nil {
		return nil, err
	}
	p.metrics.started(time.Since(begin))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers[worker] = true
	return worker, nil
}

func (p *Pool) stop() {
	close(p.stopped)
	p.mu.Lock()
	workers := p.workers
	p.workers, p.idle = map[*worker]bool{}, nil
	p.mu.Unlock()
	for worker := range workers {
		worker.stop()
	}
}

// Build runs the job in a worker. An error of the input wraps fleet.ErrInvalid, one about a path that is not there
// fleet.ErrNotFound; so does the one of a build that went over a limit or crashed its worker, because the same input
// would again. Anything else may go well another time.
func (p *Pool) Build(ctx context.Context, job Job) (Result, error) {
	return p.build(ctx, job, "")
}

func (p *Pool) build(ctx context.Context, job Job, hook string) (Result, error) {
	begin := time.Now()
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return Result{}, fmt.Errorf("build %s: waiting for a worker: %w", job.Path, context.Cause(ctx))
	case <-p.stopped:
		return Result{}, fmt.Errorf("build %s: %w", job.Path, errStopped)
	}
	defer func() { <-p.slots }()
	p.metrics.waited(time.Since(begin))
	result, err := p.attempt(ctx, job, hook, p.take)
	var gone *goneError
	if errors.As(err, &gone) {
		result, err = p.attempt(ctx, job, hook, p.fetch)
	}
	if err != nil {
		return Result{Inputs: result.Inputs}, fmt.Errorf("build %s: %w", job.Path, err)
	}
	return result, nil
}

func (p *Pool) attempt(
	ctx context.Context, job Job, hook string, take func(context.Context, string) (*worker, error),
) (Result, error) {
	worker, err := take(ctx, job.Tenant)
	if err != nil {
		return Result{}, err
	}
	begin := time.Now()
	result, reusable, err := worker.run(ctx, p.stopped, job, hook)
	p.metrics.built(err, time.Since(begin))
	if reusable && worker.jobs < p.config.JobsPerWorker {
		p.give(worker)
	} else {
		p.discard(worker)
	}
	return result, err
}

var errStopped = errors.New("rendering has stopped")

// take returns a worker for the tenant: one that served it before, else a fresh one.
func (p *Pool) take(ctx context.Context, tenant string) (*worker, error) {
	served := func(w *worker) bool { return w.jobs > 0 && w.tenant == tenant }
	for _, fits := range []func(*worker) bool{served, isFresh} {
		if worker := p.pick(fits); worker != nil {
			return worker, nil
		}
	}
	return p.fetch(ctx, tenant)
}

func isFresh(w *worker) bool { return w.jobs == 0 }

// fetch has Run hand out a fresh worker.
func (p *Pool) fetch(ctx context.Context, _ string) (*worker, error) {
	reply := make(chan started, 1)
	select {
	case p.wanted <- request{reply}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a worker: %w", context.Cause(ctx))
	case <-p.stopped:
		return nil, errStopped
	}
	answer := <-reply
	return answer.worker, answer.err
}

func (p *Pool) pick(fits func(*worker) bool) *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- { // the last used is the warmest
		worker := p.idle[i]
		if !fits(worker) {
			continue
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if worker.alive() {
			return worker
		}
		delete(p.workers, worker)
		worker.stop()
	}
	return nil
}

// give puts a worker back, and lets the one go that was not used for longest when there are too many.
func (p *Pool) give(used *worker) {
	p.mu.Lock()
	p.idle = append(p.idle, used)
	var surplus *worker
	if len(p.idle) > max(p.config.Workers, spare+1) {
		i := max(0, slices.IndexFunc(p.idle, func(w *worker) bool { return w.jobs > 0 }))
		surplus = p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		delete(p.workers, surplus)
	}
	p.mu.Unlock()
	if surplus != nil {
		surplus.stop()
	}
	p.look()
}

func (p *Pool) discard(worker *worker) {
	p.mu.Lock()
	delete(p.workers, worker)
	p.mu.Unlock()
	worker.stop()
	p.look()
}

// look makes Run see to the spares.
func (p *Pool) look() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// memoryLimit is what the garbage collector of a worker aims at, below the limit at which the worker dies.
func memoryLimit(memory int64) int64 { return int64(math.Round(float64(memory) * 0.6)) }
