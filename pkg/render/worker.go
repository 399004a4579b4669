package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
)

// worker is a child process, seen from the pool. One goroutine uses it at a time.
type worker struct {
	config Config
	tenant string // whose builds it has made
	jobs   int    // how many; none yet: it is fresh

	command *exec.Cmd
	to      *os.File
	from    *os.File
	output  *output
	exited  chan struct{} // closed when the process is gone and its output is read
}

// startWorker starts a process that will serve jobs. It returns before the process is ready for them; they wait in the
// pipe.
func startWorker(config Config) (_ *worker, err error) {
	value, err := json.Marshal(settings{Memory: config.Memory, CPU: config.CPU})
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
	w := &worker{config: config, to: to, from: from, exited: make(chan struct{})}
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
	w.output = &output{log: config.Log.With("worker", w.command.Process.Pid)}
	go func() {
		defer close(w.exited)
		w.output.read(printed)
		_ = printed.Close()
		_ = w.command.Wait() // its state says how it ended
	}()
	return w, nil
}

func command(config Config, value string, stderr *os.File, files []*os.File) (*exec.Cmd, error) {
	binary, err := executable()
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
		SysProcAttr: attributes(),
		Env: []string{
			variable + "=" + value,
			"GOMEMLIMIT=" + strconv.FormatInt(memoryLimit(config.Memory), 10),
			"GOGC=200",
			"GOTRACEBACK=none", // the reason of a crash is enough, and is one line
			"TMPDIR=/nonexistent",
		},
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

// stop ends the process, if need be by force, and waits until it is gone.
func (w *worker) stop() {
	_ = w.command.Process.Kill()
	<-w.exited
	_ = w.to.Close()
	_ = w.from.Close()
}

// run makes the worker build the job. It says whether the worker can be used again.
func (w *worker) run(ctx context.Context, stopped <-chan struct{}, job Job, hook string) (Result, bool, error) {
	w.tenant = job.Tenant
	w.jobs++
	w.output.begin()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &session{worker: w, job: job, began: make(chan struct{})}
	guard := w.guard(ctx, cancel, s.began, stopped)
	s.files = build.NewRecorder(artifact.NewFS(job.Tree, func(d fleet.Digest) ([]byte, error) { return job.Blob(ctx, d) }))
	objects, err := s.serve(hook)
	guard()

	var broken *brokenError
	isBroken := errors.As(err, &broken)
	result := Result{Objects: objects, Inputs: s.files.Inputs()}
	switch cause := context.Cause(ctx); {
	case cause != nil: // killed, whatever it said before
		return result, false, s.describe(cause)
	case s.failure != nil: // what the build made of it is beside the point
		return result, !isBroken, s.failure
	case isBroken:
		return result, false, s.describe(w.postMortem(broken, s.heard))
	}
	return result, true, err
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
				late = &limitError{fmt.Sprintf("it took longer than %s", w.config.Wall)}
				continue
			case <-ctx.Done():
			case <-stopped:
				cancel(errStopped)
			case <-deadline.C:
				cancel(late)
			case <-memory.C:
				// RLIMIT_DATA stops nearly all before it; mapped memory that it does not count ends here.
				if resident(w.command.Process.Pid) <= w.config.Memory+residentSlack {
					continue
				}
				cancel(overMemory(w.config))
			}
			_ = w.command.Process.Kill()
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

// residentSlack is the worker's code, which is resident and no work of the build.
const residentSlack = 128 << 20

// session is one job at a worker.
type session struct {
	worker  *worker
	job     Job
	files   *build.Recorder
	heard   bool          // the worker has said something
	began   chan struct{} // closed when it has
	last    string        // the file read last
	failure error         // of reading a file: the pool's, not the build's
}

// serve sends the job and answers the worker's questions until there is a result.
func (s *session) serve(hook string) ([][]byte, error) {
	payload, err := json.Marshal(task{Path: s.job.Path, Spec: s.job.Spec, Hook: hook})
	if err != nil {
		return nil, err
	}
	if err := send(s.worker.to, msgJob, payload); err != nil {
		return nil, &brokenError{err}
	}
	for {
		kind, payload, err := receive(s.worker.from, maxToPool)
		if kind != 0 && !s.heard {
			s.heard = true
			close(s.began)
		}
		if err != nil {
			return nil, &brokenError{err}
		}
		switch kind {
		case msgObjects:
			objects, err := decodeObjects(payload)
			if err != nil {
				return nil, &brokenError{err}
			}
			return objects, nil
		case msgEncrypted:
			return nil, decodeEncrypted(payload)
		case msgError:
			return nil, decodeError(payload)
		}
		answer, err := s.answer(kind, string(payload))
		if err == nil {
			err = send(s.worker.to, msgAnswer, answer)
		}
		if err != nil {
			return nil, &brokenError{err}
		}
	}
}

// maxInputs bounds what a build may look at: no tree has more, and each is remembered. Tests lower it.
var maxInputs = 2 * artifact.MaxEntries

func (s *session) answer(kind byte, name string) ([]byte, error) {
	if s.files.Len() > maxInputs {
		return nil, &protocolError{fmt.Sprintf("it asked for more than %d files", maxInputs)}
	}
	if name != "." && artifact.CheckPath(name) != nil {
		return []byte{answerAbsent}, nil
	}
	out := []byte{answerFound}
	var err error
	switch kind {
	case msgRead:
		var data []byte
		s.last = name
		data, err = s.files.ReadFile(name)
		if len(data) >= maxToWorker {
			data = data[:maxToWorker-1] // still more than a build may read
		}
		out = append(out, data...)
	case msgList:
		var entries []fs.DirEntry
		entries, err = s.files.ReadDir(name)
		for _, entry := range entries {
			out = appendText(append(out, letter(entry.IsDir())), entry.Name())
		}
	case msgStat:
		var info fs.FileInfo
		if info, err = s.files.Stat(name); err == nil {
			out = append(out, letter(info.IsDir()))
		}
	default:
		return nil, &protocolError{fmt.Sprintf("it sent a message %q", kind)}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []byte{answerAbsent}, nil
	case errors.Is(err, fs.ErrInvalid): // a file is read as a directory, or the other way round
		return []byte{answerFailed}, nil
	case err != nil:
		s.failure = errors.Join(s.failure, err)
		return []byte{answerFailed}, nil
	}
	return out, nil
}

func letter(isDir bool) byte {
	if isDir {
		return 'd'
	}
	return 'f'
}

// describe adds to a failure where the build was, as far as that is known.
func (s *session) describe(err error) error {
	var limit *limitError
	if errors.As(err, &limit) && s.last != "" {
		return fmt.Errorf("%w (after reading %s)", err, s.last)
	}
	return err
}
