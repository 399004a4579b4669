package build

import (
	"bytes"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"flotilla.dev/flotilla/pkg/build/encode"
)

// sameDocument reports whether two documents are what kustomize prints of one object. It prints some keys, which it has no
// order for, in another order each time.
func sameDocument(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var first, second yaml.Node
	return yaml.Unmarshal(a, &first) == nil && yaml.Unmarshal(b, &second) == nil && sameNode(&first, &second)
}

func sameNode(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Style != b.Style || a.Tag != b.Tag || a.Value != b.Value || a.Anchor != b.Anchor ||
		a.HeadComment != b.HeadComment || a.LineComment != b.LineComment || a.FootComment != b.FootComment || len(a.Content) != len(b.Content) {
		return false
	}
	first, second := a.Content, b.Content
	if a.Kind == yaml.MappingNode {
		if keys := keysOf(first); !slices.Equal(keys, keysOf(second)) && !encode.Ordered(keys) {
			first, second = byKey(first), byKey(second)
		}
	}
	return slices.EqualFunc(first, second, sameNode)
}

func keysOf(pairs []*yaml.Node) []string {
	var keys []string
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, pairs[i].Value)
	}
	return keys
}

// byKey has the pairs in an order that depends on their keys alone.
func byKey(pairs []*yaml.Node) []*yaml.Node {
	chunks := slices.Collect(slices.Chunk(pairs, 2))
	slices.SortStableFunc(chunks, func(a, b []*yaml.Node) int { return strings.Compare(a[0].Value, b[0].Value) })
	return slices.Concat(chunks...)
}
