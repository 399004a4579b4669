package deploy

import (
	"context"
	"fmt"
	"reflect"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
)

// terms are how an App's objects are treated: what its Release says of that, worked out. They hold from the moment at
// which a pass, or Load, begins, for corrections too.
type terms struct {
	// by is who does it.
	by *account.Account
	// force has objects made anew that cannot become what they should be.
	force bool
	// ignore are fields that are left to others, rules what the Release says of that.
	ignore apply.Ignore
	rules  []fleet.IgnoreRule
}

// agree makes what a Release says the App's terms. It reports whether they leave other fields to others than those
// before, or may: of an App that has objects and was not loaded, those before are not known. What was left, or not, then
// has to be looked at. The caller has the App's token.
func (e *Engine) agree(a *app, release fleet.Release) (other bool, err error) {
	ignore, err := apply.NewIgnore(release.Ignore)
	if err != nil {
		return false, fmt.Errorf("spec.%w", err)
	}
	by, err := e.accounts.Hire(a.key.Namespace, release.ServiceAccountName, e.config.DefaultServiceAccount)
	if err != nil {
		return false, fmt.Errorf("spec.serviceAccountName: %w", err)
	}
	a.mu.Lock()
	before := a.terms
	a.terms = terms{by: by, force: release.Force, ignore: ignore, rules: release.Ignore}
	a.mu.Unlock()
	e.accounts.Dismiss(before.by)
	if before.by == nil {
		return a.inv.Len() > 0, nil
	}
	return !reflect.DeepEqual(before.rules, release.Ignore), nil
}

// agreed returns the App's terms. Before there are any, the spoke itself only looks.
func (e *Engine) agreed(a *app) terms {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.terms.by == nil {
		return terms{by: e.accounts.Self}
	}
	return a.terms
}

// blame is Account.Blame of the App's.
func (e *Engine) blame(ctx context.Context, a *app, err error) error {
	return e.agreed(a).by.Blame(ctx, e.client, err)
}
