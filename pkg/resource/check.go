package resource

import (
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
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
	if _, err := flux.ParseDependsOn(o.Metadata.Annotations[flux.DependsOnAnnotation]); err != nil {
		fields.Refuse("metadata.annotations["+flux.DependsOnAnnotation+"]", "%s", err)
	}
	return fields.Err()
}
