package engine

import (
	"strings"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// valuesAt returns the names at a path of a field spec, and whether one is said with its namespace. What kustomize's
// filter would have an error for is a Doubt.
func valuesAt(node *kyaml.Node, path []string) (values []string, scoped bool, err error) {
	f := finder{}
	err = f.walk(node, path)
	return f.values, f.scoped, err
}

type finder struct {
	values []string
	scoped bool
}

func (f *finder) walk(node *kyaml.Node, path []string) error {
	switch {
	case len(path) == 0:
		return f.leaf(node)
	case kyaml.IsYNodeTaggedNull(node):
		return nil
	}
	switch node.Kind {
	case kyaml.SequenceNode:
		for _, element := range node.Content {
			if err := f.walk(element, path); err != nil {
				return err
			}
		}
		return nil
	case kyaml.MappingNode:
		if value := fieldOf(node, path[0]); value != nil {
			return f.walk(value, path[1:])
		}
		return nil
	default:
		return doubt("references: something else than a list or mapping on the way to %s", strings.Join(path, "/"))
	}
}

// leaf takes the name, or the names, at the end of a path.
func (f *finder) leaf(node *kyaml.Node) error {
	if kyaml.IsYNodeTaggedNull(node) {
		return nil
	}
	if node.Kind != kyaml.SequenceNode {
		return f.name(node)
	}
	for _, element := range node.Content {
		if kyaml.IsYNodeTaggedNull(element) {
			continue
		}
		if err := f.name(element); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) name(node *kyaml.Node) error {
	switch node.Kind {
	case kyaml.ScalarNode:
		f.values = append(f.values, node.Value)
		return nil
	case kyaml.MappingNode:
		name := fieldOf(node, "name")
		if name == nil || name.Kind != kyaml.ScalarNode {
			return doubt("references: a reference without name")
		}
		f.values = append(f.values, name.Value)
		f.scoped = f.scoped || fieldOf(node, "namespace") != nil
		return nil
	default:
		return doubt("references: an alias")
	}
}

// fieldOf is the value of a mapping's first field of that name.
func fieldOf(node *kyaml.Node, name string) *kyaml.Node {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	return nil
}
