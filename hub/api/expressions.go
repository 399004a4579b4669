package api

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// checkExpressions refuses an App with an expression that does not compile, by its name. It is no part of
// resource.Decode: fleetctl, which starts in no time, does not carry the compiler.
func checkExpressions(o *resource.Object) error {
	if o.Kind != resource.Kustomization.Name {
		return nil
	}
	spec, err := resource.Spec[flux.Kustomization](o)
	if err != nil {
		return err
	}
	readyExprs := make([]string, len(spec.DependsOn))
	for i, d := range spec.DependsOn {
		readyExprs[i] = d.ReadyExpr
	}
	if err := expr.Check(spec.HealthCheckExprs, readyExprs); err != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	return nil
}
