package drift

import (
	"crypto/sha256"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"flotilla.dev/flotilla/pkg/fleet"
)

// State is what is kept of an object. All of it was true together, at the moment of the last write or verdict.
type State struct {
	// UID is a digest of the object's uid; zero: nothing is known of the object.
	UID [16]byte
	// Clean is the newest resourceVersion at which the object was as applied.
	Clean uint64
	// Hash is Facts.Hash, and Generation the metadata.generation, at our last apply.
	Hash       uint64
	Generation int64
	// Time is when our entry was last written, in seconds: an apply that changes nothing leaves it.
	Time int64
	// Left objects are in the cluster and not to be touched.
	Left bool
	// Ready says that the object was healthy at Clean. It is kept for the caller.
	Ready bool
	// Doubted objects are to be looked at although no event says so, as after a change of their kind's schema.
	Doubted bool
}

// Facts are what an object's metadata says, in the terms of the rule.
type Facts struct {
	UID             types.UID
	ResourceVersion uint64
	Generation      int64
	// Deleting: the object has a deletionTimestamp.
	Deleting bool
	// Ours: our Apply entry is in managedFields. Hash covers that entry's fields and the values of the labels and
	// annotations among them.
	Ours bool
	Hash uint64
	// Time is our entry's, in seconds.
	Time int64
	// Disowned: a manager has fields whose changes are taken back.
	Disowned bool
	// Left: the object is not to be touched.
	Left bool
}

// Verdict is what Judge makes of an event.
type Verdict uint8

// The verdicts.
const (
	// Old: nothing that is not known.
	Old Verdict = iota
	// Clean: newer than what is known, and as applied.
	Clean
	// Leave: newer, and not to be touched.
	Leave
	// Ending: the object is being deleted; the event of its end will follow.
	Ending
	// Drifted: not as applied.
	Drifted
	// Doubtful: metadata does not tell; an apply will.
	Doubtful
	// Missing: the object is gone, or has lost the label that the watch selects by.
	Missing
)

// Judge says what an event means for an object. Trusted kinds have a metadata.generation that moves with every change
// of what is not status. Gap says that the event is from a list after which, or without which, events may have been
// missed.
func Judge(s State, seen uint64, f Facts, trusted, gap bool) Verdict {
	switch {
	case !gap && f.ResourceVersion <= seen:
		return Old
	case gap && s.UID != zeroUID && f.ResourceVersion == s.Clean && s.UID == UIDOf(f.UID) && !s.Doubted:
		return Clean
	case f.Left:
		return Leave
	case f.Deleting:
		return Ending
	case s.UID == zeroUID:
		return Doubtful
	case s.UID != UIDOf(f.UID), !f.Ours, f.Hash != s.Hash, f.Disowned:
		return Drifted
	case gap, s.Left, !trusted, f.Generation != s.Generation:
		return Doubtful
	}
	return Clean
}

// Known reports whether anything is known of the object.
func (s State) Known() bool { return s.UID != zeroUID }

var zeroUID [16]byte

// UIDOf is the digest of a uid that State keeps.
func UIDOf(uid types.UID) (out [16]byte) {
	if uid == "" {
		return out
	}
	sum := sha256.Sum256([]byte(uid))
	copy(out[:], sum[:])
	return out
}

// Trusted reports whether a kind's metadata.generation moves with every change of what is not status. It was measured
// for the built-in kinds; custom resources have it by construction; of aggregated APIs nothing is known.
func Trusted(ref fleet.ObjectRef, custom bool) bool {
	switch ref.Group {
	case "apps", "policy", "batch", "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io":
		return true
	case "networking.k8s.io":
		return ref.Kind == "Ingress" || ref.Kind == "IngressClass" || ref.Kind == "NetworkPolicy"
	case "storage.k8s.io":
		return ref.Kind == "CSIDriver"
	}
	return custom
}

// FactsOf reads an object's metadata; entry is our Apply entry in it, or nil.
func FactsOf(meta *metav1.PartialObjectMetadata, entry *metav1.ManagedFieldsEntry) Facts {
	f := Facts{
		UID:             meta.UID,
		ResourceVersion: parseVersion(meta.ResourceVersion),
		Generation:      meta.Generation,
		Deleting:        meta.DeletionTimestamp != nil,
		Ours:            entry != nil,
	}
	if entry != nil {
		f.Hash = hash(entry, meta)
		if entry.Time != nil {
			f.Time = entry.Time.Unix()
		}
	}
	return f
}
