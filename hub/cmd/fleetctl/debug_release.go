package main

import (
	"context"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// runDebugValues shows the values that a HelmRelease is made with in a cluster, as YAML.
func (a *app) runDebugValues(ctx context.Context, r ref, kubeconfig string) error {
	request := about(r)
	request.Ask = &adminv1.AskRequest_HelmValues{HelmValues: &adminv1.HelmValuesAsk{}}
	doing := "show the values of " + r.String()
	answers, err := ask[fleet.HelmValues](ctx, a, doing, request)
	if err != nil {
		return err
	}
	if err := failed(doing, answers); err != nil {
		return err
	}
	if len(answers) != 1 {
		return &failure{code: exitGeneral, what: doing + ": the hub gave no answer"}
	}
	values := answers[0].content
	if kubeconfig != "" {
		if values, err = reveal(ctx, a, r, kubeconfig, []string{"--show-values", "--values", "-"}, values); err != nil {
			return err
		}
	}
	if printed, err := a.emit(values); printed || err != nil {
		return err
	}
	if values.Values == "" {
		a.say(symbolDone, "%s has no values beside the chart's own", r)
		return nil
	}
	if values.Secret && kubeconfig == "" {
		a.say(symbolDone, "*** (Secret NAMESPACE/NAME key KEY) stands for a value; --kubeconfig of that cluster shows it")
	}
	_, err = fmt.Fprint(a.stdout, values.Values)
	return err
}

// runDebugStatus shows the status of a HelmRelease in a cluster as the hub knows it, or its history, as YAML.
func (a *app) runDebugStatus(ctx context.Context, r ref, field string) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	found, err := h.get(ctx, r)
	if err != nil {
		return a.explain("get "+r.String(), err)
	}
	var o struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(found.raw, &o); err != nil {
		return fmt.Errorf("read %s: %w", r, err)
	}
	var shown any = o.Status
	if field != "" {
		shown = o.Status[field]
		if o.Status[field] == nil {
			shown = []any{}
		}
	}
	if a.flags.output == "json" {
		return printer.JSON(a.stdout, shown)
	}
	return printer.YAML(a.stdout, shown)
}
