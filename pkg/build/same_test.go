package build_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/build"
)

func TestDocumentsAreTheSameButForKeysWithoutAnOrder(t *testing.T) {
	t.Parallel()
	const circle = "data:\n  k1B: a\n  k2: b\n  k10: c\nkind: ConfigMap\n"
	turned := strings.Replace(circle, "  k1B: a\n  k2: b\n  k10: c\n", "  k2: b\n  k10: c\n  k1B: a\n", 1)
	for name, tc := range map[string]struct {
		a, b string
		same bool
	}{
		"equal":                   {circle, circle, true},
		"keys that go in circles": {circle, turned, true},
		"another value":           {circle, strings.Replace(turned, "a", "x", 1), false},
		"another key":             {circle, strings.Replace(turned, "k10", "k11", 1), false},
		"a key less":              {circle, strings.Replace(turned, "  k10: c\n", "", 1), false},
		"another style":           {circle, strings.Replace(turned, ": c", ": 'c'", 1), false},
		"keys with an order":      {"a: 1\nb: 2\n", "b: 2\na: 1\n", false},
		"numbers with an order":   {"k2: 1\nk10: 2\n", "k10: 2\nk2: 1\n", false},
		"a list":                  {"- a\n- b\n", "- b\n- a\n", false},
		"no YAML":                 {"{", "[", false},
	} {
		if got := build.SameDocument([]byte(tc.a), []byte(tc.b)); got != tc.same {
			t.Errorf("%s: %t", name, got)
		}
	}
}
