package helm

import (
	"cmp"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// remedy is what a spec says of the failures of an action, and how many there were.
type remedy struct {
	after    job.Action
	retries  int
	failures int64
	// last: the last failure is remediated too. ignoreTests: a failed test is none. uninstall: in place of a rollback.
	last, ignoreTests, uninstall bool
}

func (r *remedy) exhausted() bool { return r.retries >= 0 && r.failures > int64(r.retries) }

// remedyOf is what the spec says of the failures of an install or upgrade.
func remedyOf(after job.Action, spec flux.HelmReleaseSpec, status fleet.HelmStatus) *remedy {
	r := &remedy{after: after, ignoreTests: spec.Test != nil && spec.Test.IgnoreFailures}
	var says *flux.HelmRemediation
	switch after {
	case job.Install:
		r.failures, r.uninstall = status.InstallFailures, true
		if spec.Install != nil {
			says = spec.Install.Remediation
		}
	case job.Upgrade:
		r.failures = status.UpgradeFailures
		if spec.Upgrade != nil {
			says = spec.Upgrade.Remediation
		}
	default:
		return nil
	}
	if says == nil {
		return r
	}
	r.retries = says.Retries
	if after == job.Upgrade {
		r.uninstall = says.Strategy == "uninstall"
		r.last = says.Retries > 0
	}
	if says.RemediateLastFailure != nil {
		r.last = *says.RemediateLastFailure
	}
	if says.IgnoreTestFailures != nil {
		r.ignoreTests = *says.IgnoreTestFailures
	}
	return r
}

// remediation is what is said of the failures of what was attempted last; nil: nothing was.
func (v view) remediation() *remedy {
	return remedyOf(job.Action(v.status.LastAttemptedReleaseAction), v.spec, v.status)
}

func (v view) exhausted(action job.Action) bool {
	return remedyOf(action, v.spec, v.status).exhausted()
}

// retries reports whether what was attempted last is to be tried again as it is, without a remedy.
func (v view) retries() bool {
	return retriesOf(job.Action(v.status.LastAttemptedReleaseAction), v.spec)
}

func retriesOf(action job.Action, spec flux.HelmReleaseSpec) bool {
	var strategy *flux.HelmStrategy
	switch {
	case action == job.Install && spec.Install != nil:
		strategy = spec.Install.Strategy
	case action == job.Upgrade && spec.Upgrade != nil:
		strategy = spec.Upgrade.Strategy
	}
	return strategy != nil && strategy.Name == "RetryOnFailure"
}

// defaultRetryInterval is the pause of the strategy RetryOnFailure where the spec says none.
const defaultRetryInterval = 5 * time.Minute

// retryInterval is the pause before what was attempted last is tried again by the strategy RetryOnFailure.
func retryInterval(status fleet.HelmStatus, controls fleet.HelmControls) time.Duration {
	if status.LastAttemptedReleaseAction == string(job.Install) {
		return cmp.Or(controls.RetryInstall, defaultRetryInterval)
	}
	return cmp.Or(controls.RetryUpgrade, defaultRetryInterval)
}

// againAfter is the pause before a pass goes on that stopped at a remediation: the longer, the more has failed.
func againAfter(failures int64) time.Duration {
	return min(time.Second<<min(max(failures-1, 0), 10), time.Minute)
}
