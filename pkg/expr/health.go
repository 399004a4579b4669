package expr

import (
	"fmt"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// State is how an object is, by the expressions of its kind.
type State string

// The states, in kstatus' words.
const (
	InProgress State = "InProgress"
	Failed     State = "Failed"
	Current    State = "Current"
)

// Health tells the health of objects of the kinds that an App has expressions for. Nil has none. It is safe for
// concurrent use.
type Health struct{ kinds map[kind]rule }

// kind is one, or all of a group.
type kind struct{ group, name string }

type rule struct{ inProgress, failed, current *expression }

// NewHealth compiles the expressions of spec.healthCheckExprs. Its errors are fleet.FieldErrors.
func NewHealth(checks []fleet.HealthCheckExpr) (*Health, error) {
	if len(checks) == 0 {
		return nil, nil
	}
	var fields fleet.Fields
	h := &Health{kinds: map[kind]rule{}}
	for i, check := range checks {
		at := fmt.Sprintf("spec.healthCheckExprs[%d]", i)
		k := kind{groupOf(check.APIVersion), check.Kind}
		if _, twice := h.kinds[k]; twice {
			fields.Refuse(at, "the kind %q of %q has expressions already: a kind has one entry, whatever its version", k.name, k.group)
		}
		h.kinds[k] = rule{
			inProgress: parseField(&fields, at+".inProgress", check.InProgress),
			failed:     parseField(&fields, at+".failed", check.Failed),
			current:    parseField(&fields, at+".current", check.Current),
		}
	}
	return h, fields.Err()
}

// parseField compiles an expression that may be missing.
func parseField(fields *fleet.Fields, path, text string) *expression {
	if text == "" {
		return nil
	}
	e, err := parse(text)
	if err != nil {
		refuse(fields, path, err)
	}
	return e
}

func refuse(fields *fleet.Fields, path string, err error) {
	fields.Refuse(path, "%s", strings.TrimPrefix(err.Error(), fleet.ErrInvalid.Error()+": "))
}

// Judges reports whether there are expressions for an object's kind. As in Flux there never are for a Job: it is
// healthy when it has completed.
func (h *Health) Judges(object fleet.ObjectRef) bool {
	_, judges := h.rule(object)
	return judges
}

func (h *Health) rule(object fleet.ObjectRef) (rule, bool) {
	if h == nil || object.Group == "batch" && object.Kind == "Job" {
		return rule{}, false
	}
	if r, found := h.kinds[kind{object.Group, object.Kind}]; found {
		return r, true
	}
	r, found := h.kinds[kind{object.Group, ""}]
	return r, found
}

// Evaluate returns how an object is whose kind there are expressions for, and what to tell about it. An expression that
// fails, as when a field is not there yet, says that it is in progress.
func (h *Health) Evaluate(ref fleet.ObjectRef, object map[string]any) (State, string) {
	r, judges := h.rule(ref)
	if !judges {
		return InProgress, "no expression is about it"
	}
	if observed, is := number(object, "status", "observedGeneration"); is {
		if generation, is := number(object, "metadata", "generation"); is && observed != generation {
			return InProgress, fmt.Sprintf("generation %d is not observed yet", generation)
		}
	}
	for _, try := range []struct {
		name  string
		e     *expression
		state State
	}{{"inProgress", r.inProgress, InProgress}, {"failed", r.failed, Failed}, {"current", r.current, Current}} {
		if try.e == nil {
			continue
		}
		is, err := try.e.isTrue(object)
		switch {
		case err != nil:
			return InProgress, fmt.Sprintf("healthCheckExprs %s: %s", try.name, err)
		case is && try.state == Current:
			return Current, ""
		case is:
			return try.state, "by healthCheckExprs " + try.name
		}
	}
	return InProgress, "by healthCheckExprs: current is not true yet"
}

// number returns a whole number that is a field of a field.
func number(object map[string]any, outer, inner string) (int64, bool) {
	fields, _ := object[outer].(map[string]any)
	n, is := fields[inner].(int64)
	return n, is
}

// groupOf is the API group of an apiVersion; empty: the core group.
func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}
