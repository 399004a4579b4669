package engine

import (
	"slices"
	"strings"

	//lint:ignore SA1019 there is no other way to kustomize's own transformers and generators
	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/utils"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

func (t *linker) images() error {
	var paths [][]string
	for _, spec := range t.specs.lists["images"] {
		if spec.Kind != "" || spec.Group != "" || spec.Version != "" {
			return doubt("ImageTagTransformer: images of one kind")
		}
		paths = append(paths, utils.PathSplitter(spec.Path, "/"))
	}
	for _, image := range t.k.Images {
		const by = "ImageTagTransformer"
		plugin := builtins.NewImageTagTransformerPlugin()
		if err := t.configure(by, plugin, struct {
			ImageTag   types.Image
			FieldSpecs []types.FieldSpec
		}{image, t.specs.lists["images"]}); err != nil {
			return err
		}
		t.add(by, func(o *one, _ *facts) error {
			if !hasImages(o.object.YNode(), paths) {
				return nil
			}
			return plugin.Transform(o)
		})
	}
	return nil
}

// hasImages reports whether there is a place that the image transformer would look at more closely: containers anywhere,
// or anything at, or odd on the way to, one of the paths. Most objects have none, and it visits every node of them.
func hasImages(node *kyaml.Node, paths [][]string) bool {
	if hasContainers(node) {
		return true
	}
	for _, path := range paths {
		if reaches(node, path) {
			return true
		}
	}
	return false
}

func hasContainers(node *kyaml.Node) bool {
	for i, child := range node.Content {
		if node.Kind == kyaml.MappingNode && i%2 == 0 {
			if child.Kind != kyaml.ScalarNode || child.Value == "containers" || child.Value == "initContainers" {
				return true
			}
		} else if hasContainers(child) {
			return true
		}
	}
	return node.Kind == kyaml.AliasNode
}

func reaches(node *kyaml.Node, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch {
	case kyaml.IsYNodeTaggedNull(node):
		return false
	case node.Kind == kyaml.SequenceNode:
		return slices.ContainsFunc(node.Content, func(element *kyaml.Node) bool { return reaches(element, path) })
	case node.Kind != kyaml.MappingNode:
		return true // an error
	}
	name, isList := strings.CutSuffix(path[0], "[]")
	value := fieldOf(node, name)
	return value != nil && (isList && kyaml.IsYNodeTaggedNull(value) || reaches(value, path[1:])) // null becomes an empty list
}
