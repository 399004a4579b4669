package helm

import "flotilla.dev/flotilla/pkg/fleet"

// current is the version of the release that the cluster has, the newest, unless that is uninstalled; false: it has none.
func (r *record) current() (fleet.HelmSnapshot, bool) {
	if len(r.Status.History) == 0 || r.Status.History[0].Status == statusUninstalled {
		return fleet.HelmSnapshot{}, false
	}
	return r.Status.History[0], true
}

// deployed is called when the version that the cluster has may be another one: it tells whoever shows the App, and whoever
// follows its objects.
func (e *Engine) deployed(a *app) {
	e.config.Changed(a.key)
	e.refresh(a)
}
