package render

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"flotilla.dev/flotilla/pkg/build"
)

// outcome is what a worker says about how it made a build.
type outcome struct {
	Way    build.Class `json:"way"`
	Reason string      `json:"reason,omitempty"`
	// Cause is the Reason in a word, of a build by kustomize itself: the field that asks for it, or one of the causes.
	Cause      string            `json:"cause,omitempty"`
	Found      bool              `json:"found,omitempty"`
	Checked    bool              `json:"checked,omitempty"`
	Skipped    bool              `json:"skipped,omitempty"`
	Difference *build.Difference `json:"difference,omitempty"`
	// Alone says that the worker is to serve no other build: this one brought a schema, of which kustomize keeps parts in
	// globals.
	Alone bool `json:"alone,omitempty"`
}

// Causes of a build by kustomize itself, beside the fields that ask for it and build's.
const (
	causeInvalid = "invalid" // kustomize says what is wrong
	causeOther   = "other"
)

func outcomeOf(plan *build.Plan, out build.Output) outcome {
	o := outcome{Way: out.Way, Reason: out.Reason, Cause: string(out.Cause), Found: out.Found, Checked: out.Checked, Skipped: out.Skipped, Difference: out.Difference, Alone: plan.Schema}
	switch {
	case out.Way != build.ClassKustomize || out.Cause != "":
	case plan.Field == "":
		o.Cause = causeInvalid
	default:
		o.Cause = fieldOf(plan.Field)
	}
	return o
}

// fieldOf is the name of a field at the top of a kustomization file, or of an App's spec, of a path to what is in it.
func fieldOf(path string) string {
	path = strings.TrimPrefix(path, "spec.")
	if end := strings.IndexAny(path, ".[ "); end >= 0 {
		path = path[:end]
	}
	return path
}

// causes are what a Cause may be: a worker's word must not make metrics grow.
var causes = func() []string {
	all := []string{"", causeInvalid, string(build.CauseDoubt), string(build.CauseDistrust), string(build.CauseDifference), causeOther}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[types.Kustomization]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}()

// maxText bounds what is shown of a worker's words.
const maxText = 1 << 10

func (o outcome) encode() ([]byte, error) { return json.Marshal(o.shown()) }

func decodeOutcome(payload []byte) (outcome, error) {
	var o outcome
	if err := json.Unmarshal(payload, &o); err != nil {
		return o, errMalformed
	}
	if !slices.Contains([]build.Class{build.ClassPlain, build.ClassEngine, build.ClassKustomize, build.ClassEncrypted}, o.Way) {
		return o, errMalformed
	}
	if !slices.Contains(causes, o.Cause) {
		o.Cause = causeOther
	}
	return o.shown(), nil
}

// shown is the outcome with its words cut.
func (o outcome) shown() outcome {
	o.Reason = shown(o.Reason)
	if o.Difference != nil {
		d := *o.Difference
		d.Dir, d.What = shown(d.Dir), shown(d.What)
		o.Difference = &d
	}
	return o
}

func shown(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "?")
}
