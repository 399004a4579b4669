package helm

import (
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// sort is what an action is for. A pass does one of each, so that it comes to an end whatever a chart does.
type sort int

const (
	releasing sort = iota
	remediating
	trying
	unlocking
)

var sorts = map[job.Action]sort{
	job.Install: releasing, job.Upgrade: releasing, job.Rollback: remediating, job.Uninstall: remediating, job.Test: trying,
	job.Unlock: unlocking,
}

// step is what a pass does next: an action, or its end.
type step struct {
	state state
	why   string
	// action is empty at the end.
	action job.Action
	// version to roll back to, or to unlock.
	version int
	// replace says that an install takes the place of a version of ours.
	replace bool
	// forget says that what is recorded of the release counts no more.
	forget bool
	// retire says that an uninstall is no remedy: the release is not wanted any more.
	retire bool
	end    end
	// left is how long to wait at most.
	left time.Duration
}

// end is how a pass ends.
type end int

const (
	// settled: nothing is left to do before something changes.
	settled end = iota + 1
	// again: it goes on in another pass, soon; later: after the interval of the strategy RetryOnFailure.
	again
	later
	// waiting: somebody else's action is under way, and is left to come to its end.
	waiting
	// exhausted: no attempt is left; aimless: there is nothing to roll back to. Both hold until something changes.
	exhausted
	aimless
)

// next decides what to do with a release. It is pure: the same view gives the same step.
func next(v view) step {
	if slices.Contains(v.done, remediating) {
		return v.pause(true)
	}
	s, why := v.state()
	n := v.act(s)
	n.state, n.why = s, why
	if n.action != "" && slices.Contains(v.done, sorts[n.action]) {
		n = v.pause(false)
		n.state, n.why = s, why
	}
	return n
}

func (v view) act(s state) step {
	switch s {
	case absent:
		if v.exhausted(job.Install) && !v.force && v.interrupted != job.Install {
			return step{end: exhausted}
		}
		return v.install()
	case locked, leaving:
		if v.left > 0 && !v.ours() {
			return step{end: waiting, left: v.left}
		}
		if s == locked {
			return step{action: job.Unlock, version: v.stored[0].Version}
		}
		return step{action: job.Uninstall}
	case unmanaged:
		return step{action: job.Upgrade, forget: true}
	case outOfSync:
		if v.exhausted(job.Upgrade) && !v.force && v.interrupted != job.Upgrade {
			return step{end: exhausted}
		}
		return step{action: job.Upgrade}
	case failed:
		return v.recover()
	case untested:
		return step{action: job.Test}
	}
	if v.force {
		return step{action: job.Upgrade}
	}
	return step{end: settled}
}

// install takes the place of what is left of a release of ours, whoever uninstalled it: an install that was cut short, or a history
// that was kept. Another's it leaves to the spec. Where histories are kept, one may be ours of which nothing is recorded any more:
// that of an App that ended, or of another chart.
func (v view) install() step {
	kept := v.spec.Uninstall != nil && v.spec.Uninstall.KeepHistory && len(v.stored) > 0 && v.stored[0].Status == statusUninstalled
	ours := kept || len(v.stored) > 0 && slices.ContainsFunc(v.status.History, func(s fleet.HelmSnapshot) bool { return s.Version == v.stored[0].Version })
	return step{action: job.Install, replace: ours}
}

// recover decides what to do with a release whose newest version failed, or failed its tests.
func (v view) recover() step {
	r := v.remediation()
	switch {
	case v.interrupted == job.Install && !slices.ContainsFunc(v.stored, wasGood):
		return v.install() // its hooks may not have run, and those of an upgrade are others
	case v.interrupted == job.Install, v.interrupted == job.Upgrade:
		return step{action: job.Upgrade}
	case v.retries(), r == nil, r.failures <= 0, v.force: // of whatever failed before, other things are wanted now
		return step{action: job.Upgrade}
	case r.exhausted() && !r.last:
		return step{end: exhausted}
	case r.uninstall:
		return step{action: job.Uninstall}
	}
	target, found := lastGood(v.status.History, r.ignoreTests)
	switch {
	case !found:
		return step{end: aimless}
	case !slices.ContainsFunc(v.stored, func(s fleet.HelmSnapshot) bool { return owns(target, s) }):
		return step{action: job.Upgrade} // it is gone, or not what it was
	}
	return step{action: job.Rollback, version: target.Version}
}

// pause ends a pass before the same sort of action is done twice, or after a remediation.
func (v view) pause(remediated bool) step {
	r := v.remediation()
	switch {
	case v.retries():
		return step{end: later}
	case r == nil, !r.exhausted(), remediated && r.after == job.Upgrade && r.uninstall:
		return step{end: again}
	case remediated:
		return step{end: exhausted}
	}
	return step{end: settled}
}

// lastGood is the newest version before the current one that was deployed once, and did not fail its tests.
func lastGood(history []fleet.HelmSnapshot, ignoreTests bool) (fleet.HelmSnapshot, bool) {
	for _, s := range history[min(1, len(history)):] {
		if wasGood(s) && (ignoreTests || !hasFailedTest(s)) {
			return s, true
		}
	}
	return fleet.HelmSnapshot{}, false
}

func wasGood(s fleet.HelmSnapshot) bool {
	return s.Status == statusDeployed || s.Status == statusSuperseded
}
