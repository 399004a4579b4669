package helm

import (
	"context"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// moves reports whether the App had its release under another name, or in another namespace.
func (p *pass) moves() bool {
	r := p.app.record()
	return r.Target != nil && r.Target.names != p.names && (len(r.Status.History) > 0 || r.Intent != nil)
}

// move uninstalls the release that the App had elsewhere: its objects would be in the way of the new one's, or stay for ever.
func (p *pass) move(ctx context.Context) error {
	r := p.app.record()
	j := job.Job{
		App: p.app.key, Plan: r.Target.plan(), Binding: p.target.Binding, Controls: p.target.Controls.Helm,
		Timeout: timeoutOf(p.target.Controls), OCIDigests: ociDigests(r.Status.History), Plain: r.Plain,
	}
	j.Plan.Spec.ServiceAccountName = p.plan.Spec.ServiceAccountName
	j.Plan.Spec.Uninstall = p.plan.Spec.Uninstall
	if err := p.start(ctx, r.Target.names, j, nil); err != nil {
		return err
	}
	defer p.close()
	if err := p.observe(ctx); err != nil {
		return err
	}
	return p.retire(ctx, "it is to be elsewhere")
}

// rename uninstalls a release of another chart, unless it is to become one of this.
func (p *pass) rename(ctx context.Context) error {
	r := p.app.record()
	inPlace := p.plan.Spec.Upgrade != nil && p.plan.Spec.Upgrade.ChartNameChangeStrategy == "InPlaceUpdate"
	if inPlace || r.Target == nil || len(r.Status.History) == 0 || r.Status.History[0].ChartName == p.prepared.ChartName {
		return nil
	}
	if err := p.retire(ctx, "it is to be of another chart"); err != nil {
		return err
	}
	return p.observe(ctx)
}

// retire uninstalls what the App had, and forgets it.
func (p *pass) retire(ctx context.Context, why string) error {
	if r := p.app.record(); len(p.stored) > 0 && len(r.Status.History) > 0 {
		if err := p.yield(time.Now()); err != nil {
			return err
		}
		if err := p.act(ctx, step{action: job.Uninstall, why: why, retire: true}); err != nil {
			return err
		}
	}
	p.app.update(func(r *record) {
		r.Status = forgiven(r.Status)
		r.Status.History, r.Status.StorageNamespace, r.Status.Remediated = nil, "", fleet.Condition{}
		r.Target, r.Intent, r.Interrupted, r.Quiet = nil, nil, "", nil
		r.Applied, r.Bound, r.Patched, r.Wanted = fleet.Digest{}, fleet.Digest{}, fleet.Digest{}, ""
	})
	return p.engine.save(ctx, p.app)
}

// plan is what it takes to get rid of a release.
func (t *target) plan() flux.HelmPlan {
	return flux.HelmPlan{Spec: flux.HelmReleaseSpec{
		ReleaseName: t.Release, TargetNamespace: t.Namespace, StorageNamespace: t.Storage,
		ServiceAccountName: t.ServiceAccount, Uninstall: t.Uninstall, WaitStrategy: t.WaitStrategy,
	}}
}
