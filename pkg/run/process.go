//go:build unix

package run

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a child. Nobody but its own goroutine waits for it.
type Process struct {
	pid  int
	done chan struct{}
	err  error // set before done is closed
}

// Start starts the command in a process group, a new one unless the command names one. When this process ends, however
// it ends, the child gets the signal; on other systems than Linux it gets none.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	signalOnDeath(cmd.SysProcAttr, onDeath)
	p := &Process{done: make(chan struct{})}
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

// PID is the process id.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait returns when the process has ended: nil, or what exec.Cmd.Wait says of the end.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}
