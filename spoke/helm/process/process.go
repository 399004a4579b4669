package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Process is one that runs, seen from the spoke. One goroutine uses it at a time.
type Process struct {
	config  Config
	job     job.Job
	command *exec.Cmd
	to      *os.File
	from    *os.File
	output  confine.Output
	exited  chan struct{} // closed when the process is gone and its output is read
	begun   chan error    // of the Job: nil once it is read
	release func() bool   // of the context of Start

	sending  sync.Mutex    // held while a message is written
	requests uint64        // so far
	cpu      time.Duration // that the action under way may use

	mu     sync.Mutex
	reaped bool // its number may be another's by now
	busy   bool // with an action, which is cut short before the process ends
	ending chan struct{}
	ended  bool

	broken error // why there is no more talking to it
}

func newProcess(config Config, j job.Job, to, from *os.File) *Process {
	return &Process{config: config, job: j, to: to, from: from, exited: make(chan struct{}), begun: make(chan error, 1), ending: make(chan struct{})}
}

// live reads what the process prints, and waits for its end. What it prints is not logged: it may be values.
func (p *Process) live(printed *os.File) {
	defer close(p.exited)
	p.output.Read(printed)
	_ = printed.Close()
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	_ = p.command.Wait() // its state says how it ended
}

// begin sends the Job, while the process starts.
func (p *Process) begin(archive []byte) {
	go func() {
		p.sending.Lock()
		defer p.sending.Unlock()
		err := job.SendJSON(p.to, job.MessageJob, p.job)
		if err == nil {
			err = job.Send(p.to, job.MessageArchive, archive)
		}
		p.begun <- err
	}()
}

// Do implements helm.Process.
func (p *Process) Do(ctx context.Context, r job.Request) (job.Answer, error) {
	if p.broken != nil {
		return job.Answer{}, p.broken
	}
	if !p.occupy() {
		return job.Answer{}, fmt.Errorf("%s: %w", r.Action, errEnded)
	}
	answer, err := p.exchange(ctx, r)
	if err != nil {
		p.broken = fmt.Errorf("%s: %w", r.Action, err)
		err = p.broken
		p.kill()
	}
	p.vacate()
	return answer, err
}

// occupy says that an action is under way; false: the process is to end.
func (p *Process) occupy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = !p.ended
	return p.busy
}

func (p *Process) vacate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy = false
	if p.ended {
		p.killLocked()
	}
}

// end ends the process: at once, or when the action under way has been cut short.
func (p *Process) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	close(p.ending)
	if !p.busy {
		p.killLocked()
	}
}

func (p *Process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killLocked()
}

func (p *Process) killLocked() {
	if !p.reaped {
		confine.KillGroup(p.command.Process.Pid)
	}
	_ = p.command.Process.Kill()
}

// Close implements helm.Process. It waits until the process is gone.
func (p *Process) Close() {
	p.release()
	p.kill()
	<-p.exited
	_ = errors.Join(p.to.Close(), p.from.Close())
}
