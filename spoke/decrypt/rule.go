package decrypt

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rule says which values of a document are encrypted: at most one of the six fields of the metadata that tell.
type rule struct {
	key, comment func(string) bool
	// negated rules name what is not encrypted.
	negated bool
}

// ruleOf reads the rule from a document's metadata. Without one it is SOPS' own: not what is below a key that ends in
// "_unencrypted".
func ruleOf(metadata map[string]any) (rule, error) {
	var found []rule
	for _, kind := range []struct {
		field   string
		suffix  bool
		comment bool
		negated bool
	}{
		{"unencrypted_suffix", true, false, true},
		{"encrypted_suffix", true, false, false},
		{"unencrypted_regex", false, false, true},
		{"encrypted_regex", false, false, false},
		{"unencrypted_comment_regex", false, true, true},
		{"encrypted_comment_regex", false, true, false},
	} {
		text := textOf(metadata[kind.field])
		if text == "" {
			continue
		}
		match := func(s string) bool { return strings.HasSuffix(s, text) }
		if !kind.suffix {
			expression, err := regexp.Compile(text)
			if err != nil {
				return rule{}, fmt.Errorf("sops.%s is not a regular expression", kind.field)
			}
			match = expression.MatchString
		}
		r := rule{key: match, negated: kind.negated}
		if kind.comment {
			r.key, r.comment = nil, match
		}
		found = append(found, r)
	}
	switch len(found) {
	case 0:
		return rule{key: func(s string) bool { return strings.HasSuffix(s, "_unencrypted") }, negated: true}, nil
	case 1:
		return found[0], nil
	}
	return rule{}, errors.New("sops has more than one rule for what is encrypted")
}

// encrypts reports whether the value at path is encrypted, given the comments before it. A comment that is an encrypting
// rule's own is not.
func (r rule) encrypts(path []string, above scope, isComment bool) bool {
	if r.key != nil {
		return slices.ContainsFunc(path, r.key) != r.negated
	}
	for i, level := range above {
		if isComment && !r.negated && i == len(above)-1 {
			level = level[:len(level)-1]
		}
		if slices.ContainsFunc(level, r.comment) {
			return !r.negated
		}
	}
	return r.negated
}
