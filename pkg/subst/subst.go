package subst

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/envsubst"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Variable is a value and where it is from.
type Variable struct {
	Value string `json:"value"`
	// From says where, for people: "Secret/apps/database key PASSWORD".
	From string `json:"-"`
	// Secret values are never shown.
	Secret bool `json:"secret,omitempty"`
}

// Variables by name.
type Variables map[string]Variable

// Set gives a variable a value in place of the one that it has, if any.
func (v Variables) Set(name string, variable Variable) {
	variable.Value = strings.ReplaceAll(variable.Value, "\n", "")
	v[name] = variable
}

// IsName reports whether a variable can have the name.
func IsName(name string) bool { return fleet.IsVariable(name) }

// Check returns an error that wraps fleet.ErrInvalid and names the first variable whose name is none, and where it is
// from. As in Flux it does not matter whether the variable is used.
func (v Variables) Check() error {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !IsName(name) {
			return fmt.Errorf("%w: %q (%s) %s", fleet.ErrInvalid, name, v[name].From, fleet.NoVariable)
		}
	}
	return nil
}

// Digest tells variables apart by names, values and whether they are secret.
func (v Variables) Digest() fleet.Digest {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode variables: %v", err)) // strings always encode
	}
	return fleet.DigestOf(data)
}

// Text puts the variables into a text; secret says that the value of a secret one went into it, if only to choose
// between others. An error wraps fleet.ErrInvalid and holds no part of any value.
func (v Variables) Text(text string) (result string, secret bool, err error) {
	last, missing := "", false
	result, err = envsubst.Eval(text, func(name string) (string, bool) {
		variable, exists := v[name]
		last, missing = name, !exists
		secret = secret || variable.Secret
		return variable.Value, exists
	})
	switch {
	case err == nil:
		return result, secret, nil
	case missing:
		return "", secret, fmt.Errorf("%w: variable %q is not set and has no default", fleet.ErrInvalid, last)
	}
	return "", secret, fmt.Errorf("%w: substitution of variables: %w", fleet.ErrInvalid, err)
}
