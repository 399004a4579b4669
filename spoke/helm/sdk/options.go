package sdk

import (
	"cmp"

	helm "helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"

	"flotilla.dev/flotilla/pkg/flux"
)

// What the spec leaves open, as Flux fills it in.
const (
	defaultMaxHistory = 5
	defaultPolicy     = "Create"
	defaultDeletion   = "background"
)

func (a *action) maxHistory() int {
	if limit := a.job.Plan.Spec.MaxHistory; limit != nil {
		return *limit
	}
	return defaultMaxHistory
}

// waiting is how an action waits for objects.
func (a *action) waiting(disabled bool) kube.WaitStrategy {
	switch {
	case disabled:
		return kube.HookOnlyStrategy
	case a.job.Plan.Spec.WaitStrategy != nil && a.job.Plan.Spec.WaitStrategy.Name == "legacy":
		return kube.LegacyStrategy
	}
	return kube.StatusWatcherStrategy
}

func (a *action) postRenderStrategy() helm.PostRenderStrategy {
	return cmp.Or(helm.PostRenderStrategy(a.job.Plan.Spec.PostRenderStrategy), helm.PostRenderStrategyCombined)
}

// The serverSideApply of an upgrade and a rollback, in Helm's words: auto is what the version before was applied with.
const (
	serverSide = "true"
	clientSide = "false"
	likeBefore = "auto"
)

func serverSideMode(mode string) string {
	switch mode {
	case "enabled":
		return serverSide
	case "disabled":
		return clientSide
	}
	return likeBefore
}

// orZero is a part of the spec that may be left out.
func orZero[T any](part *T) T {
	if part == nil {
		return *new(T)
	}
	return *part
}

func (a *action) installOptions() flux.HelmInstall     { return orZero(a.job.Plan.Spec.Install) }
func (a *action) upgradeOptions() flux.HelmUpgrade     { return orZero(a.job.Plan.Spec.Upgrade) }
func (a *action) rollbackOptions() flux.HelmRollback   { return orZero(a.job.Plan.Spec.Rollback) }
func (a *action) uninstallOptions() flux.HelmUninstall { return orZero(a.job.Plan.Spec.Uninstall) }
func (a *action) testOptions() flux.HelmTest           { return orZero(a.job.Plan.Spec.Test) }
