package fleet

import "time"

// HelmControls are the Controls of a HelmRelease that other Apps do not have. They take effect at once.
type HelmControls struct {
	// Install, Upgrade, Test, Rollback and Uninstall bound what Helm does; zero: Controls.Timeout does.
	Install   time.Duration `json:"install,omitempty"`
	Upgrade   time.Duration `json:"upgrade,omitempty"`
	Test      time.Duration `json:"test,omitempty"`
	Rollback  time.Duration `json:"rollback,omitempty"`
	Uninstall time.Duration `json:"uninstall,omitempty"`
	// RetryInstall and RetryUpgrade are the pauses of the strategy RetryOnFailure; zero: 5 minutes.
	RetryInstall time.Duration `json:"retryInstall,omitempty"`
	RetryUpgrade time.Duration `json:"retryUpgrade,omitempty"`
	// ForceAt and ResetAt are the values of annotations reconcile.fluxcd.io/forceAt and resetAt: they count where they
	// equal RequestedAt, once.
	ForceAt string `json:"forceAt,omitempty"`
	ResetAt string `json:"resetAt,omitempty"`
}

// HelmStatus is what a spoke tells of a HelmRelease beside the Report: by Flux's names (HelmRelease v2, status), so that
// it can be shown, and taken over, as it is. Of LastAttemptedRevision alone the hub shows another, the Source's Revision, as
// of every App. It has no value of a Secret.
type HelmStatus struct {
	// Released, TestSuccess, Remediated and Drifted are Flux's conditions of those names; a zero Status: it does not stand.
	Released    Condition `json:"released,omitzero"`
	TestSuccess Condition `json:"testSuccess,omitzero"`
	Remediated  Condition `json:"remediated,omitzero"`
	Drifted     Condition `json:"drifted,omitzero"`
	// Stalled is Flux's too: True when no attempt follows before something changes.
	Stalled Condition `json:"stalled,omitzero"`
	// History has the newest first.
	History []HelmSnapshot `json:"history,omitempty"`
	// Failures since the last success, InstallFailures and UpgradeFailures those that count against retries.
	Failures        int64 `json:"failures,omitempty"`
	InstallFailures int64 `json:"installFailures,omitempty"`
	UpgradeFailures int64 `json:"upgradeFailures,omitempty"`

	StorageNamespace             string `json:"storageNamespace,omitempty"`
	LastAttemptedRevision        string `json:"lastAttemptedRevision,omitempty"`
	LastAttemptedRevisionDigest  string `json:"lastAttemptedRevisionDigest,omitempty"`
	LastAttemptedConfigDigest    string `json:"lastAttemptedConfigDigest,omitempty"`
	LastAttemptedReleaseAction   string `json:"lastAttemptedReleaseAction,omitempty"`
	LastAttemptedReleaseDuration string `json:"lastAttemptedReleaseActionDuration,omitempty"`
	ObservedPostRenderersDigest  string `json:"observedPostRenderersDigest,omitempty"`
	ObservedCommonMetadataDigest string `json:"observedCommonMetadataDigest,omitempty"`
	LastHandledForceAt           string `json:"lastHandledForceAt,omitempty"`
	LastHandledResetAt           string `json:"lastHandledResetAt,omitempty"`
}

// HelmSnapshot is one version of a Helm release as it was seen after an action: Flux's status.history[].
type HelmSnapshot struct {
	// APIVersion of the snapshot: how Digest is made. Flux's "v2" with Helm 4.
	APIVersion string `json:"apiVersion,omitempty"`
	// Digest of the release as Helm stores it: another one means that somebody else wrote it.
	Digest    string `json:"digest"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Version   int    `json:"version"`
	// Status is Helm's: deployed, superseded, failed, pending-install and so on.
	Status       string `json:"status"`
	Action       string `json:"action,omitempty"`
	ChartName    string `json:"chartName"`
	ChartVersion string `json:"chartVersion"`
	AppVersion   string `json:"appVersion,omitempty"`
	// ConfigDigest names the values, OCIDigest the chart's artifact in a registry.
	ConfigDigest  string    `json:"configDigest"`
	OCIDigest     string    `json:"ociDigest,omitempty"`
	FirstDeployed time.Time `json:"firstDeployed"`
	LastDeployed  time.Time `json:"lastDeployed"`
	Deleted       time.Time `json:"deleted,omitzero"`
	// TestHooks are the tests by name; nil: it was not tested; empty: it has none.
	TestHooks map[string]*HelmTestHook `json:"testHooks,omitzero"`
}

// HelmTestHook is how one test ended.
type HelmTestHook struct {
	LastStarted   time.Time `json:"lastStarted,omitzero"`
	LastCompleted time.Time `json:"lastCompleted,omitzero"`
	// Phase: Succeeded, Failed, Running or Unknown.
	Phase string `json:"phase,omitempty"`
}
