package helm

import (
	"cmp"
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Removal is how an App is to end.
type Removal struct {
	App       fleet.Key
	Tombstone fleet.Tombstone
	Controls  fleet.Controls
	// Waits is that of a Target.
	Waits func() (over func())
}

// Remove ends an App as its tombstone says, and reports whether it is done. It can be repeated after any failure and after
// it was done. It needs neither the chart nor the Manifest: what an uninstall needs is in the record.
//
// A tombstone that does not delete leaves the release as it is: Helm, a Flux or an App of the same name may go on with it.
func (e *Engine) Remove(ctx context.Context, r Removal) (done bool, err error) {
	if !r.Tombstone.Delete {
		return e.orphan(ctx, r.App)
	}
	a, unlock, err := e.enter(ctx, r.App)
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", r.App.Words(), err)
	}
	defer unlock()
	if err := e.refuseFlux(ctx, r.App); err != nil {
		return false, err
	}
	record := a.record()
	if record.Target == nil || len(record.Status.History) == 0 && record.Intent == nil {
		return true, e.leave(ctx, a) // nothing was ever released
	}
	// As with Flux, an account that is gone holds up no App's end: nobody is left on whose behalf it could be uninstalled.
	switch account, there, err := e.account(ctx, a.key, record.Target.ServiceAccount); {
	case err != nil:
		return false, &Failure{Err: err, Reason: job.Uninstall.Failed(), Transient: true}
	case !there:
		e.event(a, fleet.Event{Warning: true, Reason: reasonOrphaned, Message: fmt.Sprintf(
			"ServiceAccount/%s/%s does not exist: release %s cannot be uninstalled on its behalf, and stays",
			a.key.Namespace, account, releaseName(record))})
		return true, e.leave(ctx, a)
	}
	turn, err := e.turn(ctx, a.key.Namespace, r.Waits)
	if err != nil {
		return false, err
	}
	defer turn()
	p := &pass{engine: e, app: a, target: Target{App: a.key, Controls: r.Controls, Waits: r.Waits}, plan: record.Target.plan(), names: record.Target.names}
	err = p.uninstall(ctx)
	p.conclude(err)
	if err != nil {
		return false, err
	}
	return true, e.leave(ctx, a)
}

// uninstall gets rid of the release, whatever state it is in.
func (p *pass) uninstall(ctx context.Context) error {
	p.engine.storage.forget(p.app.key)
	j := p.job()
	if err := p.start(ctx, p.names, j, nil); err != nil {
		return err
	}
	defer p.close()
	if err := p.observe(ctx); err != nil {
		return err
	}
	r := p.app.record()
	keep := r.Target.Uninstall != nil && r.Target.Uninstall.KeepHistory
	if len(p.stored) == 0 || len(r.Status.History) == 0 || keep && p.stored[0].Status == statusUninstalled {
		return nil // it is gone, or was never ours
	}
	if err := p.yield(time.Now()); err != nil {
		return err
	}
	return p.act(ctx, step{action: job.Uninstall, why: "its App is to end", retire: true})
}

// orphan needs no record that can be read: it says of no release what is to become of it.
func (e *Engine) orphan(ctx context.Context, key fleet.Key) (bool, error) {
	a, unlock, err := e.take(ctx, key)
	if err != nil {
		return false, fmt.Errorf("remove %s: %w", key.Words(), err)
	}
	defer unlock()
	if r := a.record(); r.Target != nil && len(r.Status.History) > 0 {
		e.event(a, fleet.Event{Reason: reasonOrphaned, Message: fmt.Sprintf("release %s stays in the cluster, without an owner", releaseName(r))})
	}
	return true, e.leave(ctx, a)
}

// leave drops an App, and leaves what there is of its release as it is.
func (e *Engine) leave(ctx context.Context, a *app) error {
	if err := e.store.drop(ctx, a.key); err != nil {
		return err
	}
	e.drop(a)
	return nil
}

// account is the ServiceAccount that acts for an App, and whether there is such a one; the spoke itself there always is.
func (e *Engine) account(ctx context.Context, app fleet.Key, named string) (name string, there bool, err error) {
	name = cmp.Or(named, e.config.DefaultServiceAccount)
	if name == "" {
		return "", true, nil
	}
	_, err = e.client.ServiceAccounts(app.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return name, false, nil
	}
	return name, err == nil, err
}

func releaseName(r record) string { return r.Target.Namespace + "/" + r.Target.Release }
