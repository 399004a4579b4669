package worker

import (
	"cmp"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
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

	// release and run are the digests of what is to run, if a worker has taken it: they are asked for all the time.
	release, run fleet.Digest
}

// named has the digests of what is to run at hand.
func (a Assigned) named() Assigned {
	a.release = a.Release.Digest()
	a.run = fleet.RunDigest(a.release, a.Binding.Digest())
	return a
}

// RunDigest names what is to run.
func (a Assigned) RunDigest() fleet.Digest {
	if a.run.IsZero() {
		a = a.named()
	}
	return a.run
}

// releaseDigest names the Release.
func (a Assigned) releaseDigest() fleet.Digest {
	if a.release.IsZero() {
		a = a.named()
	}
	return a.release
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

// passTime bounds a pass or a removal.
func (a Assigned) passTime() time.Duration {
	if a.App.Kind != flux.HelmReleaseKind {
		return max(a.timeout(), minPassTime)
	}
	// Helm waits by itself, in each thing that it does. In one pass that may be all of these.
	h := a.Helm
	bound := minPassTime + helmWait
	for _, timeout := range []time.Duration{h.Uninstall, max(h.Install, h.Upgrade), h.Test, max(h.Rollback, h.Uninstall)} {
		bound += cmp.Or(timeout, a.timeout())
	}
	return bound
}

// tombstone reports whether the Assignment is to end.
func (a Assigned) tombstone() bool { return a.State == fleet.Removed }
