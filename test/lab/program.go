package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Program is the hub or a spoke, run as users run it. It is safe for concurrent use.
type Program struct {
	name string
	// path and args are the command line, env what is added to the environment.
	path string
	args []string
	env  []string
	// log takes what it writes, of all its runs one after the other.
	log string
	// http is where it serves metrics and probes.
	http string
	// prepare runs before each start.
	prepare func() error
	// ready returns nil when the program does what it is there for.
	ready func(ctx context.Context, pid int) error

	mu      sync.Mutex
	process *process
}

// Times within which a program starts and ends on a busy machine.
const (
	programStart = 2 * time.Minute
	programStop  = 20 * time.Second
)

// Name tells programs apart: "hub", "spoke prod-1".
func (p *Program) Name() string { return p.name }

// Log is all that the program wrote, of this run and those before it.
func (p *Program) Log() (string, error) {
	content, err := os.ReadFile(p.log)
	return string(content), err
}

// Start runs the program with the addresses and directories that it always has, and returns when it is ready. The
// context bounds the start only.
func (p *Program) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, programStart)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fmt.Errorf("start %s: it runs already", p.name)
	}
	if p.prepare != nil {
		if err := p.prepare(); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(ownEnv(), p.env...)
	started, err := startProcess(p.name, cmd, p.log)
	if err != nil {
		return err
	}
	p.process = started
	if err := started.awaitReady(ctx, p.ready); err != nil {
		started.kill()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	return nil
}

// Kill ends the program with SIGKILL, as a crash would: the program alone, since what it started has to cope.
func (p *Program) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = syscall.Kill(p.process.PID(), syscall.SIGKILL)
		<-p.process.Done()
	}
}

// Pause stops the program where it stands, as a machine that hangs would, and Resume has it go on.
func (p *Program) Pause() { p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Program) Resume() { p.signal(syscall.SIGCONT) }

func (p *Program) signal(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = syscall.Kill(p.process.PID(), signal)
	}
}

// Wait waits until the present run ends and returns how: nil for exit code 0, an error with the end of the log for
// another one or a signal.
func (p *Program) Wait(ctx context.Context) error {
	p.mu.Lock()
	process := p.process
	p.mu.Unlock()
	if process == nil {
		return nil
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return process.failure(fmt.Errorf("wait for the end of %s: %w", p.name, context.Cause(ctx)))
	}
	if err := process.Wait(); err != nil {
		return process.failure(err)
	}
	return nil
}

// Stop asks the program to end with SIGTERM and waits; its error says that it ended badly or not by itself. A program
// that does not run is no error.
func (p *Program) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	_ = syscall.Kill(p.process.PID(), syscall.SIGTERM)
	patience := time.NewTimer(programStop)
	defer patience.Stop()
	select {
	case <-p.process.Done():
	case <-patience.C:
		p.process.kill()
		return fmt.Errorf("stop %s: it did not end within %s of SIGTERM", p.name, programStop)
	}
	if p.process.Wait() != nil {
		return p.process.failure(fmt.Errorf("stop %s", p.name))
	}
	return nil
}

// Done is closed when the present run ends; nil before the first.
func (p *Program) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return nil
	}
	return p.process.Done()
}

// Running tells whether the program runs, and PID as which process; 0 when it does not.
func (p *Program) Running() bool { return p.PID() != 0 }

// PID is the process id; 0 when the program does not run.
func (p *Program) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return 0
	}
	return p.process.PID()
}

// Metric reads a metric from the running program: the sum of the samples of that name which have the labels, each
// written KEY=VALUE; 0 when there are none.
func (p *Program) Metric(ctx context.Context, name string, labels ...string) (float64, error) {
	value, err := readMetric(ctx, "http://"+p.http+"/metrics", name, labels)
	if err != nil {
		return 0, fmt.Errorf("metric of %s: %w", p.name, err)
	}
	return value, nil
}

func (p *Program) running() bool { return p.process != nil && !p.process.Ended() }

// awaitReady waits until ready returns nil, while the process lives.
func (p *process) awaitReady(ctx context.Context, ready func(ctx context.Context, pid int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.Done():
			cancel(errors.New("it ended"))
		case <-ctx.Done():
		}
	}()
	if err := poll(ctx, func() error { return ready(ctx, p.PID()) }); err != nil {
		return p.failure(err)
	}
	return nil
}

// ownEnv is this process's environment without settings for Flotilla, which would reach what is started here.
func ownEnv() []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "FLOTILLA_") {
			env = append(env, entry)
		}
	}
	return env
}
