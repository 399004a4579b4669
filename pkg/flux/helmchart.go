package flux

import (
	"fmt"
	"path"
	"regexp"

	"github.com/Masterminds/semver/v3"

	"flotilla.dev/flotilla/pkg/fleet"
)

// HelmChart is the spec of the source kind of that name (Flux source.toolkit.fluxcd.io/v1).
type HelmChart struct {
	// Chart is a name in a HelmRepository, or a path in a GitRepository or Bucket.
	Chart string `json:"chart"`
	// Version is a range of versions of a HelmRepository's chart; * unless set.
	Version   string         `json:"version,omitempty"`
	SourceRef LocalSourceRef `json:"sourceRef"`
	Interval  *Duration      `json:"interval"`
	// ReconcileStrategy is ChartVersion, the default, or Revision.
	ReconcileStrategy string `json:"reconcileStrategy,omitempty"`
	// ValuesFiles are merged in order and take the place of the chart's values.yaml.
	ValuesFiles              []string   `json:"valuesFiles,omitempty"`
	IgnoreMissingValuesFiles bool       `json:"ignoreMissingValuesFiles,omitempty"`
	Suspend                  bool       `json:"suspend,omitempty"`
	Verify                   *OCIVerify `json:"verify,omitempty"`
}

// LocalSourceRef names a Source of the referrer's namespace.
type LocalSourceRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
}

// What a HelmChart's new version goes by.
const (
	ByChartVersion = "ChartVersion"
	ByRevision     = "Revision"
)

// GetValuesFiles are the files that take the place of the chart's values.yaml: none where the only one is that file.
func (h HelmChart) GetValuesFiles() []string {
	if len(h.ValuesFiles) == 1 && path.Clean(h.ValuesFiles[0]) == "values.yaml" {
		return nil
	}
	return h.ValuesFiles
}

// Validate returns the FieldErrors of h.
func (h HelmChart) Validate() error {
	var fields fleet.Fields
	positive(&fields, "spec.interval", h.Interval, required)
	h.validate(&fields, "spec")
	return fields.Err()
}

// validate checks all but the interval of a HelmChart whose spec is at a path.
func (h HelmChart) validate(fields *fleet.Fields, within string) {
	fields.Require(within+".chart", h.Chart)
	h.SourceRef.validate(fields, within+".sourceRef")
	oneOf(fields, within+".reconcileStrategy", h.ReconcileStrategy, ByChartVersion, ByRevision)
	switch h.SourceRef.Kind {
	case "HelmRepository":
		refuse(fields, within+".chart", h.Chart, chartNameProblem)
		refuse(fields, within+".version", h.Version, rangeProblem)
	case "GitRepository", "Bucket":
		inside(fields, within+".chart", h.Chart)
	}
	for i, file := range h.ValuesFiles {
		at := fmt.Sprintf("%s.valuesFiles[%d]", within, i)
		fields.Require(at, file)
		inside(fields, at, file)
	}
	if h.Verify != nil {
		if h.SourceRef.Kind != "HelmRepository" {
			fields.Refuse(within+".verify", "is only for a chart of a HelmRepository; what a GitRepository has is verified by its own spec.verify")
		}
		h.Verify.Validate(fields, within+".verify")
		if h.Verify.TrustedRootSecretRef != nil {
			fields.Refuse(within+".verify.trustedRootSecretRef", "is a field of an OCIRepository: take the chart from one, or sign with a key")
		}
	}
}

func (r LocalSourceRef) validate(fields *fleet.Fields, at string) {
	fields.Require(at+".name", r.Name)
	fields.Require(at+".kind", r.Kind)
	oneOf(fields, at+".kind", r.Kind, "HelmRepository", "GitRepository", "Bucket")
	refuseAPIVersion(fields, at, r.APIVersion)
}

// refuseAPIVersion refuses a reference to a Source of another API.
func refuseAPIVersion(fields *fleet.Fields, at, apiVersion string) {
	if apiVersion != "" && apiVersion != SourceAPIVersion {
		fields.Refuse(at+".apiVersion", "%q is not %s", apiVersion, SourceAPIVersion)
	}
}

// chartName is Flux's rule for the name of a chart in a repository; it may have slashes below a registry's path.
var chartName = regexp.MustCompile(`^([-a-z0-9]+/?\.?)+$`)

func chartNameProblem(name string) string {
	if !chartName.MatchString(name) {
		return fmt.Sprintf("%q is not the name of a chart in a repository: lower-case letters, digits and dashes, with / and . between them", name)
	}
	return ""
}

func rangeProblem(version string) string {
	if _, err := semver.NewConstraint(version); err != nil {
		return fmt.Sprintf("%q is not a version or a range of versions such as 1.x or >=1.2.0 <2.0.0", version)
	}
	return ""
}
