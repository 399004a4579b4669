package engine

import (
	"bytes"
	"strings"

	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/kio"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// parse reads a file of objects as kustomize does. To resolve anchors kustomize copies every mapping once for each that
// it is in, whether there are anchors or not; files without any are read without that.
func (b *build) parse(data []byte) ([]*resource.Resource, error) {
	if objects, sure := parsePlain(data); sure {
		return objects, nil
	}
	return b.factory.SliceFromBytes(data)
}

// parsePlain returns false for a file that holds more than plain objects.
func parsePlain(data []byte) ([]*resource.Resource, bool) {
	nodes, err := (&kio.ByteReader{OmitReaderAnnotations: true, Reader: bytes.NewReader(data)}).Read()
	if err != nil {
		return nil, false
	}
	var objects []*resource.Resource
	for _, node := range nodes {
		if node.IsNilOrEmpty() {
			continue
		}
		if !plain(node.YNode()) || strings.HasSuffix(node.GetKind(), "List") {
			return nil, false
		}
		if _, err := node.GetValidatedMetadata(); err != nil {
			return nil, false
		}
		objects = append(objects, &resource.Resource{RNode: *node})
	}
	return objects, true
}

// plain reports whether resolving anchors leaves the node as it is.
func plain(node *kyaml.Node) bool {
	if node.Anchor != "" {
		return false
	}
	switch node.Kind {
	case kyaml.ScalarNode:
		return true
	case kyaml.SequenceNode:
		for _, element := range node.Content {
			if !plain(element) {
				return false
			}
		}
		return true
	case kyaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != kyaml.ScalarNode || key.Anchor != "" || key.Value == "" || key.Value == "<<" || key.Tag == kyaml.MergeTag || !plain(node.Content[i+1]) {
				return false
			}
		}
		return differentKeys(node.Content)
	default:
		return false
	}
}

func differentKeys(pairs []*kyaml.Node) bool {
	if len(pairs) <= 40 {
		for i := 0; i < len(pairs); i += 2 {
			for j := 0; j < i; j += 2 {
				if pairs[j].Value == pairs[i].Value {
					return false
				}
			}
		}
		return true
	}
	seen := make(map[string]struct{}, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		seen[pairs[i].Value] = struct{}{}
	}
	return len(seen) == len(pairs)/2
}
