package helm

import (
	"context"
	"sync"
	"time"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// crowd are the processes that run. Where there may be no more, or memory is short, one waits for another to end; there is
// always one.
type crowd struct {
	most int // at once

	mu      sync.Mutex
	running int
	ended   chan struct{} // closed at the next end
}

// startAgain is the pause after a process did not start: its program is missing, or the machine has no room for one.
const startAgain = 30 * time.Second

// roomAgain is how often who waits looks whether others have let go of memory.
const roomAgain = 2 * time.Second

// launch starts a process for a pass, when there is room.
func (e *Engine) launch(ctx context.Context, j job.Job, archive []byte, waits func() func()) (Process, error) {
	over := aside(waits)
	err := e.crowd.enter(ctx, func() bool { return room(e.config.System) == nil })
	if over(); err != nil {
		return nil, err
	}
	// A pass that is cut short lets Helm come to an end; only then does the process.
	process, err := e.config.Runner.Start(context.WithoutCancel(ctx), j, archive)
	if err != nil {
		e.crowd.leave()
		return nil, &Failure{Err: err, Reason: reasonNoHelm, RetryAfter: startAgain} // as long as there is none, no release is looked at
	}
	e.metrics.processes.Inc()
	return e.crowd.member(process), nil
}

func (c *crowd) enter(ctx context.Context, fits func() bool) error {
	for {
		c.mu.Lock()
		if c.running == 0 || c.running < c.most && fits() {
			c.running++
			c.mu.Unlock()
			return nil
		}
		if c.ended == nil {
			c.ended = make(chan struct{})
		}
		ended := c.ended
		c.mu.Unlock()
		select {
		case <-ended:
		case <-time.After(roomAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.ended != nil {
		close(c.ended)
		c.ended = nil
	}
}

func (c *crowd) member(process Process) *member {
	return &member{Process: process, leave: sync.OnceFunc(c.leave)}
}

// member is a process that is counted until it is closed.
type member struct {
	Process
	leave func()
}

func (m *member) Close() {
	m.Process.Close()
	m.leave()
}
