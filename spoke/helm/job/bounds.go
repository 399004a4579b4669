package job

import (
	"cmp"
	"time"
)

// defaultTimeout is Flux's, where nothing says how long an action may take.
const defaultTimeout = 5 * time.Minute

// waitingShare of its timeout is what an action may use of processor time to look at the objects that it waits for.
const waitingShare = 20

// TimeoutOf is how long an action waits: its own time, or the App's.
func (j *Job) TimeoutOf(action Action) time.Duration {
	c := j.Controls
	own := map[Action]time.Duration{Install: c.Install, Upgrade: c.Upgrade, Test: c.Test, Rollback: c.Rollback, Uninstall: c.Uninstall}[action]
	return cmp.Or(own, j.Timeout, defaultTimeout)
}

// CPU is the processor time that an action may use where one that does not wait may use so much.
func (j *Job) CPU(least time.Duration, action Action) time.Duration {
	switch action {
	case Install, Upgrade, Test, Rollback, Uninstall:
		return least + j.TimeoutOf(action)/waitingShare
	}
	return least
}
