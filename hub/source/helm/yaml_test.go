package helm

import (
	"fmt"
	"strings"
	"testing"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// What a document may have is decided before it is parsed, so it must never be less than a parser finds.
func FuzzDocument(f *testing.F) {
	for _, text := range []string{
		"a: 1\n", "[a, b]", "{a, b}", "? a\n", "- - - a\n", "a: [b: c, {d}]\n", "\"a\":b\n", "{\"a\":1}", "- a\n-\n-\tb\n", "&a a: *a", "!!map {? a : b}", "a:\u0085- b\u2028- c\n",
		"a: |\n  - b\n  c: d\n", "---\n- a\n...\n", utf16Text("- a\n- b\n"), "-\u00a0a\n", "a:\r- b\r- c\r", "[?a, :b, ::c]", "{a:b}", "{? ? a}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10_000 {
			return
		}
		bound := count(data)
		var v3 yamlv3.Node
		if yamlv3.Unmarshal(data, &v3) == nil {
			if n := (&expansion{}).written(&v3); n > bound+1 { // the document is a node as well
				t.Errorf("%q has %d nodes, and was counted to have %d", data, n, bound)
			}
		}
		var decoded any
		if !strings.Contains(string(data), "*") && yaml.Unmarshal(data, &decoded) == nil {
			if n := valuesIn(decoded); n > bound {
				t.Errorf("%q has %d values, and was counted to have %d", data, n, bound)
			}
		}
	})
}

func valuesIn(v any) int {
	sum := 1
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			sum += valuesIn(item)
		}
	case map[string]any:
		for _, item := range v {
			sum += 1 + valuesIn(item)
		}
	}
	return sum
}

func utf16Text(text string) string {
	out := "\xff\xfe"
	for _, c := range []byte(text) {
		out += string([]byte{c, 0})
	}
	return out
}

// The bounds let through what people write: the longest values.yaml in public use has some thousand lines.
func TestUsualDocumentsAreWithinTheBounds(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("common: &common\n  labels: {app: a}\n")
	for i := range 1500 {
		fmt.Fprintf(&text, "## @param component%[1]d.enabled Says whether the component, which is the %[1]dth, is enabled: \"true\" - or \"false\"\ncomponent%[1]d:\n  <<: *common\n  enabled: true\n  image: {registry: docker.io, repository: example/app, tag: \"1.%[1]d\"}\n  args: []\n", i)
	}
	if err := check("values.yaml", []byte(text.String())); err != nil {
		t.Error(err)
	}
}
