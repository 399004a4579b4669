package expr_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/expr"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestExpressionsOfAReceiverAreRefusedByTheirPath(t *testing.T) {
	t.Parallel()
	oidc := func(provider flux.OIDCProvider) flux.Receiver {
		return flux.Receiver{Type: flux.GenericOIDCReceiver, OIDCProviders: []flux.OIDCProvider{provider}}
	}
	validated := func(text string) flux.Receiver {
		return oidc(flux.OIDCProvider{Validations: []flux.OIDCValidation{{Expression: "true"}, {Expression: text}}})
	}
	for name, test := range map[string]struct {
		spec flux.Receiver
		want string
	}{
		"a filter":                   {flux.Receiver{ResourceFilter: "req.tag.split('/').last().split(':').first() == res.metadata.name"}, "spec.resourceFilter: does not compile as CEL"},
		"a filter of Flux's":         {flux.Receiver{ResourceFilter: "has(res.metadata.annotations) && req.tag.split('/')[2].split(':')[0] == res.metadata.annotations['update-image']"}, ""},
		"a filter of no boolean":     {flux.Receiver{ResourceFilter: "res.metadata.name"}, "spec.resourceFilter: is of type dyn and has to be a boolean"},
		"a filter over claims":       {flux.Receiver{Type: flux.GitHubReceiver, ResourceFilter: "claims.sub == 'x'"}, "spec.resourceFilter: does not compile as CEL: line 1, column 1: undeclared reference to 'claims'"},
		"a filter over its claims":   {flux.Receiver{Type: flux.GenericOIDCReceiver, ResourceFilter: "claims.sub == 'x'"}, ""},
		"a filter of a resource":     {flux.Receiver{Resources: []flux.ReceiverResource{{Filter: "true"}, {Filter: "res.("}}}, "spec.resources[1].filter: does not compile as CEL"},
		"a filter that is too long":  {flux.Receiver{ResourceFilter: "res.metadata.name == '" + strings.Repeat("x", 20_000) + "'"}, "spec.resourceFilter: is 20023 characters long"},
		"a validation":               {validated("claims.sub == 'x' && vars.a == 'y'"), ""},
		"a validation of no boolean": {validated("vars.a"), "spec.oidcProviders[0].validations[1].expression: is of type dyn"},
		"a validation over req":      {validated("req.a == 'b'"), "spec.oidcProviders[0].validations[1].expression: does not compile as CEL"},
		"a variable":                 {oidc(flux.OIDCProvider{Variables: []flux.OIDCVariable{{Name: "a", Expression: "claims.sub.split(':')"}}}), ""},
		"a variable over res":        {oidc(flux.OIDCProvider{Variables: []flux.OIDCVariable{{Name: "a", Expression: "res.x"}}}), "spec.oidcProviders[0].variables[0].expression: does not compile as CEL"},
	} {
		err := expr.CheckReceiver(test.spec)
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, fleet.ErrInvalid) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestClaimsAreCheckedByAllValidationsOverVariablesInTheirOrder(t *testing.T) {
	t.Parallel()
	checked, err := expr.NewClaims("spec.oidcProviders[0]", flux.OIDCProvider{
		Variables: []flux.OIDCVariable{{Name: "parts", Expression: "claims.sub.split('/')"}, {Name: "team", Expression: "vars.parts[0]"}},
		Validations: []flux.OIDCValidation{{Expression: "vars.team in ['web', 'ops']", Message: "another team"},
			{Expression: "vars.parts.size() == 2", Message: "no project"}, {Expression: "claims.level >= 3", Message: "too low"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		claims map[string]any
		want   string
	}{
		{map[string]any{"sub": "web/app", "level": 3.0}, ""},
		{map[string]any{"sub": "evil/app", "level": 3.0}, "another team"},
		{map[string]any{"sub": "evil", "level": 2.5}, "another team; no project; too low"},
		{map[string]any{"level": 3.0}, "variable parts: no such key: sub"},
		{map[string]any{"sub": "web/app"}, "validation 2: no such key: level"},
		{map[string]any{"sub": "web/app", "level": "hunter2"}, "validation 2: no such overload"},
	} {
		text := ""
		if err := checked.Check(test.claims); err != nil {
			text = err.Error()
		}
		if text != test.want {
			t.Errorf("%v: %q, want %q", test.claims, text, test.want)
		}
	}
}
