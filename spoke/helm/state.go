package helm

import (
	"fmt"
	"slices"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// state is how a release is, seen against what it should be: Flux's states (helm-controller, release status), but for
// drift, which is not a pass's matter here.
type state string

const (
	absent    state = "absent"
	locked    state = "locked"
	leaving   state = "leaving" // its uninstall was cut short; Flux has no word for it, and goes no further there
	unmanaged state = "unmanaged"
	outOfSync state = "out of sync"
	failed    state = "failed"
	untested  state = "untested"
	inSync    state = "in sync"
)

// Statuses of a release in Helm's storage.
const (
	statusDeployed     = "deployed"
	statusSuperseded   = "superseded"
	statusFailed       = "failed"
	statusUninstalled  = "uninstalled"
	statusUninstalling = "uninstalling"
)

var pendings = []string{"pending-install", "pending-upgrade", "pending-rollback"}

// digestVersion is how the digest of a snapshot is made now. One of another making cannot be compared.
const digestVersion = "v2"

// view is all that a decision is made of.
type view struct {
	spec     flux.HelmReleaseSpec
	status   fleet.HelmStatus
	prepared job.Prepared
	// stored is what Helm has stored of the release, the newest first.
	stored []fleet.HelmSnapshot
	// patches are those of the Placement, by digest, and patched those that the release has.
	patches, patched fleet.Digest
	// asked are the values that the release was made with, by digest, before others were kept beside; empty: not known.
	asked string
	// interrupted is an action of ours that was cut short, and whose like has not begun since.
	interrupted job.Action
	// force asks for an install or upgrade whatever the state.
	force bool
	// left is how long an action that is under way may take yet, if it is somebody else's.
	left time.Duration
	// done are the sorts of actions that this pass has behind it.
	done []sort
}

// state says how the release is, and why it is held for that.
func (v view) state() (state, string) {
	if len(v.stored) == 0 {
		return absent, "there is no such release"
	}
	last := v.stored[0]
	switch {
	case slices.Contains(pendings, last.Status):
		return locked, "it is " + last.Status
	case last.Status == statusUninstalling:
		return leaving, "its uninstall did not end"
	case last.Status == statusUninstalled: // by whomever: Flux would upgrade what others uninstalled, which Helm refuses
		return absent, "it is uninstalled"
	case len(v.status.History) == 0:
		return unmanaged, "it was made by somebody else"
	case !owns(v.status.History[0], last):
		return unmanaged, "somebody else has changed it"
	case last.Status == statusFailed:
		return failed, "its newest version failed"
	case last.Status != statusDeployed:
		return unmanaged, "its newest version is " + last.Status
	}
	if why := v.difference(last); why != "" {
		return outOfSync, why
	}
	return v.tested()
}

// owns reports whether a stored version is as it was recorded.
func owns(recorded, stored fleet.HelmSnapshot) bool {
	return recorded.Version == stored.Version && (recorded.APIVersion != digestVersion || recorded.Digest == stored.Digest)
}

// ours reports whether the action that the newest version is in is one of ours which was cut short. There is nobody who goes on
// with it then; somebody else's Helm may still be at work.
func (v view) ours() bool {
	return slices.ContainsFunc(v.status.History, func(s fleet.HelmSnapshot) bool {
		return s.Version == v.stored[0].Version && s.Status == v.stored[0].Status
	})
}

// difference says what of the deployed version is not as it should be; empty: nothing.
func (v view) difference(last fleet.HelmSnapshot) string {
	want, has := v.prepared, v.status.History[0].ConfigDigest
	if v.spec.Upgrade != nil && v.spec.Upgrade.PreserveValues && v.asked != "" {
		has = v.asked
	}
	switch {
	case last.ChartName != want.ChartName || last.ChartVersion != want.ChartVersion:
		return fmt.Sprintf("its chart is %s, not %s@%s", chartOf(last), want.ChartName, want.ChartVersion)
	case has != want.ConfigDigest:
		return "it has other values"
	case v.status.ObservedPostRenderersDigest != want.PostRenderersDigest:
		return "it has other post-renderers"
	case v.patched != v.patches:
		return "it has other patches of its Placement"
	case v.status.ObservedCommonMetadataDigest != want.CommonMetadataDigest:
		return "it has other common metadata"
	}
	return ""
}

// tested is how a version is that is as it should be but for its tests.
func (v view) tested() (state, string) {
	if v.spec.Test == nil || !v.spec.Test.Enable {
		return inSync, ""
	}
	current := v.status.History[0]
	if !isTested(current) {
		return untested, "its tests did not run yet"
	}
	if r := v.remediation(); r != nil && !r.ignoreTests && hasFailedTest(current) {
		return failed, "a test failed"
	}
	return inSync, ""
}

// isTested reports whether the tests of a version have come to an end; that there are none is one too.
func isTested(s fleet.HelmSnapshot) bool {
	if s.TestHooks == nil || hasFailedTest(s) {
		return s.TestHooks != nil
	}
	for _, hook := range s.TestHooks {
		if hook == nil || hook.Phase != phaseSucceeded {
			return false
		}
	}
	return true
}

func hasFailedTest(s fleet.HelmSnapshot) bool {
	for _, hook := range s.TestHooks {
		if hook != nil && hook.Phase == phaseFailed {
			return true
		}
	}
	return false
}

// Phases of a test.
const (
	phaseSucceeded = "Succeeded"
	phaseFailed    = "Failed"
)

// newest is the newest version that is stored; 0: none is.
func newest(stored []fleet.HelmSnapshot) int {
	if len(stored) == 0 {
		return 0
	}
	return stored[0].Version
}

// releaseOf is "namespace/name.vVERSION", chartOf "name@version", as Flux writes them.
func releaseOf(s fleet.HelmSnapshot) string {
	return fmt.Sprintf("%s/%s.v%d", s.Namespace, s.Name, s.Version)
}
func chartOf(s fleet.HelmSnapshot) string { return s.ChartName + "@" + s.ChartVersion }
