package flux

import (
	"encoding/json"

	"flotilla.dev/flotilla/pkg/fleet"
)

// HelmAPIVersion is the API version of Flux's HelmRelease.
const HelmAPIVersion = "helm.toolkit.fluxcd.io/v2"

// Annotations of a HelmRelease that are honoured beside those of every App.
const (
	// ForceAtAnnotation asks for an install or upgrade whatever the state, ResetAtAnnotation has failures forgotten; each
	// only where it equals RequestedAtAnnotation.
	ForceAtAnnotation = "reconcile.fluxcd.io/forceAt"
	ResetAtAnnotation = "reconcile.fluxcd.io/resetAt"
	// SubstituteValuesAnnotation "enabled" has the cluster's variables put into spec.values and a Placement's values, as
	// postBuild does it in a Kustomization.
	SubstituteValuesAnnotation = "fleet.flotilla.dev/substitute-values"
)

// HelmRelease is the spec of the App kind of that name.
type HelmRelease struct {
	Chart    *HelmChartTemplate `json:"chart,omitempty"`
	ChartRef *SourceRef         `json:"chartRef,omitempty"`
	Interval *Duration          `json:"interval"`
	Timeout  *Duration          `json:"timeout,omitempty"`
	Suspend  bool               `json:"suspend,omitempty"`
	// KubeConfig is refused: what is applied elsewhere is a Placement's to say.
	KubeConfig *KubeConfigRef  `json:"kubeConfig,omitempty"`
	DependsOn  []DependencyRef `json:"dependsOn,omitempty"`
	HelmReleaseSpec
}

// HelmReleaseSpec is what a HelmRelease's spec says of what is released, and how: what is rolled out. The timeouts and
// intervals in it are not: they are Controls.
type HelmReleaseSpec struct {
	ReleaseName        string                  `json:"releaseName,omitempty"`
	TargetNamespace    string                  `json:"targetNamespace,omitempty"`
	StorageNamespace   string                  `json:"storageNamespace,omitempty"`
	MaxHistory         *int                    `json:"maxHistory,omitempty"`
	ServiceAccountName string                  `json:"serviceAccountName,omitempty"`
	PersistentClient   *bool                   `json:"persistentClient,omitempty"`
	DriftDetection     *HelmDriftDetection     `json:"driftDetection,omitempty"`
	Install            *HelmInstall            `json:"install,omitempty"`
	Upgrade            *HelmUpgrade            `json:"upgrade,omitempty"`
	Test               *HelmTest               `json:"test,omitempty"`
	Rollback           *HelmRollback           `json:"rollback,omitempty"`
	Uninstall          *HelmUninstall          `json:"uninstall,omitempty"`
	ValuesFrom         []HelmValuesReference   `json:"valuesFrom,omitempty"`
	Values             json.RawMessage         `json:"values,omitempty"`
	CommonMetadata     *fleet.CommonMetadata   `json:"commonMetadata,omitempty"`
	PostRenderers      []HelmPostRenderer      `json:"postRenderers,omitempty"`
	PostRenderStrategy string                  `json:"postRenderStrategy,omitempty"`
	WaitStrategy       *HelmWaitStrategy       `json:"waitStrategy,omitempty"`
	HealthCheckExprs   []fleet.HealthCheckExpr `json:"healthCheckExprs,omitempty"`
}

// HelmChartTemplate is the HelmChart that a HelmRelease brings with it.
type HelmChartTemplate struct {
	Metadata *HelmChartMetadata    `json:"metadata,omitempty"`
	Spec     HelmChartTemplateSpec `json:"spec"`
}

// HelmChartMetadata are the labels and annotations of that HelmChart.
type HelmChartMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HelmChartTemplateSpec is the spec of that HelmChart, without an interval that of the HelmRelease.
type HelmChartTemplateSpec struct {
	Chart                    string     `json:"chart"`
	Version                  string     `json:"version,omitempty"`
	SourceRef                SourceRef  `json:"sourceRef"`
	Interval                 *Duration  `json:"interval,omitempty"`
	ReconcileStrategy        string     `json:"reconcileStrategy,omitempty"`
	ValuesFiles              []string   `json:"valuesFiles,omitempty"`
	IgnoreMissingValuesFiles bool       `json:"ignoreMissingValuesFiles,omitempty"`
	Verify                   *OCIVerify `json:"verify,omitempty"`
}

// HelmDriftDetection says what becomes of objects that others change.
type HelmDriftDetection struct {
	// Mode: disabled (default), warn, enabled.
	Mode   string             `json:"mode,omitempty"`
	Ignore []fleet.IgnoreRule `json:"ignore,omitempty"`
}

// The values of HelmDriftDetection.Mode; empty is HelmDriftDisabled.
const (
	HelmDriftDisabled = "disabled"
	HelmDriftWarn     = "warn"
	HelmDriftEnabled  = "enabled"
)

// HelmStrategy says what follows a failed action.
type HelmStrategy struct {
	// Name: RemediateOnFailure (default), RetryOnFailure.
	Name          string    `json:"name"`
	RetryInterval *Duration `json:"retryInterval,omitempty"`
}

// HelmRemediation says how often a failed action is remediated and tried again.
type HelmRemediation struct {
	// Retries: -1 is without end.
	Retries              int   `json:"retries,omitempty"`
	IgnoreTestFailures   *bool `json:"ignoreTestFailures,omitempty"`
	RemediateLastFailure *bool `json:"remediateLastFailure,omitempty"`
	// Strategy of an upgrade: rollback (default), uninstall.
	Strategy string `json:"strategy,omitempty"`
}

// HelmInstall says how a release is installed.
type HelmInstall struct {
	Timeout                  *Duration        `json:"timeout,omitempty"`
	Strategy                 *HelmStrategy    `json:"strategy,omitempty"`
	Remediation              *HelmRemediation `json:"remediation,omitempty"`
	DisableTakeOwnership     bool             `json:"disableTakeOwnership,omitempty"`
	DisableWait              bool             `json:"disableWait,omitempty"`
	DisableWaitForJobs       bool             `json:"disableWaitForJobs,omitempty"`
	DisableHooks             bool             `json:"disableHooks,omitempty"`
	DisableOpenAPIValidation bool             `json:"disableOpenAPIValidation,omitempty"`
	DisableSchemaValidation  bool             `json:"disableSchemaValidation,omitempty"`
	Replace                  bool             `json:"replace,omitempty"`
	SkipCRDs                 bool             `json:"skipCRDs,omitempty"`
	CRDs                     string           `json:"crds,omitempty"`
	CreateNamespace          bool             `json:"createNamespace,omitempty"`
	ServerSideApply          *bool            `json:"serverSideApply,omitempty"`
}

// HelmUpgrade says how a release is upgraded.
type HelmUpgrade struct {
	Timeout                  *Duration        `json:"timeout,omitempty"`
	Strategy                 *HelmStrategy    `json:"strategy,omitempty"`
	Remediation              *HelmRemediation `json:"remediation,omitempty"`
	DisableTakeOwnership     bool             `json:"disableTakeOwnership,omitempty"`
	DisableWait              bool             `json:"disableWait,omitempty"`
	DisableWaitForJobs       bool             `json:"disableWaitForJobs,omitempty"`
	DisableHooks             bool             `json:"disableHooks,omitempty"`
	DisableOpenAPIValidation bool             `json:"disableOpenAPIValidation,omitempty"`
	DisableSchemaValidation  bool             `json:"disableSchemaValidation,omitempty"`
	Force                    bool             `json:"force,omitempty"`
	PreserveValues           bool             `json:"preserveValues,omitempty"`
	CleanupOnFail            bool             `json:"cleanupOnFail,omitempty"`
	CRDs                     string           `json:"crds,omitempty"`
	// ServerSideApply: enabled, disabled, auto (default).
	ServerSideApply         string `json:"serverSideApply,omitempty"`
	ChartNameChangeStrategy string `json:"chartNameChangeStrategy,omitempty"`
}

// HelmTest says whether and how a release is tested.
type HelmTest struct {
	Enable         bool             `json:"enable,omitempty"`
	Timeout        *Duration        `json:"timeout,omitempty"`
	IgnoreFailures bool             `json:"ignoreFailures,omitempty"`
	Filters        []HelmTestFilter `json:"filters,omitempty"`
}

// HelmTestFilter chooses a test by name, or leaves it out.
type HelmTestFilter struct {
	Name    string `json:"name"`
	Exclude bool   `json:"exclude,omitempty"`
}

// HelmRollback says how a release is rolled back.
type HelmRollback struct {
	Timeout            *Duration `json:"timeout,omitempty"`
	DisableWait        bool      `json:"disableWait,omitempty"`
	DisableWaitForJobs bool      `json:"disableWaitForJobs,omitempty"`
	DisableHooks       bool      `json:"disableHooks,omitempty"`
	// Recreate says nothing any more, as in Flux.
	Recreate        bool   `json:"recreate,omitempty"`
	Force           bool   `json:"force,omitempty"`
	CleanupOnFail   bool   `json:"cleanupOnFail,omitempty"`
	ServerSideApply string `json:"serverSideApply,omitempty"`
}

// HelmUninstall says how a release is uninstalled.
type HelmUninstall struct {
	Timeout             *Duration `json:"timeout,omitempty"`
	DisableHooks        bool      `json:"disableHooks,omitempty"`
	KeepHistory         bool      `json:"keepHistory,omitempty"`
	DisableWait         bool      `json:"disableWait,omitempty"`
	DeletionPropagation string    `json:"deletionPropagation,omitempty"`
}

// HelmValuesReference names a ConfigMap or Secret of the App's namespace, in the cluster, that has values.
type HelmValuesReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	ValuesKey  string `json:"valuesKey,omitempty"`
	TargetPath string `json:"targetPath,omitempty"`
	Optional   bool   `json:"optional,omitempty"`
	Literal    bool   `json:"literal,omitempty"`
}

// HelmPostRenderer changes what a chart renders.
type HelmPostRenderer struct {
	Kustomize *HelmKustomize `json:"kustomize,omitempty"`
}

// HelmKustomize are patches and images, as a kustomization has them.
type HelmKustomize struct {
	Patches []fleet.Patch `json:"patches,omitempty"`
	Images  []fleet.Image `json:"images,omitempty"`
}

// HelmWaitStrategy: poller (default), legacy.
type HelmWaitStrategy struct {
	Name string `json:"name"`
}
