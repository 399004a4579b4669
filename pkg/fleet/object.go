package fleet

import (
	"crypto/sha256"
	"io"
	"slices"
	"strings"
)

// ObjectRef names an object of a cluster. Version is the API version without the group; two references that differ
// only in it name the same object.
type ObjectRef struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// APIVersion is "group/version", or "version" for the core group.
func (r ObjectRef) APIVersion() string {
	if r.Group == "" {
		return r.Version
	}
	return r.Group + "/" + r.Version
}

// ID is the reference without its version: what identifies the object in a cluster.
func (r ObjectRef) ID() ObjectRef {
	r.Version = ""
	return r
}

// String is "Kind/namespace/name", or "Kind/name" for a cluster-scoped object; the group is added where it is not a
// Kubernetes one, as in "Kind.group/namespace/name".
func (r ObjectRef) String() string {
	kind := r.Kind
	if strings.Contains(r.Group, ".") && !strings.HasSuffix(r.Group, ".k8s.io") {
		kind += "." + r.Group
	}
	if r.Namespace == "" {
		return kind + "/" + r.Name
	}
	return kind + "/" + r.Namespace + "/" + r.Name
}

// Compare orders references by group, kind, namespace, name and version.
func (r ObjectRef) Compare(o ObjectRef) int {
	for _, c := range []int{
		strings.Compare(r.Group, o.Group), strings.Compare(r.Kind, o.Kind),
		strings.Compare(r.Namespace, o.Namespace), strings.Compare(r.Name, o.Name), strings.Compare(r.Version, o.Version),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// ObjectSet is a set of objects, by references without version.
type ObjectSet interface {
	Len() int
	Has(ObjectRef) bool
	// Refs are all of them, in any order.
	Refs() []ObjectRef
}

// PruneDigest is the digest of a set of objects to be pruned: over the sorted references without versions or UIDs, so
// that one approval serves every cluster with that set.
func PruneDigest(refs []ObjectRef) Digest {
	sorted := make([]ObjectRef, len(refs))
	for i, ref := range refs {
		sorted[i] = ref.ID()
	}
	slices.SortFunc(sorted, ObjectRef.Compare)
	hash := sha256.New()
	for _, ref := range slices.Compact(sorted) {
		for _, part := range []string{ref.Group, ref.Kind, ref.Namespace, ref.Name} {
			_, _ = io.WriteString(hash, part+"\x00") // a hash never fails
		}
	}
	return Digest(hash.Sum(nil))
}
