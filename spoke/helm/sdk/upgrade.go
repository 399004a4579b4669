package sdk

import (
	"errors"

	helm "helm.sh/helm/v4/pkg/action"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// upgrade applies the chart's CRDs, then upgrades the release.
func (a *action) upgrade() error {
	config, loaded, err := a.ready()
	if err != nil {
		return err
	}
	upgrade, err := a.newUpgrade(config)
	if err != nil {
		return err
	}
	if err := a.checkSchemas(loaded, upgrade.SkipSchemaValidation); err != nil {
		return err
	}
	err = a.applyCRDs(config, loaded, crds{
		policy: a.upgradeOptions().CRDs, serverSide: upgrade.ServerSideApply == serverSide, strategy: upgrade.WaitStrategy,
	})
	if err != nil {
		return err
	}
	_, err = upgrade.RunWithContext(a.rendering(), a.job.Release, loaded, copied(a.prepared.values.merged))
	return err
}

func (a *action) newUpgrade(config *helm.Configuration) (*helm.Upgrade, error) {
	o := a.upgradeOptions()
	upgrade := helm.NewUpgrade(config)
	upgrade.ServerSideApply = serverSideMode(o.ServerSideApply)
	if upgrade.ServerSideApply == likeBefore {
		last, err := last(config, a.job.Release)
		if err != nil {
			return nil, err
		}
		upgrade.ServerSideApply = modeOf(last)
	}
	upgrade.ForceConflicts = upgrade.ServerSideApply == serverSide
	upgrade.ForceReplace = o.Force && !upgrade.ForceConflicts // the API server cannot do both
	upgrade.Namespace = a.job.Namespace
	upgrade.ResetValues = !o.PreserveValues
	upgrade.ReuseValues = o.PreserveValues
	upgrade.MaxHistory = a.maxHistory()
	upgrade.Timeout = a.job.TimeoutOf(job.Upgrade)
	upgrade.TakeOwnership = !o.DisableTakeOwnership
	upgrade.WaitStrategy = a.waiting(o.DisableWait)
	upgrade.WaitForJobs = !o.DisableWaitForJobs
	upgrade.DisableHooks = o.DisableHooks
	upgrade.DisableOpenAPIValidation = o.DisableOpenAPIValidation
	upgrade.SkipSchemaValidation = o.DisableSchemaValidation
	upgrade.CleanupOnFail = o.CleanupOnFail
	upgrade.PostRenderer = a.postRenderer()
	upgrade.PostRenderStrategy = a.postRenderStrategy()
	return upgrade, nil
}

// last is the newest version of a release.
func last(config *helm.Configuration, name string) (*release.Release, error) {
	found, err := config.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, driver.NewErrNoDeployedReleases(name)
	}
	if err != nil {
		return nil, err
	}
	version, is := found.(*release.Release)
	if !is {
		return nil, errForeign
	}
	return version, nil
}

// errForeign is a release of a kind that Helm 4 does not make.
var errForeign = errors.New("the release is stored in a form that is not known here")

// modeOf is how a version was applied; those that do not say were applied by the client.
func modeOf(r *release.Release) string {
	if r.ApplyMethod == string(release.ApplyMethodServerSideApply) {
		return serverSide
	}
	return clientSide
}
