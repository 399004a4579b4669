package resource

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/schedule"
)

// valid checks a kind whose spec needs nothing else of the object.
func valid[T interface{ Validate() error }](o *Object) error {
	spec, err := strictSpec[T](o)
	if err != nil {
		return err
	}
	return spec.Validate()
}

func checkKustomization(o *Object) error {
	spec, err := strictSpec[flux.Kustomization](o)
	if err != nil {
		return err
	}
	var fields fleet.Fields
	if err := spec.Validate(o.Metadata.Namespace); err != nil {
		fields = append(fields, err)
	}
	guard := o.Metadata.Annotations[flux.PruneGuardAnnotation]
	if err := fleet.ParsePruneGuard(guard).Err; err != nil {
		fields.Refuse("metadata.annotations["+flux.PruneGuardAnnotation+"]", "%s", err)
	}
	checkDependsOn(&fields, o)
	if _, given := o.Metadata.Annotations[flux.SubstituteValuesAnnotation]; given {
		fields.Refuse("metadata.annotations["+flux.SubstituteValuesAnnotation+"]", "is for a HelmRelease: set spec.postBuild, {} will do")
	}
	return fields.Err()
}

func checkHelmRelease(o *Object) error {
	spec, err := strictSpec[flux.HelmRelease](o)
	if err != nil {
		return err
	}
	var fields fleet.Fields
	m := o.Metadata
	if err := spec.Validate(m.Namespace); err != nil {
		fields = append(fields, err)
	}
	checkDependsOn(&fields, o)
	if _, given := m.Annotations[flux.PruneGuardAnnotation]; given {
		fields.Refuse("metadata.annotations["+flux.PruneGuardAnnotation+"]", "is for a Kustomization: what a chart has no more, Helm deletes as part of an upgrade")
	}
	switch value := m.Annotations[flux.SubstituteValuesAnnotation]; value {
	case "", flux.SubstituteValuesEnabled, "disabled":
	default:
		fields.Refuse("metadata.annotations["+flux.SubstituteValuesAnnotation+"]", "%q is not enabled or disabled", value)
	}
	if spec.Chart != nil && m.Name != "" && m.Namespace != "" {
		if name := flux.HelmChartName(m.Namespace, m.Name); len(name) > maxName {
			fields.Refuse("metadata.name", "is too long for the HelmChart that is made of spec.chart, %s: it would have %d characters, and %d are allowed", name, len(name), maxName)
		}
		if meta := spec.Chart.Metadata; meta != nil {
			validateLabels(&fields, "spec.chart.metadata.labels", meta.Labels)
			for _, key := range slices.Sorted(maps.Keys(meta.Annotations)) {
				if strings.HasPrefix(key, "reconcile.fluxcd.io/") || strings.HasPrefix(key, "fleet.flotilla.dev/") {
					fields.Refuse("spec.chart.metadata.annotations["+key+"]", "is the hub's own on the HelmChart that is made: annotate the HelmRelease, or leave it out")
				}
			}
		}
	}
	return fields.Err()
}

// checkRolloutPolicy reads what the fleet kind leaves to others: cron, and templates.
func checkRolloutPolicy(o *Object) error {
	spec, err := strictSpec[fleet.RolloutPolicy](o)
	if err != nil {
		return err
	}
	_, windows := schedule.Parse(spec.Windows)
	return errors.Join(spec.Validate(), windows)
}

func checkDependsOn(fields *fleet.Fields, o *Object) {
	if _, err := flux.ParseDependsOn(o.Metadata.Annotations[flux.DependsOnAnnotation]); err != nil {
		fields.Refuse("metadata.annotations["+flux.DependsOnAnnotation+"]", "%s", err)
	}
}
