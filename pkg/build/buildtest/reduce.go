package buildtest

import (
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Reduce takes out of a tree what can be left out while it still fails: files, documents, and single fields of them. What
// is left is written plainly, unless it fails only as it was written.
func (t Tree) Reduce(fails func(Tree) bool) Tree {
	if bare := (Tree{Files: t.Files, Flaw: t.Flaw}); fails(bare) {
		t = bare
	}
	for changed := true; changed; {
		changed = false
		try := func(name, content string, there bool) bool {
			smaller := Tree{Files: maps.Clone(t.Files), Spec: t.Spec, Flaw: t.Flaw}
			delete(smaller.Files, name)
			if there {
				smaller.Files[name] = content
			}
			if there && content == t.Files[name] || !fails(smaller) {
				return false
			}
			t, changed = smaller, true
			return true
		}
		for _, name := range slices.Sorted(maps.Keys(t.Files)) {
			if try(name, "", false) {
				continue
			}
			documents, err := decode(t.Files[name])
			if err != nil || path.Ext(name) == ".env" {
				continue
			}
			if plain := encode(documents); len(plain) < len(t.Files[name]) {
				try(name, plain, true)
			}
			for i := 0; i < len(documents); {
				rest := slices.Delete(slices.Clone(documents), i, i+1)
				if len(rest) > 0 && try(name, encode(rest), true) {
					documents = rest
					continue
				}
				thin(documents[i], func() bool { return try(name, encode(documents), true) })
				i++
			}
		}
	}
	return t
}

// thin takes out what a node holds, part by part, and puts back what was needed.
func thin(node *yaml.Node, try func() bool) {
	step := 1
	if node.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i < len(node.Content); {
		before := node.Content
		node.Content = slices.Delete(slices.Clone(before), i, i+step)
		if node.Kind != yaml.DocumentNode && try() {
			continue
		}
		node.Content = before
		thin(node.Content[i+step-1], try)
		i += step
	}
}

func decode(text string) ([]*yaml.Node, error) {
	var out []*yaml.Node
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		node := &yaml.Node{}
		err := decoder.Decode(node)
		switch {
		case err != nil && err.Error() == "EOF":
			return out, nil
		case err != nil:
			return nil, err
		}
		out = append(out, node)
	}
}

func encode(documents []*yaml.Node) string {
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, document := range documents {
		if encoder.Encode(document) != nil {
			return ""
		}
	}
	return out.String()
}
