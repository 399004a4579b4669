package helm

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// busy is an action that the newest version is in, and since when that is known.
type busy struct {
	version int
	status  string
	since   time.Time
}

// patience is how long an action that the newest version is in may take yet, if it is somebody else's: as long as ours may,
// from when it began. One that began later than it was seen has another clock.
func (p *pass) patience(now time.Time) time.Duration {
	if len(p.stored) == 0 {
		return 0
	}
	last := p.stored[0]
	action, began := job.Action(strings.TrimPrefix(last.Status, "pending-")), last.LastDeployed
	switch {
	case last.Status == statusUninstalling:
		action, began = job.Uninstall, last.Deleted
	case !slices.Contains(pendings, last.Status):
		return 0
	}
	if is := p.app.busy; is.version != last.Version || is.status != last.Status {
		p.app.busy = busy{last.Version, last.Status, now}
	}
	if since := p.app.busy.since; began.IsZero() || began.After(since) {
		began = since
	}
	return began.Add(p.timeout(action)).Sub(now)
}

// yield leaves a release that is to be gone to somebody else's action on it; nil: none is under way.
func (p *pass) yield(now time.Time) error {
	if left := p.patience(now); left > 0 && !p.view().ours() {
		return othersTurn("it is "+p.stored[0].Status, left)
	}
	return nil
}

// othersTurn is why a pass ends that leaves a release to somebody else's action.
func othersTurn(why string, left time.Duration) *Failure {
	return &Failure{Reason: reasonPending, RetryAfter: left, Err: fmt.Errorf("somebody else's action on the release is under way (%s); "+
		"if it does not end, the release is taken back after %s", why, left.Round(time.Second))}
}
