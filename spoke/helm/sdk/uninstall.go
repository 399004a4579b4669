package sdk

import (
	"cmp"
	"errors"
	"fmt"

	helm "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage/driver"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// uninstall deletes the objects of a release, and its versions unless they are to be kept. A release that is not there, or
// was uninstalled before, is uninstalled.
func (a *action) uninstall() error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	o := a.uninstallOptions()
	newest, err := last(config, a.job.Release)
	switch {
	case errors.Is(err, driver.ErrNoDeployedReleases):
		return nil
	case err != nil:
		return err
	case o.KeepHistory && newest.Info.Status == common.StatusUninstalled:
		return nil
	}
	uninstall := helm.NewUninstall(config)
	uninstall.Timeout = a.job.TimeoutOf(job.Uninstall)
	uninstall.DisableHooks = o.DisableHooks
	uninstall.KeepHistory = o.KeepHistory
	uninstall.WaitStrategy = a.waiting(o.DisableWait)
	uninstall.DeletionPropagation = cmp.Or(o.DeletionPropagation, defaultDeletion)
	if _, err := uninstall.Run(a.job.Release); err != nil {
		if said := a.heard(); said != nil && !errors.Is(err, said) {
			return fmt.Errorf("%w: %w", err, said) // Helm does not tell why objects could not be deleted
		}
		return err
	}
	return nil
}
