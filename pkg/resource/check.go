package resource

import (
	"cmp"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func checkGitRepository(o *Object) error {
	spec, err := strictSpec[flux.GitRepository](o)
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

func checkPlacement(o *Object) error {
	spec, err := strictSpec[fleet.Placement](o)
	if err != nil {
		return err
	}
	return spec.Validate()
}

func checkCluster(o *Object) error {
	spec, err := strictSpec[fleet.Cluster](o)
	if err != nil {
		return err
	}
	return spec.Validate()
}

// checkSecret moves stringData into data and sets the type, as an API server does.
func checkSecret(o *Object) error {
	var fields fleet.Fields
	if len(o.Spec) != 0 {
		fields.Refuse("spec", "a Secret has no spec")
	}
	o.Type = cmp.Or(o.Type, "Opaque")
	if o.Type != "Opaque" && o.Type != "kubernetes.io/basic-auth" {
		fields.Refuse("type", "%q: not supported yet (Opaque and kubernetes.io/basic-auth are)", o.Type)
	}
	for key, value := range o.StringData {
		if o.Data == nil {
			o.Data = map[string][]byte{}
		}
		o.Data[key] = []byte(value)
	}
	o.StringData = nil
	return fields.Err()
}
