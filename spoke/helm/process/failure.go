package process

import (
	"errors"
	"fmt"
	"time"

	"flotilla.dev/flotilla/pkg/confine"
	"flotilla.dev/flotilla/pkg/fleet"
)

// errEnded says that the context of Start has ended.
var errEnded = errors.New("the pass has ended")

// errMalformed is a message that our program does not send, unless a chart has taken it over.
var errMalformed = errors.New("it sent a malformed message")

// exitTime is how long a process may take to end after it has closed its pipes.
const exitTime = 5 * time.Second

// overBound says which bound an action went over: the same chart with the same values will do it again.
func overBound(text string, args ...any) error {
	return fmt.Errorf("%w: %s", fleet.ErrInvalid, fmt.Sprintf(text, args...))
}

func (p *Process) overMemory() error {
	return overBound("it needs more memory than the %d MiB that Helm may use for a release; flotilla-spoke gives it more by --helm-bytes, as far as its container has it", p.config.Memory>>20)
}

// postMortem says why there is no more talking to the process, and ends it.
func (p *Process) postMortem(broken error) error {
	if errors.Is(broken, errMalformed) {
		return overBound("Helm's process crashed: %s", broken)
	}
	select {
	case <-p.exited:
	case <-time.After(exitTime):
		p.kill()
		<-p.exited
	}
	switch confine.Diagnose(p.output.Lines()) {
	case confine.OutOfMemory, confine.NoThread:
		return p.overMemory()
	case confine.TooDeep:
		return overBound("it is nested too deep: a template that includes itself, or values without end")
	case confine.OutOfCPU:
		return overBound("it used more than %s of processor time", p.cpu)
	}
	if confine.Killed(p.command.ProcessState) {
		return fmt.Errorf("Helm's process was killed from outside: %w", broken)
	}
	return overBound("Helm's process crashed: %s", p.command.ProcessState)
}
