package render

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// Config is what a Pool needs.
type Config struct {
	// Workers is how many builds run at a time; zero is one for each processor. One more runs when it is the only one of
	// its tenant.
	Workers int
	// Memory bounds each worker, in bytes; zero is 512 MiB.
	Memory int64
	// CPU bounds the processor time of one build; zero is 30 s. Whole seconds.
	CPU time.Duration
	// Wall bounds the time of one build, from its beginning in a worker; zero is 60 s.
	Wall time.Duration
	// Idle bounds the memory of the workers, together, that wait for their tenants' next builds with what they hold of the
	// last ones, in bytes; zero is what Workers may take. The one used last waits whatever it takes.
	Idle int64
	// JobsPerWorker is how many builds a worker makes before it is replaced, and loses what it holds of them; zero is 1,000.
	// The first build of a fresh worker takes 40 times as long as one with a changed file later: of 100 builds it is a third
	// of their time, of 1,000 less than a twentieth, and what a worker takes in memory does not grow after the first hundred.
	JobsPerWorker int
	// CheckEvery has kustomize repeat one in so many builds that it did not make itself, and its output is used where it
	// is another; zero: none.
	CheckEvery int
	// Log gets what workers print and why they are replaced; nil is slog's default.
	Log *slog.Logger
	// Metrics registers the pool's metrics; nil registers none.
	Metrics prometheus.Registerer

	// program is what workers run, this one; tests have others.
	program func() (string, error)
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
	// Way is how it was built, and Reason says why so.
	Way    build.Class
	Reason string
	// Difference is where kustomize, which repeated the build, came to something else; nil: nowhere, or it was not
	// repeated. The Objects are kustomize's then, as are those of later builds of such a tree.
	Difference *build.Difference

	outcome outcome
}

// over is how many builds may run beyond Workers, each the only one of its tenant: a tenant whose builds are long does
// not hold up another's.
const over = 1

// Pool runs builds in worker processes.
type Pool struct {
	config  Config
	metrics *metrics
	turns   *run.Turns    // held by running builds, shared out among tenants
	wanted  chan request  // fresh workers that Run should hand out
	wake    chan struct{} // says to Run that spares may be missing
	stopped chan struct{} // closed when Run ends

	mu      sync.Mutex
	idle    []*worker // the longest unused first
	workers map[*worker]bool
	// notStarted and notBegun are why the last worker that was to start did not, and the last fresh one not begin.
	notStarted, notBegun error
	distrust             distrust
}

// New returns a Pool, which starts workers when it runs.
func New(config Config) (*Pool, error) {
	config.Workers = cmp.Or(config.Workers, runtime.GOMAXPROCS(0))
	config.Memory = cmp.Or(config.Memory, 512<<20)
	config.CPU = cmp.Or(config.CPU, 30*time.Second)
	config.Wall = cmp.Or(config.Wall, time.Minute)
	config.Idle = cmp.Or(config.Idle, int64(config.Workers)*config.Memory)
	config.JobsPerWorker = cmp.Or(config.JobsPerWorker, 1000)
	config.Log = cmp.Or(config.Log, slog.Default())
	config.program = confine.Executable
	if config.Workers < 0 || config.Memory < 64<<20 || config.CPU < time.Second || config.Wall < 0 || config.Idle < 0 || config.JobsPerWorker < 0 || config.CheckEvery < 0 {
		return nil, fmt.Errorf("render: %w: workers %d, memory %d (at least 64 MiB), CPU %s (at least 1s), wall %s, jobs %d",
			fleet.ErrInvalid, config.Workers, config.Memory, config.CPU, config.Wall, config.JobsPerWorker)
	}
	p := &Pool{
		config:  config,
		metrics: newMetrics(config.Metrics),
		turns:   run.NewTurns(config.Workers, over),
		wanted:  make(chan request),
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		workers: map[*worker]bool{},

		distrust: distrust{shapes: map[string][]fleet.Digest{}},
	}
	p.watch(config.Metrics)
	return p, nil
}

// Run starts workers as they are needed until ctx ends; then it stops them all, and builds that still run fail.
func (p *Pool) Run(ctx context.Context) error {
	// The kernel kills a worker when the thread that started it ends, so that one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer p.stop()
	again := time.NewTicker(fillPeriod)
	defer again.Stop()
	p.fill()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
			p.fill()
		case <-again.C: // what did not start may by now, before a build needs it
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

// fillPeriod is how often it is looked whether there are spare workers, beside when one was taken.
const fillPeriod = 10 * time.Second

// Build runs the job in a worker. An error of the input wraps fleet.ErrInvalid, one about a path that is not there
// fleet.ErrNotFound; so does the one of a build that went over a limit or crashed its worker, because the same input
// would again. Anything else may go well another time.
func (p *Pool) Build(ctx context.Context, job Job) (Result, error) {
	return p.build(ctx, order{Job: job, task: task{Path: job.Path, Spec: job.Spec}})
}

// order is a job with what a worker is told of it.
type order struct {
	Job
	task task
}

func (p *Pool) build(ctx context.Context, o order) (Result, error) {
	done, err := p.wait(ctx, o.Tenant)
	if err != nil {
		return Result{}, fmt.Errorf("build %s: waiting for a worker: %w", o.Path, err)
	}
	defer done()
	result, used, err := p.attempt(ctx, o, p.take)
	if errors.Is(err, errAlone) {
		if result, used, err = p.attempt(ctx, o, p.fetch); errors.Is(err, errAlone) {
			err = &limitError{why: "it crashed: it had a fresh worker, and asked for one"}
		}
	}
	if again(used, err) {
		p.metrics.again.Inc()
		result, _, err = p.attempt(ctx, o, p.fetch)
	}
	if err != nil {
		result.Objects = nil
		return result, fmt.Errorf("build %s: %w", o.Path, err)
	}
	return result, nil
}

// again reports whether a failed build is to be tried once more, in a fresh worker: when the first was gone before it
// began, or when it was used before, what it still held may be why there was too little memory, or why it crashed.
func again(used bool, err error) bool {
	var gone *goneError
	var limit *limitError
	return errors.As(err, &gone) || errors.As(err, &limit) && !limit.time && (used || limit.unsure)
}

// wait returns when the tenant has a turn.
func (p *Pool) wait(ctx context.Context, tenant string) (done func(), err error) {
	begin := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		select {
		case <-p.stopped:
			cancel(errStopped)
		case <-ctx.Done():
		}
	})
	done, err = p.turns.Take(ctx, tenant)
	cancel(nil)
	group.Wait()
	p.metrics.waited(time.Since(begin))
	return done, err
}

// attempt carries the order out in a worker. It says whether that had made builds before.
func (p *Pool) attempt(
	ctx context.Context, o order, take func(context.Context, string) (*worker, error),
) (result Result, used bool, err error) {
	worker, err := take(ctx, o.Tenant)
	if err != nil {
		return Result{}, false, err
	}
	used = !isFresh(worker)
	p.mu.Lock()
	o.task.Distrust = p.distrust.lacking(o.Tenant, worker.told)
	p.mu.Unlock()
	begin := time.Now()
	result, reusable, err := worker.run(ctx, p.stopped, o)
	p.metrics.built(result, err, time.Since(begin))
	p.began(used, err)
	if result.Difference != nil {
		p.config.Log.Error("a build was not what kustomize made of it", "tenant", o.Tenant, "path", o.Path, "what", result.Difference.What)
		p.mu.Lock()
		p.distrust.add(o.Tenant, result.Difference.Shape)
		p.mu.Unlock()
	}
	if reusable && worker.jobs < p.config.JobsPerWorker {
		p.give(worker)
	} else {
		p.discard(worker)
	}
	return result, used, err
}

var errStopped = errors.New("rendering has stopped")
