package worker

import (
	"cmp"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Assigned is an Assignment as the desired state has it.
type Assigned struct {
	fleet.Assignment
	// Epoch is that of the state.
	Epoch uint64
	// Kept says that the state does not name it any more: it is kept as it was, and not reported.
	Kept bool
	// Err says why the Assignment is not understood, as when it is a newer hub's. What is there stays.
	Err error
}

// generation numbers what an Assignment says. Generations of a new epoch have nothing to do with those before.
type generation struct{ epoch, number uint64 }

// generation returns that of the Assignment; zero: nothing was assigned.
func (a Assigned) generation() generation {
	if a.Generation == 0 {
		return generation{}
	}
	return generation{a.Epoch, a.Generation}
}

const (
	// defaultInterval and defaultTimeout stand in for controls that the hub did not set.
	defaultInterval = 10 * time.Minute
	defaultTimeout  = 5 * time.Minute
	// fullPeriod is how often, at most, everything is verified without anybody asking.
	fullPeriod = time.Hour
)

func (a Assigned) interval() time.Duration { return cmp.Or(a.Interval, defaultInterval) }
func (a Assigned) retryInterval() time.Duration {
	return cmp.Or(a.RetryInterval, a.interval())
}
func (a Assigned) timeout() time.Duration { return cmp.Or(a.Timeout, defaultTimeout) }

// tombstone reports whether the Assignment is to end.
func (a Assigned) tombstone() bool { return a.State == fleet.Removed }
