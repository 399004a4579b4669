package process

import (
	"syscall"
	"time"
)

// PID is the process's number.
func (p *Process) PID() int { return p.command.Process.Pid }

// Used is what a process that has ended has used: processor time, and memory at most.
func (p *Process) Used() (cpu time.Duration, memory int64) {
	state := p.command.ProcessState
	usage, _ := state.SysUsage().(*syscall.Rusage)
	if usage == nil {
		return 0, 0
	}
	return state.UserTime() + state.SystemTime(), usage.Maxrss << 10
}
