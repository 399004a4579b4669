package sdk

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// keys are those of the maps in the rendered objects that no value of a Secret has made: they stand in the chart, in the plan,
// or in the values that may be shown.
func (a *action) keys(loaded *chart.Chart) ([]string, error) {
	known := slices.Clone(a.prepared.text)
	defaults, err := chartValues(loaded)
	if err != nil {
		return nil, err
	}
	plan, err1 := json.Marshal(a.job.Plan)
	binding, err2 := json.Marshal(a.job.Binding)
	shown, err3 := json.Marshal(printable(a.prepared.values.shown))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	known = append(known, defaults, string(plan), string(binding), string(shown))
	found := map[string]bool{}
	for _, document := range append(a.answer.Objects[:len(a.answer.Objects):len(a.answer.Objects)], a.answer.Before...) {
		var object any
		if err := json.Unmarshal(document, &object); err != nil {
			return nil, err
		}
		keysOf(object, found)
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(found)) {
		if slices.ContainsFunc(known, func(text string) bool { return hasWord(text, key) }) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// hasWord reports whether a text has a key as a word of its own: a short value of a Secret is part of many words.
func hasWord(text, key string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], key)
		if i < 0 || key == "" {
			return false
		}
		start, end := at+i, at+i+len(key)
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if !ofWord(before) && !ofWord(after) {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		at = start + size
	}
}

func ofWord(r rune) bool {
	return r != utf8.RuneError && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

// chartValues are the defaults of a chart, and of those in it.
func chartValues(loaded *chart.Chart) (string, error) {
	text, err := json.Marshal(loaded.Values)
	if err != nil {
		return "", err
	}
	all := string(text)
	for _, within := range loaded.Dependencies() {
		below, err := chartValues(within)
		if err != nil {
			return "", err
		}
		all += below
	}
	return all, nil
}

func keysOf(value any, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for key, item := range v {
			into[key] = true
			keysOf(item, into)
		}
	case []any:
		for _, item := range v {
			keysOf(item, into)
		}
	}
}
