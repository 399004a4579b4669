package flux

import (
	"bytes"
	"cmp"
	"maps"
	"reflect"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// defaultHelmTimeout is that of a HelmRelease, as in Flux.
const defaultHelmTimeout = 5 * time.Minute

// SubstituteValuesEnabled is the value of SubstituteValuesAnnotation that says so.
const SubstituteValuesEnabled = "enabled"

// Refers implements App.
func (h HelmRelease) Refers() (field string, ref SourceRef) {
	if h.Chart != nil {
		return "spec.chart.spec.sourceRef", h.Chart.Spec.SourceRef
	}
	return "spec.chartRef", h.chartRef()
}

// Source implements App: of a HelmRelease that brings its chart with it, the HelmChart that is made for it.
func (h HelmRelease) Source(namespace, name string) SourceRef {
	if h.Chart != nil {
		return SourceRef{Kind: "HelmChart", Namespace: h.Chart.Spec.SourceRef.NamespaceFor(namespace), Name: HelmChartName(namespace, name)}
	}
	return h.chartRef()
}

func (h HelmRelease) chartRef() SourceRef {
	if h.ChartRef == nil {
		return SourceRef{}
	}
	return *h.ChartRef
}

// HelmChartName is what the HelmChart is called, as in Flux, that is made for the HelmRelease of that namespace and name.
func HelmChartName(namespace, name string) string { return namespace + "-" + name }

// OwnerLabels are on a HelmChart that is made for a HelmRelease, as in Flux.
func OwnerLabels(namespace, name string) map[string]string {
	return map[string]string{HelmOwnerName: name, HelmOwnerNamespace: namespace}
}

// The labels of OwnerLabels.
const (
	HelmOwnerName      = "helm.toolkit.fluxcd.io/name"
	HelmOwnerNamespace = "helm.toolkit.fluxcd.io/namespace"
)

// Suspended implements App.
func (h HelmRelease) Suspended() bool { return h.Suspend }

// GetTimeout bounds what Helm does: 5 minutes unless set.
func (h HelmRelease) GetTimeout() time.Duration {
	if h.Timeout == nil {
		return defaultHelmTimeout
	}
	return max(h.Timeout.Duration, time.Second)
}

// Controls implements App. A HelmRelease has no retryInterval: its strategies have.
func (h HelmRelease) Controls(annotations map[string]string) fleet.Controls {
	c := fleet.Controls{Suspend: h.Suspend, Interval: h.Interval.Duration, Timeout: h.GetTimeout(), RequestedAt: annotations[RequestedAtAnnotation]}
	c.Helm.ForceAt, c.Helm.ResetAt = annotations[ForceAtAnnotation], annotations[ResetAtAnnotation]
	if i := h.Install; i != nil {
		c.Helm.Install, c.Helm.RetryInstall = i.Timeout.OrZero(), i.Strategy.pause()
	}
	if u := h.Upgrade; u != nil {
		c.Helm.Upgrade, c.Helm.RetryUpgrade = u.Timeout.OrZero(), u.Strategy.pause()
	}
	if t := h.Test; t != nil {
		c.Helm.Test = t.Timeout.OrZero()
	}
	if r := h.Rollback; r != nil {
		c.Helm.Rollback = r.Timeout.OrZero()
	}
	if u := h.Uninstall; u != nil {
		c.Helm.Uninstall = u.Timeout.OrZero()
	}
	return c
}

func (s *HelmStrategy) pause() time.Duration {
	if s == nil {
		return 0
	}
	return s.RetryInterval.OrZero()
}

// Terms implements App: what a HelmRelease's spec says is in its HelmPlan.
func (h HelmRelease) Terms(annotations map[string]string) fleet.Terms {
	return fleet.Terms{SubstituteValues: annotations[SubstituteValuesAnnotation] == SubstituteValuesEnabled}
}

// Deletion implements App: a suspended HelmRelease leaves its release.
func (h HelmRelease) Deletion(policy fleet.DeletionPolicy) (remove, wait bool) {
	switch policy {
	case fleet.OrphanObjects:
		return false, false
	case fleet.DeleteObjects:
		return true, false
	case fleet.WaitForTermination:
		return true, true
	}
	return !h.Suspend, false
}

// Expressions implements App.
func (h HelmRelease) Expressions() (health []fleet.HealthCheckExpr, ready []string) {
	return h.HealthCheckExprs, readyExprs(h.DependsOn)
}

// Plan is what a spoke makes a release of, of a chart that is that artifact.
func (h HelmRelease) Plan(annotations map[string]string, chart HelmArtifact) HelmPlan {
	p := HelmPlan{Spec: h.HelmReleaseSpec, Chart: chart, SubstituteValues: h.Terms(annotations).SubstituteValues}
	if p.Spec.Install != nil {
		install := *p.Spec.Install
		install.Timeout, install.Strategy = nil, install.Strategy.planned()
		p.Spec.Install = unlessEmpty(install)
	}
	if p.Spec.Upgrade != nil {
		upgrade := *p.Spec.Upgrade
		upgrade.Timeout, upgrade.Strategy = nil, upgrade.Strategy.planned()
		p.Spec.Upgrade = unlessEmpty(upgrade)
	}
	if p.Spec.Test != nil {
		test := *p.Spec.Test
		test.Timeout = nil
		if len(test.Filters) == 0 {
			test.Filters = nil
		}
		p.Spec.Test = unlessEmpty(test)
	}
	if p.Spec.Rollback != nil {
		rollback := *p.Spec.Rollback
		rollback.Timeout = nil
		p.Spec.Rollback = unlessEmpty(rollback)
	}
	if p.Spec.Uninstall != nil {
		uninstall := *p.Spec.Uninstall
		uninstall.Timeout = nil
		p.Spec.Uninstall = unlessEmpty(uninstall)
	}
	if values := string(bytes.TrimSpace(p.Spec.Values)); values == "null" || values == "{}" {
		p.Spec.Values = nil
	}
	return p
}

// unlessEmpty is what is left of an action that says something beside controls: one that does not is as one that is not
// declared, and must be no other plan.
func unlessEmpty[T any](action T) *T {
	if reflect.ValueOf(action).IsZero() {
		return nil
	}
	return &action
}

func (s *HelmStrategy) planned() *HelmStrategy {
	if s == nil {
		return nil
	}
	return &HelmStrategy{Name: s.Name}
}

// Declares is the HelmChart that is made for the HelmRelease of that namespace and name: its spec, labels and
// annotations. It is only for one that has spec.chart.
func (h HelmRelease) Declares(namespace, name string) (spec HelmChart, labels, annotations map[string]string) {
	t := h.Chart.Spec
	spec = HelmChart{
		Chart: t.Chart, Version: t.Version, SourceRef: LocalSourceRef{Kind: t.SourceRef.Kind, Name: t.SourceRef.Name}, Interval: cmp.Or(t.Interval, h.Interval),
		ReconcileStrategy: t.ReconcileStrategy, ValuesFiles: t.ValuesFiles, IgnoreMissingValuesFiles: t.IgnoreMissingValuesFiles, Verify: t.Verify,
	}
	labels, annotations = map[string]string{}, map[string]string{}
	if m := h.Chart.Metadata; m != nil {
		maps.Copy(labels, m.Labels)
		maps.Copy(annotations, m.Annotations)
	}
	maps.Copy(labels, OwnerLabels(namespace, name))
	return spec, labels, annotations
}
