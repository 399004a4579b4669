package manifest

import (
	"cmp"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Limits of one Manifest. They bound what a hub stores and a spoke holds for one App; the same figures bound a build.
const (
	// MaxObjects is the number of objects that one App may have.
	MaxObjects = 20_000
	// MaxSize is the sum of the sizes of their canonical bytes.
	MaxSize = 20 << 20
	// MaxObjectSize is the size of one object's canonical bytes: what an API server takes in one request.
	MaxObjectSize = 3 << 20
)

// Manifest is the ordered list of the objects an App consists of. Its digest is over its deterministic encoding, so
// the same objects give the same digest on any replica. A Manifest is not changed once it is made.
type Manifest struct {
	// Entries in apply order: by Stage, then Group, then reference.
	Entries []Entry

	// encoded is what New made or Decode read, kept because a newer hub's entries may have fields that this version
	// does not know: encoding them again would change the digest.
	encoded []byte
}

// Entry is one object of a Manifest.
type Entry struct {
	Ref fleet.ObjectRef `json:"ref"`
	// Digest and Size are of the blob: the object's canonical bytes, or the text of an entry that is to be resolved.
	Digest fleet.Digest `json:"digest"`
	Size   int          `json:"size"`
	// Stage and Group order the apply: a stage waits until the one before is there; groups within a stage follow one
	// another with a barrier between.
	Stage Stage `json:"stage"`
	Group Group `json:"group"`
	Mode
	// Substitute says that variables may stand in the object, Encrypted that SOPS has encrypted it. The blob of an entry
	// with either is the document as kustomize printed it, so that types come out as in Flux; what is said of it here is
	// what can be told before it is resolved.
	Substitute bool `json:"substitute,omitempty"`
	Encrypted  bool `json:"encrypted,omitempty"`
	// Part says that it is no object, but a part of a build that is to be made at the spoke.
	Part bool `json:"part,omitempty"`
}

// IsText reports whether the blob is a document as kustomize printed it, and not an object's canonical bytes.
func (e Entry) IsText() bool { return e.Substitute || e.Encrypted }

// Compare orders entries as they are applied: by stage, then group, then reference.
func (e Entry) Compare(o Entry) int {
	return cmp.Or(cmp.Compare(e.Stage, o.Stage), cmp.Compare(e.Group, o.Group), e.Ref.Compare(o.Ref))
}

// Digest names the manifest: SHA-256 of Encode.
func (m *Manifest) Digest() fleet.Digest { return fleet.DigestOf(m.Encode()) }

// Size is the sum of the sizes of the objects.
func (m *Manifest) Size() int {
	size := 0
	for _, entry := range m.Entries {
		size += entry.Size
	}
	return size
}
