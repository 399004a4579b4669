package sdk

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
)

// secrets are the values that are from Secrets, by where from, in the forms in which a text may have them.
type secrets struct {
	known    map[string]fleet.SecretKey
	replacer *strings.Replacer // nil: none is known that is looked for
	has      bool
}

// shortest is the length of a value that is looked for in texts. What is shorter would be found everywhere.
const shortest = 4

// shortestLine is that of a line of a longer value: many have lines that are no secret.
const shortestLine = 8

// any reports whether values of Secrets are among the values.
func (s *secrets) any() bool { return s.has }

// collect returns them with the values of a tree that the other, which is shown, has a key of a Secret for. The trees may
// differ, as those of two versions of a release do.
func (s *secrets) collect(merged, shown any) secrets {
	all := secrets{known: maps.Clone(s.known), has: s.has}
	if all.known == nil {
		all.known = map[string]fleet.SecretKey{}
	}
	all.gather(merged, shown)
	var pairs []string
	// One that has another in it comes first.
	for _, text := range slices.SortedFunc(maps.Keys(all.known), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) {
		pairs = append(pairs, text, all.known[text].Masked())
	}
	if len(pairs) > 0 {
		all.replacer = strings.NewReplacer(pairs...)
	}
	return all
}

func (s *secrets) gather(merged, shown any) {
	switch shown := shown.(type) {
	case fleet.SecretKey:
		s.add(merged, shown)
	case map[string]any:
		below, _ := merged.(map[string]any)
		for name, item := range shown {
			if value, has := below[name]; has {
				s.gather(value, item)
			}
		}
	case []any:
		below, _ := merged.([]any)
		for i, item := range shown {
			if i < len(below) {
				s.gather(below[i], item)
			}
		}
	}
}

func (s *secrets) add(value any, key fleet.SecretKey) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for _, item := range v {
			s.add(item, key)
		}
	case []any:
		for _, item := range v {
			s.add(item, key)
		}
	case float64: // as JSON has numbers; a template may print the exponent
		s.know(strconv.FormatFloat(v, 'f', -1, 64), key)
		s.know(fmt.Sprint(v), key)
	default:
		s.know(fmt.Sprint(v), key)
	}
}

// know takes a value in the forms that templates and the API server give it: as it is, line by line, quoted, and as base64,
// part of an address or, as a name has to be, in small letters.
func (s *secrets) know(value string, key fleet.SecretKey) {
	s.has = true
	forms := []string{
		value, strings.TrimSpace(value), strings.Trim(strconv.Quote(value), `"`), url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.URLEncoding.EncodeToString([]byte(value)),
	}
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); len(line) >= shortestLine {
			forms = append(forms, line)
		}
	}
	for _, form := range forms {
		for _, text := range []string{form, strings.ToLower(form), strings.ToUpper(form)} {
			if len(value) >= shortest && len(text) >= shortest {
				s.known[text] = key
			}
		}
	}
}

// mask replaces the values in a text.
func (s *secrets) mask(text string) string {
	if s.replacer == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// masked is a tree with the key in the place of every value.
func masked(value any, key fleet.SecretKey) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = masked(item, key)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = masked(item, key)
		}
		return out
	}
	return key
}

// maskedChanges is the tree after a change, with the key in the place of every value that was not there before.
func maskedChanges(before, after any, key fleet.SecretKey) any {
	switch after := after.(type) {
	case map[string]any:
		below, _ := before.(map[string]any)
		for name, item := range after {
			was, has := below[name]
			if !has {
				after[name] = masked(item, key)
				continue
			}
			after[name] = maskedChanges(was, item, key)
		}
		return after
	case []any:
		below, _ := before.([]any)
		for i, item := range after {
			if i >= len(below) {
				after[i] = masked(item, key)
				continue
			}
			after[i] = maskedChanges(below[i], item, key)
		}
		return after
	}
	if reflect.DeepEqual(before, after) {
		return after
	}
	return key
}

// printable is a tree with the mask of each key in its place.
func printable(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = printable(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = printable(item)
		}
		return out
	case fleet.SecretKey:
		return v.Masked()
	}
	return value
}
