package deploy

import (
	"context"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/drift"
	"flotilla.dev/flotilla/spoke/health"
)

// seen is an object as it was before it was applied.
type seen struct {
	// live is the last that is known of it; nil: nothing.
	live *metav1.PartialObjectMetadata
	// bound: the apply would have failed at any other version.
	bound bool
}

// settle applies an object that may not be as it should be, and returns what it came upon. The apply is bound to a version
// where that is needed to tell whether it wrote, and can be: our entry names the second of our last write, so that this one
// can have been in the same only as long as nobody else wrote in a later one.
func (e *Engine) settle(ctx context.Context, by *apply.Applier, object apply.Object, f drift.Finding) (meta *metav1.PartialObjectMetadata, before seen, err error) {
	const attempts = 4 // its controllers may be as busy as we are
	live := f.Live
	if live == nil && f.Verdict != drift.Missing && f.Known.Known() {
		live = e.current(ctx, by, object) // a finding that had to wait keeps nothing of what was seen
	}
	if f.Verdict != drift.Doubtful || !f.Known.Known() || live == nil || !object.Whole() || e.othersSince(live) {
		meta, err = by.Apply(ctx, object, live)
		return meta, seen{live: live}, err
	}
	for range attempts {
		meta, err = by.Apply(ctx, object.At(live.ResourceVersion), live)
		if !errors.Is(err, fleet.ErrConflict) {
			return meta, seen{live: live, bound: true}, err
		}
		now := e.current(ctx, by, object)
		if now == nil {
			break
		}
		live = now
	}
	// What others have written meanwhile, such as a scale that leaves no entry of its own, is in the last that was read.
	meta, err = by.Apply(ctx, object, nil)
	return meta, seen{live: live}, err
}

// current is the object as it is, to tell afterwards whether an apply has changed it; nil: it is gone, or not to be read.
func (e *Engine) current(ctx context.Context, by *apply.Applier, object apply.Object) *metav1.PartialObjectMetadata {
	live, err := by.Get(ctx, object.Ref, object.Mapping)
	if err != nil {
		return nil // an apply is right for both
	}
	return live
}

// othersSince reports whether somebody wrote in a later second than we did last.
func (e *Engine) othersSince(live *metav1.PartialObjectMetadata) bool {
	ours := e.marks.Entry(live.ManagedFields)
	return ours != nil && slices.ContainsFunc(live.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
		return ours.Time.Before(entry.Time)
	})
}

// wrote reports whether the apply that settled a finding had to change the object. That its resourceVersion, or its
// generation, moved does not tell: others write too, and between the event and the apply.
func (e *Engine) wrote(known drift.State, ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata, before seen) bool {
	switch {
	case !known.Known():
		return false
	case e.wroteSince(known, meta):
		return true
	case before.bound:
		return meta.ResourceVersion != before.live.ResourceVersion
	case before.live == nil:
		return false
	}
	was, now := e.facts(before.live), e.facts(meta)
	if was.Hash != now.Hash {
		return true // a field became ours again, whose value may have been right: that moves no time
	}
	return !e.othersSince(before.live) &&
		(was.Generation != now.Generation || health.Stateless(ref) && was.ResourceVersion != now.ResourceVersion)
}

// wroteSince reports whether we wrote the object in a later second than we had when that was known of it.
func (e *Engine) wroteSince(known drift.State, meta *metav1.PartialObjectMetadata) bool {
	now := e.facts(meta)
	return known.Known() && (known.UID != drift.UIDOf(now.UID) || known.Time != now.Time)
}
