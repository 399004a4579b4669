package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// worker is a child process, seen from the pool. One goroutine uses it at a time.
type worker struct {
	config Config
	tenant string                // whose builds it has made
	jobs   int                   // how many; none yet: it is fresh
	told   map[fleet.Digest]bool // the shapes that it is to distrust

	command *exec.Cmd
	to      *os.File
	from    *os.File
	output  *confine.Output
	exited  chan struct{} // closed when the process is gone and its output is read

	mu     sync.Mutex
	reaped bool // its number may be another's by now
}

// startWorker starts a process that will serve jobs. It returns before the process is ready for them; they wait in the
// pipe.
func startWorker(config Config) (_ *worker, err error) {
	value, err := json.Marshal(settings{Memory: config.Memory, CPU: config.CPU, CheckEvery: config.CheckEvery})
	if err != nil {
		return nil, fmt.Errorf("start render worker: %w", err)
	}
	var files []*os.File
	pipe := func() (r, w *os.File) {
		if err == nil {
			if r, w, err = os.Pipe(); err == nil {
				files = append(files, r, w)
			}
		}
		return r, w
	}
	childIn, to := pipe()
	from, childOut := pipe()
	printed, childErr := pipe()
	w := &worker{config: config, told: map[fleet.Digest]bool{}, to: to, from: from, exited: make(chan struct{})}
	if err == nil {
		w.command, err = command(config, string(value), childErr, []*os.File{childIn, childOut})
	}
	if err == nil {
		err = w.command.Start()
	}
	if err != nil {
		for _, file := range files {
			_ = file.Close()
		}
		return nil, fmt.Errorf("start render worker: %w", err)
	}
	for _, file := range []*os.File{childIn, childOut, childErr} {
		_ = file.Close() // the child has its own
	}
	w.output = &confine.Output{Line: w.print}
	go func() {
		defer close(w.exited)
		w.output.Read(printed)
		_ = printed.Close()
		w.mu.Lock()
		w.reaped = true
		w.mu.Unlock()
		_ = w.command.Wait() // its state says how it ended
	}()
	return w, nil
}

func command(config Config, value string, stderr *os.File, files []*os.File) (*exec.Cmd, error) {
	binary, err := config.program()
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path:        binary,
		Args:        []string{"flotilla-render-worker"},
		Dir:         "/",
		Stdout:      stderr,
		Stderr:      stderr,
		ExtraFiles:  files,
		SysProcAttr: confine.Attributes(),
		Env:         append(confine.Environment(config.Memory), variable+"="+value),
	}, nil
}

func (w *worker) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

// kill ends the process, and whatever it should have started.
func (w *worker) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.reaped {
		confine.KillGroup(w.command.Process.Pid)
	}
	_ = w.command.Process.Kill()
}

// stop ends the process by force and waits until it is gone.
func (w *worker) stop() {
	w.kill()
	<-w.exited
	_ = w.to.Close()
	_ = w.from.Close()
}

// run makes the worker carry out the order. It says whether the worker can be used again.
func (w *worker) run(ctx context.Context, stopped <-chan struct{}, o order) (Result, bool, error) {
	w.tenant = o.Tenant
	w.jobs++
	w.output.Begin()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{worker: w, order: o, began: make(chan struct{}), looked: map[string]bool{}, peeked: map[string]bool{}}
	s.files = artifact.NewFS(o.Tree, func(d fleet.Digest) ([]byte, error) { return o.Blob(ctx, d) })
	guard := w.guard(ctx, cancel, s.began, stopped)
	objects, err := s.serve()
	guard()

	var broken *brokenError
	isBroken := errors.As(err, &broken)
	cause := context.Cause(ctx)
	reusable := cause == nil && !isBroken
	switch {
	case cause != nil: // killed, whatever it said before
		err = s.describe(cause)
	case s.failure != nil: // what the build made of it is beside the point
		err = s.failure
	case isBroken:
		err = s.describe(w.postMortem(broken, s.heard))
	default:
		err = s.describe(err)
	}
	told := reusable || s.made != nil
	if err != nil && s.made != nil && s.outcome.Difference == nil {
		w.config.Log.Warn("kustomize did not come to the end of a build that it repeated", "tenant", o.Tenant, "path", o.Path, "err", err)
		objects, err, reusable, s.outcome.Skipped = s.made, nil, false, true
	}
	result := Result{Objects: objects, Inputs: s.inputs(told), outcome: s.outcome, Way: s.outcome.Way, Reason: s.outcome.Reason, Difference: s.outcome.Difference}
	return result, reusable && !s.outcome.Alone, err
}

// guard kills the process when the context ends, the time is over or too much memory is used; the context's cause says
// which. The function it returns ends the watch and waits for it.
func (w *worker) guard(ctx context.Context, cancel context.CancelCauseFunc, began, stopped <-chan struct{}) func() {
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		deadline := time.NewTimer(startTime)
		defer deadline.Stop()
		late := error(&goneError{fmt.Sprintf("it was not ready within %s", startTime)})
		memory := time.NewTicker(100 * time.Millisecond)
		defer memory.Stop()
		for {
			select {
			case <-done:
				return
			case <-began:
				began = nil
				deadline.Reset(w.config.Wall)
				late = &limitError{why: fmt.Sprintf("it took longer than %s", w.config.Wall), time: true}
				continue
			case <-ctx.Done():
			case <-stopped:
				cancel(errStopped)
			case <-deadline.C:
				cancel(late)
			case <-memory.C:
				// RLIMIT_DATA stops nearly all before it; mapped memory that it does not count ends here.
				if confine.Resident(w.command.Process.Pid) <= w.config.Memory+confine.CodeSize {
					continue
				}
				cancel(overMemory(w.config))
			}
			w.kill()
			return
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// startTime is how long a fresh worker may take to begin its first job.
const startTime = 30 * time.Second
