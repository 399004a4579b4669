package sdk

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
)

// What Helm says is text. These are the parts of it that say where something failed, and those that never show a value.
var (
	// ofChart are errors of a chart, or of values that it does not take.
	ofChart = regexp.MustCompile(`^(execution error|parse error|YAML parse error|rendering template|values don't meet|chart requires kubeVersion|error (merging|while running|while parsing)|template: )|\n {2}executing "|cannot reuse a name that is still in use|error validating data`)
	// hook says which hook it was.
	hook = regexp.MustCompile(`((failed )?(pre|post)-(install|upgrade|rollback|delete)( hooks failed)?: )?((warning: )?Hook [a-z-]+ [\w./-]+ failed: )?`)
	// place is a file of the chart, with line and column.
	place = regexp.MustCompile(`[\w.-]+(/[\w.-]+)*/(templates|crds|charts)/[\w./-]+(:\d+)*`)
	// harmless are phrases without values.
	harmless = regexp.MustCompile(`nil pointer evaluating [\w.{} *\[\]]+|can't evaluate field \w+ in type [\w.{}*\[\]]+|wrong type for value; expected [\w.]+; got [\w.{}*\[\]]+` +
		`|function "\w+" not defined|wrong number of args for \w+: want [\w ]+ got \d+|error calling \w+|no template "[\w./-]+"|unable to execute template` +
		`|yaml: line \d+|[\w.\[\]-]+: field not declared in schema|\.[\w.\[\]-]+: expected \w+|server-side apply failed for object [\w./-]+ [\w./-]+, Kind=\w+|unknown field "[\w./\[\]-]+"|cannot unmarshal \w+ into Go struct field [\w.]+ of type [\w.\[\]*]+` +
		`|chart requires kubeVersion: [^\n]{1,60}? which is incompatible with Kubernetes v[\w.+-]+|cannot reuse a name that is still in use|another operation \(install/upgrade/rollback\) is in progress` +
		`|has no deployed releases|exists and cannot be imported into the current release|no matches for kind "[\w-]+" in version "[\w./]+"|resource mapping not found for name: "[\w.-]+" namespace: "[\w.-]*"`)
	// atValue is a line of the schema's complaints.
	atValue = regexp.MustCompile(`(?m)^\s*- at '([^']*)': (.*)$`)
	// speech is how a template's own message comes.
	speech = regexp.MustCompile(`(?s)(?:error calling (?:fail|required): |execution error at \([^)]*\): )(.*)$`)
)

// place is the file of the chart where it was: the last that an error names, with its line if any has one.
func (a *action) place(text string) string {
	places := place.FindAllString(text, -1)
	if len(places) == 0 {
		return ""
	}
	for _, found := range slices.Backward(places) {
		if strings.Contains(found, ":") {
			return found
		}
	}
	return places[len(places)-1]
}

// ofTemplate is the message that a template has ready for who did not give it what it needs, if it is in the chart word
// by word; it is told whether it is.
func (a *action) ofTemplate(text string) (said string, words bool) {
	found := speech.FindStringSubmatch(text)
	if found == nil {
		return "", false
	}
	message := strings.TrimSpace(found[1])
	if a.prepared == nil {
		return "the template says why", false
	}
	for _, file := range a.prepared.text {
		if message != "" && strings.Contains(file, message) {
			return message, true
		}
	}
	return "the template says why", false
}

// schema are the complaints of the chart's schema, but for those about values of Secrets.
func (a *action) schema(text string) string {
	if !strings.Contains(text, "values don't meet the specifications of the schema") {
		return ""
	}
	parts := []string{"values don't meet the schema of the chart"}
	if a.prepared == nil {
		return parts[0]
	}
	for _, found := range atValue.FindAllStringSubmatch(text, -1) {
		at, complaint := found[1], found[2]
		if hidden(a.prepared.values.shown, strings.Split(strings.Trim(at, "/"), "/")) {
			complaint = "it is refused"
		}
		parts = append(parts, fmt.Sprintf("at '%s': %s", at, complaint))
	}
	slices.Sort(parts[1:])
	parts = parts[:min(len(parts), 1+maxNamed)]
	return strings.Join(parts, "; ")
}

// inOrder is a text with the complaints of a schema in their order: they come in any, and a text that changes with each try
// would be told each time.
func inOrder(text string) string {
	var out, complaints []string
	flush := func() {
		slices.Sort(complaints)
		out, complaints = append(out, complaints...), nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch last := len(complaints) - 1; {
		case strings.HasPrefix(line, "- at "):
			complaints = append(complaints, line)
		case last >= 0 && strings.HasPrefix(line, " "): // why, in detail
			complaints[last] += "\n" + line
		default:
			flush()
			out = append(out, line)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// hidden reports whether there are values of Secrets at a path, or anything that is not known.
func hidden(shown any, path []string) bool {
	switch v := shown.(type) {
	case fleet.SecretKey:
		return true
	case map[string]any:
		if len(path) > 0 && path[0] != "" {
			item, has := v[path[0]]
			return !has && len(path) > 1 || has && hidden(item, path[1:])
		}
		for _, item := range v {
			if hidden(item, nil) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if hidden(item, nil) {
				return true
			}
		}
	}
	return false
}

// of is what the API server says of an object without its content: kind, name, and the fields that it refuses.
func of(status metav1.Status) string {
	text := string(status.Reason)
	if d := status.Details; d != nil {
		text = fmt.Sprintf("%s %q: %s", d.Kind, d.Name, status.Reason)
		for _, cause := range d.Causes {
			text += fmt.Sprintf("; %s: %s", cause.Field, cause.Type)
		}
	}
	if status.Reason == metav1.StatusReasonForbidden {
		if denied, _, found := strings.Cut(status.Message, " denied the request"); found {
			return denied + " denied the request"
		}
		return status.Message // who may not do what
	}
	return text
}
