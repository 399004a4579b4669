//go:build unix

package postgres

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"flotilla.dev/flotilla/pkg/run"
)

// process is a server or its initdb.
type process struct{ *run.Process }

// startProcess starts a command that is asked for a fast shutdown when this process ends, where the system can do that.
// Elsewhere the next Start on the directory ends the orphan.
func startProcess(cmd *exec.Cmd) (*process, error) {
	// Wait also waits for the backends, which hold the output open: a killed postmaster's go by themselves, soon.
	cmd.WaitDelay = 10 * time.Second
	started, err := run.Start(cmd, syscall.SIGINT)
	if err != nil {
		return nil, err
	}
	return &process{started}, nil
}

// stop sends the signal, waits for the end, and kills a process that does not obey.
func (p *process) stop(signal syscall.Signal) {
	if p.Ended() {
		return
	}
	_ = syscall.Kill(p.PID(), signal) // not reaped yet or just now: there is nobody else to hit
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case <-p.Done():
		return
	case <-patience.C:
	}
	_ = syscall.Kill(p.PID(), syscall.SIGKILL)
	<-p.Done()
}

// exit says how an ended process ended; nil for success.
func (p *process) exit() error {
	err := p.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	return err
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
