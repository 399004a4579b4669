package deploy

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// terms are how an App's objects are treated: what its Release says of that, worked out. They hold from the moment at
// which a pass, or Load, begins, for corrections too.
type terms struct {
	// by is who does it.
	by *account
	// force has objects made anew that cannot become what they should be.
	force bool
}

// agree makes what a Release says the App's terms. The caller has the App's token.
func (e *Engine) agree(a *app, release fleet.Release) error {
	by, err := e.accounts.hire(a.key.Namespace, release.ServiceAccountName, e.config.DefaultServiceAccount)
	if err != nil {
		return fmt.Errorf("spec.serviceAccountName: %w", err)
	}
	a.mu.Lock()
	before := a.terms.by
	a.terms = terms{by: by, force: release.Force}
	a.mu.Unlock()
	e.accounts.dismiss(before)
	return nil
}

// agreed returns the App's terms. Before there are any, the spoke itself only looks.
func (e *Engine) agreed(a *app) terms {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.terms.by == nil {
		return terms{by: e.accounts.self}
	}
	return a.terms
}

// blame is account.blame of the App's.
func (e *Engine) blame(ctx context.Context, a *app, err error) error {
	return e.agreed(a).by.blame(ctx, e.client, err)
}
