package sdk

import (
	"fmt"
	"maps"
	"slices"

	"helm.sh/helm/v4/pkg/chart/common"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/subst"
)

// values are what a release is made with, in Flux's order of precedence: what spec.valuesFrom names, in its order; over it
// spec.values, and over those the Placement's; over all what has a targetPath, in its order.
type values struct {
	merged map[string]any
	// shown are the same with a fleet.SecretKey in the place of each value that is from a Secret.
	shown map[string]any
	// secrets are the values that must not be shown.
	secrets secrets
}

func (a *action) values() (*values, error) {
	inline, err := a.inline()
	if err != nil {
		return nil, err
	}
	v := &values{merged: map[string]any{}, shown: map[string]any{}}
	var last []reference
	fetched := map[string]*source{}
	for i, ref := range a.job.Plan.Spec.ValuesFrom {
		r := reference{HelmValuesReference: ref, field: fmt.Sprintf("spec.valuesFrom[%d]", i), namespace: a.job.App.Namespace}
		found, err := a.resolve(&r, fetched)
		switch {
		case err != nil:
			return nil, err
		case !found:
		case r.TargetPath != "":
			last = append(last, r)
		default:
			if err := v.add(r); err != nil {
				return nil, err
			}
		}
	}
	v.merged, v.shown = merge(v.merged, inline), merge(v.shown, inline)
	for _, r := range last {
		if err := v.place(r); err != nil {
			return nil, err
		}
	}
	v.secrets = v.secrets.collect(v.merged, v.shown)
	return v, nil
}

// inline are spec.values with the Placement's over them.
func (a *action) inline() (map[string]any, error) {
	spec, err := a.decode("spec.values", a.job.Plan.Spec.Values)
	if err != nil {
		return nil, err
	}
	placed, err := a.decode("the values of the Placement", a.job.Binding.Values)
	return merge(spec, placed), err
}

// decode reads values as Flux does, after the cluster's variables were put in, where that is asked for.
func (a *action) decode(field string, raw []byte) (map[string]any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	if a.job.Plan.SubstituteValues {
		text, err := yaml.JSONToYAML(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: they are no JSON", fleet.ErrInvalid, field)
		}
		variables := subst.Variables{}
		for _, name := range slices.Sorted(maps.Keys(a.job.Binding.Variables)) {
			variables.Set(name, subst.Variable{Value: a.job.Binding.Variables[name]})
		}
		substituted, _, err := variables.Text(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		raw = []byte(substituted)
	}
	var out map[string]any
	if err := yaml.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("%w: %s: they are no mapping, with the cluster's variables put in where it is so asked for", fleet.ErrInvalid, field)
	}
	return out, nil
}

// add merges what a reference without a targetPath has.
func (v *values) add(r reference) error {
	read, err := common.ReadValues(r.content)
	if err != nil {
		if r.secret() {
			return r.errorf("its content is no YAML of values%s", lineOf(err))
		}
		return r.errorf("its content is no YAML of values: %w", err)
	}
	shown := map[string]any(read)
	if r.secret() {
		shown = masked(shown, r.key()).(map[string]any)
	}
	v.merged, v.shown = merge(v.merged, read), merge(v.shown, shown)
	return nil
}

// place puts what a reference has at its targetPath.
func (v *values) place(r reference) error {
	if err := r.set(v.merged); err != nil {
		return err
	}
	before := copied(v.shown)
	if err := r.set(v.shown); err != nil {
		return err
	}
	if r.secret() {
		v.shown = maskedChanges(before, v.shown, r.key()).(map[string]any)
	}
	return nil
}

// merge returns a with b over it. What comes of it may be changed, and they are not.
func merge(a, b map[string]any) map[string]any { return copied(fleet.MergeValues(a, b)) }

// copied is a deep copy of a value of JSON.
func copied[T any](value T) T {
	switch v := any(value).(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = copied(item)
		}
		return any(out).(T)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = copied(item)
		}
		return any(out).(T)
	}
	return value
}

// showValues answers Values.
func (a *action) showValues() error {
	var values *values
	if a.prepared != nil {
		values = a.prepared.values
	} else {
		var err error
		if values, err = a.values(); err != nil {
			return &reasoned{"ValuesError", err}
		}
	}
	shown := values.merged
	if !a.request.Reveal {
		shown = printable(values.shown).(map[string]any)
	}
	text, err := yaml.Marshal(shown)
	a.answer.Values = text
	return err
}
