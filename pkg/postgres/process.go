//go:build unix

package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a started child. Nobody but its own goroutine waits for it.
type process struct {
	pid  int
	done chan struct{}
	err  error // set before done is closed
}

// startProcess starts a command that dies with this process where the system can do that.
func startProcess(cmd *exec.Cmd) (*process, error) {
	dieWithParent(cmd.SysProcAttr)
	// Wait also waits for the backends, which hold the output open: a killed postmaster's go by themselves, soon.
	cmd.WaitDelay = 10 * time.Second
	p := &process{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel takes the end of the thread that forked for the death of the parent, so the thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop sends the signal, waits for the end, and kills a process that does not obey.
func (p *process) stop(signal syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(p.pid, signal) // not reaped yet or just now: there is nobody else to hit
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case <-p.done:
		return
	case <-patience.C:
	}
	_ = syscall.Kill(p.pid, syscall.SIGKILL)
	<-p.done
}

// exit says how an ended process ended; nil for success.
func (p *process) exit() error {
	<-p.done
	if errors.Is(p.err, exec.ErrWaitDelay) {
		return nil
	}
	return p.err
}

// tail keeps the last of what a process writes, and hands whole lines to the log.
type tail struct {
	log *slog.Logger

	mu   sync.Mutex
	kept []byte
	line []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if extra := len(t.kept) - tailSize; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	if t.log == nil {
		return len(b), nil
	}
	t.line = append(t.line, b...)
	for {
		line, rest, found := strings.Cut(string(t.line), "\n")
		if !found {
			return len(b), nil
		}
		t.line = []byte(rest)
		level := slog.LevelDebug
		if strings.HasPrefix(line, "FATAL:") || strings.HasPrefix(line, "PANIC:") {
			level = slog.LevelWarn
		}
		t.log.Log(context.Background(), level, "postgres", "line", line)
	}
}

// String is what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
