package fleet

import (
	"encoding/json"
	"fmt"
)

// Binding is what one cluster adds to a Release. It is content-addressed and applied at the spoke, so that one Manifest
// serves every cluster.
type Binding struct {
	// Variables are the cluster's, for an App with postBuild, of which the App's own take precedence, and for a HelmRelease
	// that has them put into its values.
	Variables map[string]string `json:"variables,omitempty"`
	// Patches are those of the App's Placement for this cluster, in the order in which they are applied.
	Patches []Patch `json:"patches,omitempty"`
	// Values of the App's Placement for this cluster, merged: they go over those of a HelmRelease's spec.
	Values json.RawMessage `json:"values,omitempty"`
}

// IsZero reports whether the cluster adds nothing.
func (b Binding) IsZero() bool {
	return len(b.Variables) == 0 && len(b.Patches) == 0 && len(b.Values) == 0
}

// Digest names the binding: SHA-256 of its JSON. The empty Binding has the zero Digest.
func (b Binding) Digest() Digest {
	if b.IsZero() {
		return Digest{}
	}
	data, err := json.Marshal(b)
	if err != nil {
		panic(fmt.Sprintf("encode binding: %v", err)) // strings always encode, and values were decoded
	}
	return DigestOf(data)
}

// RunDigest names what a cluster runs: a Release with what the cluster adds to it, both by their digests. Without a
// Binding it is the Release's.
func RunDigest(release, binding Digest) Digest {
	if binding.IsZero() {
		return release
	}
	return DigestOf(append(release[:], binding[:]...))
}

// RunDigest names what the Assignment has its cluster run.
func (a Assignment) RunDigest() Digest { return RunDigest(a.Release.Digest(), a.Binding.Digest()) }
