package api

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// checkExpressions refuses an App or Receiver with an expression that does not compile, by its name. It is no part of
// resource.Decode: fleetctl, which starts in no time, does not carry the compiler.
func checkExpressions(o *resource.Object) error {
	var err error
	switch o.Kind {
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		err = checkAppExpressions(o)
	case resource.Receiver.Name:
		err = checkReceiverExpressions(o)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o, err)
	}
	return nil
}

func checkReceiverExpressions(o *resource.Object) error {
	spec, err := resource.Spec[flux.Receiver](o)
	if err != nil {
		return err
	}
	return expr.CheckReceiver(spec)
}

func checkAppExpressions(o *resource.Object) error {
	app, err := resource.App(o)
	if err != nil {
		return err
	}
	return expr.Check(app.Expressions())
}
