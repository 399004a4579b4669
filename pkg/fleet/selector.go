package fleet

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Selector is a Kubernetes label selector. The empty Selector matches everything.
type Selector struct {
	MatchLabels      map[string]string     `json:"matchLabels,omitempty"`
	MatchExpressions []SelectorRequirement `json:"matchExpressions,omitempty"`
}

// SelectorRequirement is one expression of a Selector.
type SelectorRequirement struct {
	Key string `json:"key"`
	// In, NotIn, Exists or DoesNotExist.
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// IsEmpty reports whether s matches everything.
func (s Selector) IsEmpty() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Matches reports whether labels satisfy every requirement of s.
func (s Selector) Matches(labels map[string]string) bool { return s.Matcher()(labels) }

// Matcher is Matches for whoever asks of many.
func (s Selector) Matcher() func(labels map[string]string) bool {
	all := make([]SelectorRequirement, 0, len(s.MatchLabels)+len(s.MatchExpressions))
	for key, value := range s.MatchLabels {
		all = append(all, SelectorRequirement{Key: key, Operator: "In", Values: []string{value}})
	}
	all = append(all, s.MatchExpressions...)
	return func(labels map[string]string) bool {
		for i := range all {
			if !all[i].matches(labels) {
				return false
			}
		}
		return true
	}
}

func (r *SelectorRequirement) matches(labels map[string]string) bool {
	value, found := labels[r.Key]
	switch r.Operator {
	case "In":
		return found && slices.Contains(r.Values, value)
	case "NotIn":
		return !found || !slices.Contains(r.Values, value)
	case "Exists":
		return found
	case "DoesNotExist":
		return !found
	}
	return false
}

// validate records what is wrong with s, whose path in the object is path.
func (s Selector) validate(fields *Fields, path string) {
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		validateKey(fields, path+".matchLabels", key)
		validateValue(fields, path+".matchLabels["+key+"]", s.MatchLabels[key])
	}
	for i, r := range s.MatchExpressions {
		at := indexed(path+".matchExpressions", i)
		validateKey(fields, at+".key", r.Key)
		for j, value := range r.Values {
			validateValue(fields, indexed(at+".values", j), value)
		}
		switch r.Operator {
		case "In", "NotIn":
			if len(r.Values) == 0 {
				fields.Refuse(at+".values", "operator %s needs at least one value", r.Operator)
			}
		case "Exists", "DoesNotExist":
			if len(r.Values) != 0 {
				fields.Refuse(at+".values", "operator %s takes no values", r.Operator)
			}
		default:
			fields.Refuse(at+".operator", "%q is not In, NotIn, Exists or DoesNotExist", r.Operator)
		}
	}
}

// maxLabel is the longest name of a label, without its prefix, and the longest value.
const maxLabel = 63

func validateKey(fields *Fields, path, key string) {
	switch _, name, prefixed := strings.Cut(key, "/"); {
	case key == "":
		fields.Require(path, "")
	case !wholeKey.MatchString(key), len(key) > 317, prefixed && len(name) > maxLabel, !prefixed && len(key) > maxLabel:
		fields.Refuse(path, "%q is not a label key such as tier or example.com/tier", key)
	}
}

func validateValue(fields *Fields, path, value string) {
	if len(value) > maxLabel || !wholeValue.MatchString(value) {
		fields.Refuse(path, "%q is not a label value", value)
	}
}

// ParseSelector reads a selector as kubectl's -l takes it: "a=b,c!=d,e in (x,y),f notin (z),g,!h". Empty matches
// everything.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	for _, part := range splitRequirements(text) {
		r, err := parseRequirement(part)
		if err != nil {
			return Selector{}, fmt.Errorf("label selector %q: %w", text, err)
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return s, nil
}

const (
	labelKey   = `[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?`
	labelValue = `(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?`
)

var (
	setPattern   = regexp.MustCompile(`^(` + labelKey + `)\s+(in|notin)\s+\(([^()]*)\)$`)
	valuePattern = regexp.MustCompile(`^(` + labelKey + `)\s*(==|=|!=)\s*(` + labelValue + `)$`)
	wholeKey     = regexp.MustCompile(`^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	wholeValue   = regexp.MustCompile(`^` + labelValue + `$`)
	keyPattern   = regexp.MustCompile(`^(!?)\s*(` + labelKey + `)$`)
)

func parseRequirement(text string) (SelectorRequirement, error) {
	if m := setPattern.FindStringSubmatch(text); m != nil {
		operator := map[string]string{"in": "In", "notin": "NotIn"}[m[2]]
		values := strings.Split(m[3], ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		return SelectorRequirement{Key: m[1], Operator: operator, Values: values}, nil
	}
	if m := valuePattern.FindStringSubmatch(text); m != nil {
		operator := "In"
		if m[2] == "!=" {
			operator = "NotIn"
		}
		return SelectorRequirement{Key: m[1], Operator: operator, Values: []string{m[3]}}, nil
	}
	if m := keyPattern.FindStringSubmatch(text); m != nil {
		operator := "Exists"
		if m[1] == "!" {
			operator = "DoesNotExist"
		}
		return SelectorRequirement{Key: m[2], Operator: operator}, nil
	}
	return SelectorRequirement{}, fmt.Errorf("%w: %q is not a requirement such as key=value, key!=value, key in (a,b), key or !key", ErrInvalid, text)
}

// splitRequirements splits at the commas outside of parentheses.
func splitRequirements(text string) []string {
	var parts []string
	depth, begin := 0, 0
	for i, c := range text + "," {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && (depth == 0 || i == len(text)):
			if part := strings.TrimSpace(text[begin:i]); part != "" {
				parts = append(parts, part)
			}
			begin = i + 1
		}
	}
	return parts
}
