package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"

	goyaml "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

// The digests are Flux's, byte by byte: a release of which they are as Flux recorded them is as Flux left it.

func digestOf(sum hash.Hash) string { return "sha256:" + hex.EncodeToString(sum.Sum(nil)) }

// valuesDigest names values: SHA-256 of their YAML, sorted; of nothing, when there are none.
func valuesDigest(values map[string]any) (string, error) {
	sum := sha256.New()
	if len(values) > 0 {
		ordered := yaml.JSONObjectToYAMLObject(values)
		order(ordered)
		if err := goyaml.NewEncoder(sum).Encode(ordered); err != nil {
			return "", fmt.Errorf("digest of the values: %w", err)
		}
	}
	return digestOf(sum), nil
}

// order sorts mappings by their keys, at all depths.
func order(value any) {
	switch v := value.(type) {
	case goyaml.MapSlice:
		slices.SortFunc(v, func(a, b goyaml.MapItem) int { return strings.Compare(a.Key.(string), b.Key.(string)) })
		for _, item := range v {
			order(item.Value)
		}
	case []any:
		for _, item := range v {
			order(item)
		}
	}
}

// jsonDigest names a value: SHA-256 of the line of JSON.
func jsonDigest(value any) (string, error) {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(value); err != nil {
		return "", fmt.Errorf("digest of %T: %w", value, err)
	}
	return digestOf(sum), nil
}
