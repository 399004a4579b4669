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

// settle applies an object that may not be as it should be. Found is the resourceVersion that the apply came upon, empty
// where it need not, or cannot, be known: our entry names the second of our last write, so that this one can have been in
// the same only as long as nobody else wrote in a later one.
func (e *Engine) settle(ctx context.Context, by *apply.Applier, object apply.Object, f drift.Finding) (meta *metav1.PartialObjectMetadata, found string, err error) {
	const attempts = 4 // its controllers may be as busy as we are
	live := f.Live
	if f.Verdict != drift.Doubtful || !f.Known.Known() || live == nil || !object.Whole() || e.othersSince(live) {
		meta, err = by.Apply(ctx, object, live)
		return meta, "", err
	}
	for range attempts {
		meta, err = by.Apply(ctx, object.At(live.ResourceVersion), live)
		if !errors.Is(err, fleet.ErrConflict) {
			return meta, live.ResourceVersion, err
		}
		if live, err = by.Get(ctx, object.Ref, object.Mapping); err != nil {
			break // it is gone, or not to be read: an apply is right for both
		}
	}
	meta, err = by.Apply(ctx, object, nil)
	return meta, "", err
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
func (e *Engine) wrote(f drift.Finding, ref fleet.ObjectRef, meta *metav1.PartialObjectMetadata, found string) bool {
	switch {
	case !f.Known.Known():
		return false
	case e.wroteSince(f.Known, meta):
		return true
	case found != "":
		return meta.ResourceVersion != found
	case f.Live == nil:
		return false
	}
	was, now := e.facts(f.Live), e.facts(meta)
	if was.Hash != now.Hash {
		return true // a field became ours again, whose value may have been right: that moves no time
	}
	return !e.othersSince(f.Live) &&
		(was.Generation != now.Generation || health.Stateless(ref) && was.ResourceVersion != now.ResourceVersion)
}

// wroteSince reports whether we wrote the object in a later second than we had when that was known of it.
func (e *Engine) wroteSince(known drift.State, meta *metav1.PartialObjectMetadata) bool {
	now := e.facts(meta)
	return known.Known() && (known.UID != drift.UIDOf(now.UID) || known.Time != now.Time)
}
