package expr

import (
	"errors"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Filter tells whether a call of a webhook is about an object: a filter of a Receiver. It is safe for concurrent use.
type Filter struct{ e *expression }

// NewFilter compiles a filter: a boolean over res, the object's metadata, req, the body of the call, and withClaims over
// claims, those of the caller's token. Errors wrap fleet.ErrInvalid.
func NewFilter(text string, withClaims bool) (*Filter, error) {
	variables := []string{"res", "req"}
	if withClaims {
		variables = append(variables, "claims")
	}
	e, err := check(text, variables...)
	if err != nil {
		return nil, err
	}
	return &Filter{e}, nil
}

// Accepts reports whether the call is about the object.
func (f *Filter) Accepts(res, req, claims map[string]any) (bool, error) {
	return f.e.isTrue(map[string]any{"res": res, "req": req, "claims": claims})
}

// Claims tells whether a token is a good one by what its issuer says in it. It is safe for concurrent use.
type Claims struct {
	variables   []variable
	validations []validation
}

type variable struct {
	name string
	e    *expression
}

type validation struct {
	message string
	e       *expression
}

// NewClaims compiles the variables and validations of a provider, whose path in the spec is at. Its errors are
// fleet.FieldErrors.
func NewClaims(at string, provider flux.OIDCProvider) (*Claims, error) {
	var fields fleet.Fields
	c := &Claims{}
	for i, v := range provider.Variables {
		e, _, err := declare(v.Expression, []string{"claims", "vars"})
		if err != nil {
			refuse(&fields, fmt.Sprintf("%s.variables[%d].expression", at, i), err)
		}
		c.variables = append(c.variables, variable{v.Name, e})
	}
	for i, v := range provider.Validations {
		e, err := check(v.Expression, "claims", "vars")
		if err != nil {
			refuse(&fields, fmt.Sprintf("%s.validations[%d].expression", at, i), err)
		}
		c.validations = append(c.validations, validation{v.Message, e})
	}
	return c, fields.Err()
}

// Check says why a token with these claims is none; nil: it is a good one. Of validations that fail it tells all the
// messages.
func (c *Claims) Check(claims map[string]any) error {
	vars := map[string]any{}
	scope := map[string]any{"claims": claims, "vars": vars}
	for _, v := range c.variables {
		value, err := v.e.value(scope)
		if err != nil {
			return fmt.Errorf("variable %s: %w", v.name, err)
		}
		vars[v.name] = value
	}
	var failed []string
	for i, v := range c.validations {
		ok, err := v.e.isTrue(scope)
		switch {
		case err != nil:
			return fmt.Errorf("validation %d: %w", i, err)
		case !ok:
			failed = append(failed, v.message)
		}
	}
	if len(failed) > 0 {
		return errors.New(strings.Join(failed, "; "))
	}
	return nil
}

// CheckReceiver returns the FieldErrors of a Receiver's expressions.
func CheckReceiver(spec flux.Receiver) error {
	var fields fleet.Fields
	withClaims := spec.Type == flux.GenericOIDCReceiver
	filter := func(at, text string) {
		if text == "" {
			return
		}
		if _, err := NewFilter(text, withClaims); err != nil {
			refuse(&fields, at, err)
		}
	}
	filter("spec.resourceFilter", spec.ResourceFilter)
	for i, resource := range spec.Resources {
		filter(fmt.Sprintf("spec.resources[%d].filter", i), resource.Filter)
	}
	for i, provider := range spec.OIDCProviders {
		if _, err := NewClaims(fmt.Sprintf("spec.oidcProviders[%d]", i), provider); err != nil {
			fields = append(fields, err)
		}
	}
	return fields.Err()
}
