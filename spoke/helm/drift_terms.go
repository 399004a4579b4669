package helm

import (
	"cmp"
	"fmt"
	"reflect"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
)

// terms are how an App's objects are treated: what its spec says of that, worked out. They hold from the moment at which a
// pass, or Load, begins.
type terms struct {
	// by is who does it.
	by     *account.Account
	mode   string
	ignore apply.Ignore
	health *expr.Health
	said   said
}

// said is what the spec says.
type said struct {
	account string
	drift   flux.HelmDriftDetection
	health  []fleet.HealthCheckExpr
}

// agree makes what the App's plan says its terms; nil: there is no plan yet. Under other terms, objects are looked at again.
func (e *Engine) agree(a *app) (*terms, error) {
	a.mu.Lock()
	plan, before := a.plan, a.terms
	a.mu.Unlock()
	if plan == nil {
		return nil, nil
	}
	now := said{account: plan.Spec.ServiceAccountName, health: plan.Spec.HealthCheckExprs}
	if plan.Spec.DriftDetection != nil {
		now.drift = *plan.Spec.DriftDetection
	}
	if before != nil && reflect.DeepEqual(before.said, now) {
		return before, nil
	}
	after := &terms{mode: cmp.Or(now.drift.Mode, flux.HelmDriftDisabled), said: now}
	var err error
	if after.ignore, err = apply.NewIgnore(now.drift.Ignore); err != nil {
		return nil, fmt.Errorf("spec.driftDetection.%w", err)
	}
	if after.health, err = expr.NewHealth(now.health); err != nil {
		return nil, fmt.Errorf("spec.healthCheckExprs: %w", err)
	}
	if after.by, err = e.accounts.Hire(a.key.Namespace, now.account, e.config.DefaultServiceAccount); err != nil {
		return nil, fmt.Errorf("spec.serviceAccountName: %w", err)
	}
	a.mu.Lock()
	if a.terms != before { // somebody else was faster
		a.mu.Unlock()
		e.accounts.Dismiss(after.by)
		return e.agree(a)
	}
	a.terms = after
	clear(a.failed) // under other terms it is told again
	if after.mode == flux.HelmDriftDisabled {
		clear(a.drifted)
	}
	own := a.objects
	a.mu.Unlock()
	if e.known(a.key) != a { // it ended meanwhile
		e.unfollow(a)
		return nil, nil
	}
	if before == nil {
		return after, nil
	}
	e.accounts.Dismiss(before.by)
	for _, ref := range own.Refs() {
		if e.owner(ref) == a && (before.health.Judges(ref) || after.health.Judges(ref)) {
			e.health.Again(ref)
		}
	}
	if after.mode != flux.HelmDriftDisabled {
		e.tracker.Doubt(own.Refs()...)
	}
	return after, nil
}

// following is what is known of an App's objects. It is under app.mu.
type following struct {
	terms   *terms
	objects *objects
	// unread is why it is not known which objects there are; recheck says that they may be others.
	unread  error
	recheck bool
	// disturbed says that somebody else has written to Helm's storage, and no pass has come to its end since.
	disturbed bool
	// drifted are the objects that are not as stored, and are not put right, and elsewhere those that are another App's.
	drifted   map[fleet.ObjectRef]difference
	elsewhere map[fleet.ObjectRef]string
	// failed are objects whose correction failed, with what people were told of it.
	failed      map[fleet.ObjectRef]string
	corrections uint64
	// correcting is how many objects are looked at or corrected; idle is closed when there are none any more.
	correcting int
	idle       chan struct{}
}

func newFollowing() following {
	return following{
		drifted: map[fleet.ObjectRef]difference{}, elsewhere: map[fleet.ObjectRef]string{}, failed: map[fleet.ObjectRef]string{},
	}
}
