package helm

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// Values are those that a release is made with, those of Secrets masked.
func (e *Engine) Values(ctx context.Context, c Comparison) (fleet.HelmValues, error) {
	none := fleet.HelmValues{}
	q, err := e.consult(ctx, c)
	if err != nil {
		return none, fmt.Errorf("values of %s: %w", c.App.Words(), err)
	}
	defer q.close()
	will, shown, err := q.values(ctx)
	if err != nil {
		return none, fmt.Errorf("values of %s: %w", c.App.Words(), err)
	}
	text, err := valuesText(shown)
	if err != nil {
		return none, fmt.Errorf("values of %s: they cannot be shown as YAML", c.App.Words()) // the encoder's words may quote them
	}
	plan, _, err := partsOf(c.Manifest, c.Blob)
	if err != nil {
		return none, err
	}
	encoded, err := plan.Encode()
	return fleet.HelmValues{
		Values: text, Secret: !reflect.DeepEqual(will, shown), App: c.App, Plan: json.RawMessage(encoded), Binding: c.Binding,
	}, err
}

// maskedBefore stands for a value that a version has and that may be a Secret's.
const maskedBefore = "*** (before)"

// hidden are the values that a version has, beside those that one would have (will), and as these are shown. What is the same
// is shown in the same way. Of the rest, plain says that nothing is of a Secret.
func hidden(has, will, shown any, plain bool) any {
	if reflect.DeepEqual(has, will) && has != nil {
		return shown
	}
	switch x := has.(type) {
	case map[string]any:
		next, _ := will.(map[string]any)
		seen, _ := shown.(map[string]any)
		out := make(map[string]any, len(x))
		for name, value := range x {
			out[name] = hidden(value, next[name], seen[name], plain)
		}
		return out
	case []any:
		next, _ := will.([]any)
		seen, _ := shown.([]any)
		out := make([]any, len(x))
		for i, value := range x {
			var then, as any
			if i < len(next) && i < len(seen) {
				then, as = next[i], seen[i]
			}
			out[i] = hidden(value, then, as, plain)
		}
		return out
	}
	if plain && reflect.DeepEqual(will, shown) || has == nil {
		return has
	}
	return maskedBefore
}

// Reveal makes values anew, with those of Secrets, by a process that has that way to the cluster.
func Reveal(ctx context.Context, runner Runner, way *rest.Config, v *fleet.HelmValues) error {
	plan, err := flux.DecodeHelmPlan(v.Plan)
	if err != nil {
		return err
	}
	if way, err = credentialed(way); err != nil {
		return err
	}
	as, err := connection(way, "")
	if err != nil {
		return err
	}
	of := namesOf(v.App, plan.Spec)
	process, err := runner.Start(ctx, job.Job{
		App: v.App, Connection: as, Plan: plan, Binding: v.Binding, Release: of.Release, Namespace: of.Namespace, Storage: of.Storage,
	}, nil)
	if err != nil {
		return err
	}
	defer process.Close()
	q := &consultation{process: process, names: of}
	answer, err := q.do(ctx, job.Request{Action: job.Values, Reveal: true})
	if err != nil {
		return err
	}
	v.Values = string(answer.Values)
	return nil
}
