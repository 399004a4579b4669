package drift

import (
	"encoding/json"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// hash covers the set of fields that entry owns, of finalizers and owner references by name, and the values of the
// labels and annotations among them. A re-apply restores an entry byte for byte, so bytes may be hashed.
func hash(entry *metav1.ManagedFieldsEntry, meta *metav1.PartialObjectMetadata) uint64 {
	h := fnv.New64a()
	write := func(parts ...string) {
		for _, part := range parts {
			_, _ = io.WriteString(h, part+"\x00") // a hash never fails
		}
	}
	write(entry.APIVersion)
	if entry.FieldsV1 == nil {
		return h.Sum64()
	}
	raw := entry.FieldsV1.GetRawBytes()
	_, _ = h.Write(raw)
	var fields struct {
		Metadata struct {
			Labels      map[string]json.RawMessage `json:"f:labels"`
			Annotations map[string]json.RawMessage `json:"f:annotations"`
		} `json:"f:metadata"`
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return h.Sum64() // fields that cannot be read differ by their bytes
	}
	for _, of := range []struct {
		owned  map[string]json.RawMessage
		values map[string]string
	}{{fields.Metadata.Labels, meta.Labels}, {fields.Metadata.Annotations, meta.Annotations}} {
		for _, field := range slices.Sorted(maps.Keys(of.owned)) {
			if key, isKey := strings.CutPrefix(field, "f:"); isKey {
				write(key, of.values[key])
			}
		}
	}
	return h.Sum64()
}

// parseVersion reads a resourceVersion as the number that Kubernetes guarantees it to be; what is none is zero, which
// is never newer than anything.
func parseVersion(version string) uint64 {
	n, _ := strconv.ParseUint(version, 10, 64)
	return n
}
