package deploy

import (
	"context"
	"maps"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/subst"
	"flotilla.dev/flotilla/spoke/reference"
)

// Variables returns the variables that an App has now, and where they are from. Values of Secrets are masked.
func (e *Engine) Variables(ctx context.Context, t Target) (fleet.Variables, error) {
	answer := fleet.Variables{Variables: []fleet.Variable{}}
	if t.Release.PostBuild == nil {
		return answer, nil
	}
	found := map[string]fleet.Variable{}
	var read []reference.Reading
	layers := e.layers(ctx, t, &read)
	answer.Substitutes = substitutes(*t.Release.PostBuild, layers)
	for _, l := range layers {
		if ctx.Err() != nil {
			return answer, context.Cause(ctx)
		}
		if l.err != nil {
			answer.Missing = append(answer.Missing, l.err.Error())
		}
		for name, value := range l.values {
			v := l.variable(name, value)
			shown := fleet.Variable{Name: name, Value: strings.ReplaceAll(v.Value, "\n", ""), From: v.From}
			if v.Secret {
				shown.Secret = &fleet.SecretKey{Namespace: l.ref.Namespace, Name: l.ref.Name, Key: name}
				shown.Value = shown.Secret.Masked()
			}
			if below, has := found[name]; has {
				shown.Overrides = append([]string{below.From}, below.Overrides...)
			}
			found[name] = shown
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !subst.IsName(name) {
			answer.Missing = append(answer.Missing, "the name of a variable has letters, digits and _, no digit first: "+name+", from "+found[name].From)
		}
		answer.Variables = append(answer.Variables, found[name])
	}
	return answer, nil
}
