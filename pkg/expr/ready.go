package expr

import (
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Ready tells from the declared objects whether a dependency is ready: a readyExpr. It is safe for concurrent use.
type Ready struct{ e *expression }

// NewReady compiles a readyExpr: a boolean over the objects self and dep. Errors wrap fleet.ErrInvalid.
func NewReady(text string) (*Ready, error) {
	e, err := check(text, "self", "dep")
	if err != nil {
		return nil, err
	}
	return &Ready{e}, nil
}

// Evaluate reports whether dep is ready for self.
func (r *Ready) Evaluate(self, dep map[string]any) (bool, error) {
	return r.e.isTrue(map[string]any{"self": self, "dep": dep})
}

// Check returns the FieldErrors of an App's expressions: those of its kinds' health, and the readyExpr of each entry of
// spec.dependsOn (empty: it has none).
func Check(health []fleet.HealthCheckExpr, readyExprs []string) error {
	var fields fleet.Fields
	if _, err := NewHealth(health); err != nil {
		fields = append(fields, err)
	}
	for i, text := range readyExprs {
		if text == "" {
			continue
		}
		if _, err := NewReady(text); err != nil {
			refuse(&fields, fmt.Sprintf("spec.dependsOn[%d].readyExpr", i), err)
		}
	}
	return fields.Err()
}
