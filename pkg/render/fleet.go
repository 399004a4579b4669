package render

import (
	"context"
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/confine"
)

// What a pool has of workers: those at work, idle ones that wait for their tenants' next builds, and spare ones that serve
// whoever comes first. Only Run starts them.

// request asks Run for a worker.
type request struct {
	reply chan<- started
}

type started struct {
	worker *worker
	err    error
}

// spare is how many fresh workers are kept ready, so that a build does not wait for one to start.
const spare = 1

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

// give puts a worker back, and lets those go that were not used for longest as far as there are too many.
func (p *Pool) give(used *worker) {
	p.mu.Lock()
	p.idle = append(p.idle, used)
	surplus := p.surplus()
	p.mu.Unlock()
	for _, worker := range surplus {
		worker.stop()
	}
	p.look()
}

// maxIdle is how many workers wait for their tenants' next builds at most, whatever memory they take.
const maxIdle = 16

// surplus takes out the idle workers that are too many, or take too much memory together. The one used last stays.
func (p *Pool) surplus() (out []*worker) {
	kept, memory := 0, int64(0)
	for i := len(p.idle) - 1; i >= 0; i-- {
		w := p.idle[i]
		if isFresh(w) {
			continue
		}
		kept++
		if memory += confine.Resident(w.command.Process.Pid); kept > 1 && (kept > maxIdle || memory > p.config.Idle) {
			p.idle = slices.Delete(p.idle, i, i+1)
			delete(p.workers, w)
			out = append(out, w)
		}
	}
	return out
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

// fill starts fresh workers until there are enough spare ones.
func (p *Pool) fill() {
	p.reap()
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

// reap takes out idle workers that ended by themselves.
func (p *Pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(w *worker) bool {
		if w.alive() {
			return false
		}
		delete(p.workers, w)
		w.stop()
		return true
	})
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.notStarted = err; err != nil {
		return nil, err
	}
	p.metrics.started(time.Since(begin))
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
