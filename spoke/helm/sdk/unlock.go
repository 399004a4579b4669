package sdk

import (
	"errors"
	"fmt"

	helm "helm.sh/helm/v4/pkg/action"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
)

// unlock marks a version failed that an action has left pending; a version that is not is left as it is.
func (a *action) unlock() error {
	config, err := a.configuration()
	if err != nil {
		return err
	}
	return a.fail(config, "")
}

// fail marks a version failed that is pending.
func (a *action) fail(config *helm.Configuration, why string) error {
	version, err := last(config, a.job.Release)
	if wanted := a.request.Version; err == nil && a.request.Action == "unlock" && wanted != 0 && wanted != version.Version {
		version, err = numbered(config, a.job.Release, wanted)
	}
	switch {
	case errors.Is(err, driver.ErrNoDeployedReleases), errors.Is(err, driver.ErrReleaseNotFound):
		return nil // there is nothing to unlock
	case err != nil:
		return err
	case !version.Info.Status.IsPending():
		return nil
	}
	if why == "" {
		why = fmt.Sprintf("Release unlocked from stale '%s' state", version.Info.Status)
	}
	version.SetStatus("failed", why)
	return config.Releases.Update(version)
}

func numbered(config *helm.Configuration, name string, version int) (*release.Release, error) {
	found, err := config.Releases.Get(name, version)
	if err != nil {
		return nil, err
	}
	r, is := found.(*release.Release)
	if !is {
		return nil, errForeign
	}
	return r, nil
}
