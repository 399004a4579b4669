package sdk

import (
	"context"
	"fmt"

	helm "helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// install installs the chart's CRDs, then the release.
func (a *action) install() error {
	config, loaded, err := a.ready()
	if err != nil {
		return err
	}
	o := a.installOptions()
	install := a.newInstall(config)
	if o.CRDs == "" && o.SkipCRDs {
		o.CRDs = "Skip" // what the older of the two fields says
	}
	if err := a.checkSchemas(loaded, install.SkipSchemaValidation); err != nil {
		return err
	}
	err = a.applyCRDs(config, loaded, crds{
		policy: o.CRDs, serverSide: install.ServerSideApply, strategy: install.WaitStrategy,
	})
	if err != nil {
		return err
	}
	_, err = install.RunWithContext(a.rendering(), loaded, copied(a.prepared.values.merged))
	return err
}

func (a *action) newInstall(config *helm.Configuration) *helm.Install {
	o := a.installOptions()
	install := helm.NewInstall(config)
	install.ServerSideApply = o.ServerSideApply == nil || *o.ServerSideApply
	install.ForceConflicts = install.ServerSideApply // what is in the way gives way, as in Flux
	install.ReleaseName = a.job.Release
	install.Namespace = a.job.Namespace
	install.Timeout = a.job.TimeoutOf(job.Install)
	install.TakeOwnership = !o.DisableTakeOwnership
	install.WaitStrategy = a.waiting(o.DisableWait)
	install.WaitForJobs = !o.DisableWaitForJobs
	install.DisableHooks = o.DisableHooks
	install.DisableOpenAPIValidation = o.DisableOpenAPIValidation
	install.SkipSchemaValidation = o.DisableSchemaValidation
	install.Replace = o.Replace || a.request.Replace
	install.SkipCRDs = true // they have been applied
	install.CreateNamespace = o.CreateNamespace && a.job.Plan.Spec.TargetNamespace != ""
	install.PostRenderer = a.postRenderer()
	install.PostRenderStrategy = a.postRenderStrategy()
	return install
}

// ready is what an install and an upgrade begin with.
func (a *action) ready() (*helm.Configuration, *chart.Chart, error) {
	if err := a.prepare(); err != nil {
		return nil, nil, err
	}
	a.answer.Prepared = nil
	loaded, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	config, err := a.configuration()
	if err != nil {
		return nil, nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return config, loaded, nil
}

// rendering is the context that Helm is given. It ends with the action's as long as nothing is stored: templates are cut
// short by it. From then on Helm would leave what it does to go on behind, so that the action ends by its calls instead.
func (a *action) rendering() context.Context {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(a.ctx))
	a.begun = context.AfterFunc(a.ctx, func() { cancel(errCut) })
	return ctx
}
