package flux

import (
	"fmt"
	"regexp"
	"unicode/utf8"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Bounds of names in a HelmRelease (HelmRelease v2).
const (
	maxReleaseName = 53
	maxChartPath   = 2048
	maxTargetPath  = 250
)

// maxValues bounds spec.values, as a database keeps them: they are read whenever the hub looks what is to be done.
const maxValues = 1 << 20

var (
	valuesKeyPattern  = regexp.MustCompile(`^[\-._a-zA-Z0-9]+$`)
	targetPathPattern = regexp.MustCompile(`^([a-zA-Z0-9_\-.\\\/]|\[[0-9]{1,5}\])+$`)
)

// Validate returns the FieldErrors of h, which is declared in namespace.
func (h HelmRelease) Validate(namespace string) error {
	var fields fleet.Fields
	positive(&fields, "spec.interval", h.Interval, required)
	positive(&fields, "spec.timeout", h.Timeout, optional)
	h.validateChart(&fields)
	validateDependsOn(&fields, h.DependsOn, namespace)
	refuseKubeConfig(&fields, h.KubeConfig)
	h.HelmReleaseSpec.validate(&fields)
	return fields.Err()
}

func (h HelmRelease) validateChart(fields *fleet.Fields) {
	switch {
	case h.Chart == nil && h.ChartRef == nil:
		fields.Refuse("spec", "one of chart and chartRef is required")
	case h.Chart != nil && h.ChartRef != nil:
		fields.Refuse("spec.chartRef", "is given beside spec.chart: remove one of the two")
	}
	if ref := h.ChartRef; ref != nil {
		const at = "spec.chartRef"
		fields.Require(at+".kind", ref.Kind)
		oneOf(fields, at+".kind", ref.Kind, "OCIRepository", "HelmChart", "ExternalArtifact")
		ref.validateNames(fields, at)
	}
	if h.Chart == nil {
		return
	}
	const at = "spec.chart.spec"
	spec, _, _ := h.Declares("", "")
	spec.validate(fields, at)
	positive(fields, at+".interval", h.Chart.Spec.Interval, optional)
	longest(fields, at+".chart", spec.Chart, maxChartPath)
	h.Chart.Spec.SourceRef.validateNames(fields, at+".sourceRef")
	if v := h.Chart.Spec.Verify; v != nil && len(v.MatchOIDCIdentity) > 0 {
		fields.Refuse(at+".verify.matchOIDCIdentity", "is a field of a HelmChart and of an OCIRepository: name one in spec.chartRef")
	}
}

// validateNames checks what a reference is called that may lead out of the namespace.
func (r SourceRef) validateNames(fields *fleet.Fields, at string) {
	if r.Name == "" {
		fields.Require(at+".name", r.Name)
	}
	longest(fields, at+".name", r.Name, maxName)
	refuse(fields, at+".namespace", r.Namespace, namespaceProblem)
	refuseAPIVersion(fields, at, r.APIVersion)
}

func (s HelmReleaseSpec) validate(fields *fleet.Fields) {
	refuse(fields, "spec.releaseName", s.ReleaseName, releaseNameProblem)
	refuse(fields, "spec.targetNamespace", s.TargetNamespace, namespaceProblem)
	refuse(fields, "spec.storageNamespace", s.StorageNamespace, namespaceProblem)
	refuse(fields, "spec.serviceAccountName", s.ServiceAccountName, serviceAccountProblem)
	if d := s.DriftDetection; d != nil {
		oneOf(fields, "spec.driftDetection.mode", d.Mode, HelmDriftEnabled, HelmDriftWarn, HelmDriftDisabled)
		validateIgnore(fields, "spec.driftDetection.ignore", d.Ignore)
	}
	s.validateActions(fields)
	s.validateValues(fields)
	for i, renderer := range s.PostRenderers {
		if k := renderer.Kustomize; k != nil {
			validateOverlay(fields, fmt.Sprintf("spec.postRenderers[%d].kustomize", i), k.Patches, k.Images)
		}
	}
	oneOf(fields, "spec.postRenderStrategy", s.PostRenderStrategy, "nohooks", "combined", "separate")
	if w := s.WaitStrategy; w != nil {
		fields.Require("spec.waitStrategy.name", w.Name)
		oneOf(fields, "spec.waitStrategy.name", w.Name, "poller", "legacy")
	}
	validateHealth(fields, s.HealthCheckExprs)
}

func (s HelmReleaseSpec) validateActions(fields *fleet.Fields) {
	if i := s.Install; i != nil {
		positive(fields, "spec.install.timeout", i.Timeout, optional)
		i.Strategy.validate(fields, "spec.install.strategy")
		crds(fields, "spec.install.crds", i.CRDs)
		if r := i.Remediation; r != nil && r.Strategy != "" {
			fields.Refuse("spec.install.remediation.strategy", "is a field of spec.upgrade.remediation: an installation that failed is uninstalled")
		}
	}
	if u := s.Upgrade; u != nil {
		positive(fields, "spec.upgrade.timeout", u.Timeout, optional)
		u.Strategy.validate(fields, "spec.upgrade.strategy")
		crds(fields, "spec.upgrade.crds", u.CRDs)
		serverSide(fields, "spec.upgrade.serverSideApply", u.ServerSideApply)
		oneOf(fields, "spec.upgrade.chartNameChangeStrategy", u.ChartNameChangeStrategy, "InPlaceUpdate", "Reinstall")
		if u.Remediation != nil {
			oneOf(fields, "spec.upgrade.remediation.strategy", u.Remediation.Strategy, "rollback", "uninstall")
		}
	}
	if t := s.Test; t != nil {
		positive(fields, "spec.test.timeout", t.Timeout, optional)
		for i, filter := range t.Filters {
			at := fmt.Sprintf("spec.test.filters[%d].name", i)
			fields.Require(at, filter.Name)
			longest(fields, at, filter.Name, maxName)
		}
	}
	if r := s.Rollback; r != nil {
		positive(fields, "spec.rollback.timeout", r.Timeout, optional)
		serverSide(fields, "spec.rollback.serverSideApply", r.ServerSideApply)
	}
	if u := s.Uninstall; u != nil {
		positive(fields, "spec.uninstall.timeout", u.Timeout, optional)
		oneOf(fields, "spec.uninstall.deletionPropagation", u.DeletionPropagation, "background", "foreground", "orphan")
	}
}

func crds(fields *fleet.Fields, at, policy string) {
	oneOf(fields, at, policy, "Skip", "Create", "CreateReplace")
}

func serverSide(fields *fleet.Fields, at, mode string) {
	oneOf(fields, at, mode, "enabled", "disabled", "auto")
}

func (s *HelmStrategy) validate(fields *fleet.Fields, at string) {
	if s == nil {
		return
	}
	fields.Require(at+".name", s.Name)
	oneOf(fields, at+".name", s.Name, "RemediateOnFailure", "RetryOnFailure")
	positive(fields, at+".retryInterval", s.RetryInterval, optional)
	if s.RetryInterval != nil && s.Name != "RetryOnFailure" {
		fields.Refuse(at+".retryInterval", "is only for the strategy RetryOnFailure: one that remediates does so at once")
	}
}

func (s HelmReleaseSpec) validateValues(fields *fleet.Fields) {
	size := len(s.Values)
	if size <= maxValues {
		size = fleet.ValidateValues(fields, "spec.values", s.Values)
	}
	if size > maxValues {
		fields.Refuse("spec.values", "has %d bytes; %d are allowed: put more into a ConfigMap of the cluster, and name that in spec.valuesFrom (a number counts as it is written out in full)", size, maxValues)
	}
	for i, from := range s.ValuesFrom {
		at := fmt.Sprintf("spec.valuesFrom[%d]", i)
		fields.Require(at+".kind", from.Kind)
		oneOf(fields, at+".kind", from.Kind, "Secret", "ConfigMap")
		fields.Require(at+".name", from.Name)
		longest(fields, at+".name", from.Name, maxName)
		if key := from.ValuesKey; key != "" && (len(key) > maxName || !valuesKeyPattern.MatchString(key)) {
			fields.Refuse(at+".valuesKey", "%q is not a key: letters, digits, '-', '_' and '.' make one", key)
		}
		if path := from.TargetPath; path != "" && (len(path) > maxTargetPath || !targetPathPattern.MatchString(path)) {
			fields.Refuse(at+".targetPath", `%q is not a path in values such as a.b, a.list[0] or a.with\.dot, of at most %d characters`, path, maxTargetPath)
		}
	}
}

// longest refuses what is longer than so many characters.
func longest(fields *fleet.Fields, at, text string, most int) {
	if n := utf8.RuneCountInString(text); n > most {
		fields.Refuse(at, "has %d characters; %d are allowed", n, most)
	}
}

func namespaceProblem(name string) string {
	if len(name) > maxNamespace || !namespacePattern.MatchString(name) {
		return fmt.Sprintf("%q is not a DNS label", name)
	}
	return ""
}

func releaseNameProblem(name string) string {
	if len(name) > maxReleaseName || !namePattern.MatchString(name) {
		return fmt.Sprintf("%q is not the name of a Helm release: at most %d lower-case letters, digits, dashes and dots", name, maxReleaseName)
	}
	return ""
}
