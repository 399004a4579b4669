package fleet

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
)

// StateID names one desired state of one cluster. Epoch starts at 1 and rises only by `fleetctl hub recover`;
// Version grows with every change within an epoch; Digest is that of the full set.
type StateID struct {
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`
	Digest  Digest `json:"digest"`
}

// IsZero reports whether s names no state.
func (s StateID) IsZero() bool { return s == StateID{} }

// Compare orders states by (epoch, version).
func (s StateID) Compare(o StateID) int {
	return cmp.Or(cmp.Compare(s.Epoch, o.Epoch), cmp.Compare(s.Version, o.Version))
}

// String is "epoch.version".
func (s StateID) String() string { return fmt.Sprintf("%d.%d", s.Epoch, s.Version) }

// DesiredDigest is the digest of a full set of encoded Assignments by key: SHA-256 over the sorted
// (key, SHA-256 of the bytes).
func DesiredDigest(assignments map[string]Digest) Digest {
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(assignments)) {
		digest := assignments[key]
		_, _ = io.WriteString(hash, key+"\x00") // a hash never fails
		_, _ = hash.Write(digest[:])
	}
	return Digest(hash.Sum(nil))
}
