package sdk

import (
	"errors"
	"fmt"

	helm "helm.sh/helm/v4/pkg/action"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// rollback makes what a version was a new version.
func (a *action) rollback() error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	if a.request.Version <= 0 {
		return fmt.Errorf("%w: rollback to version %d: there is no such version", fleet.ErrInvalid, a.request.Version)
	}
	found, err := config.Releases.Get(a.job.Release, a.request.Version)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return fmt.Errorf("%w: rollback to version %d: it is not stored any more", fleet.ErrInvalid, a.request.Version)
	}
	if err != nil {
		return err
	}
	to, is := found.(*release.Release)
	if !is {
		return errForeign
	}
	o := a.rollbackOptions()
	rollback := helm.NewRollback(config)
	rollback.ServerSideApply = serverSideMode(o.ServerSideApply)
	if rollback.ServerSideApply == likeBefore {
		rollback.ServerSideApply = modeOf(to)
	}
	rollback.ForceConflicts = rollback.ServerSideApply == serverSide
	rollback.ForceReplace = o.Force && !rollback.ForceConflicts
	rollback.Version = a.request.Version
	rollback.Timeout = a.job.TimeoutOf(job.Rollback)
	rollback.WaitStrategy = a.waiting(o.DisableWait)
	rollback.WaitForJobs = !o.DisableWaitForJobs
	rollback.DisableHooks = o.DisableHooks
	rollback.CleanupOnFail = o.CleanupOnFail
	rollback.MaxHistory = a.maxHistory()
	a.digests[to.Version] = a.ociDigest(to)
	err = rollback.Run(a.job.Release)
	if err != nil && a.ctx.Err() != nil {
		return errors.Join(err, a.fail(config, "it was cut short")) // Helm leaves it pending where a hook was under way
	}
	return err
}
