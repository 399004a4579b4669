package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/manifest"
	"flotilla.dev/flotilla/spoke/apply"
	"flotilla.dev/flotilla/spoke/hold"
	"flotilla.dev/flotilla/spoke/inventory"
)

const (
	// goneTimeout is how long a pass waits for an object that is made anew to be gone; the App's next tries do not wait
	// for it again.
	goneTimeout = time.Minute
	// goneSoon is that of a correction, which has other objects waiting behind it.
	goneSoon = 5 * time.Second
)

// refused decides what becomes of an object that the API server refuses to change as it should be. No error: of the
// object that is there, live, either a new one is to be made in its place, or it says, as Leave, that it is not to be
// touched.
func (e *Engine) refused(ctx context.Context, a *app, applier *apply.Applier, object apply.Object, refusal error) (live *metav1.PartialObjectMetadata, leave bool, err error) {
	if !apply.Immutable(refusal) {
		return nil, false, refusal
	}
	live, err = applier.Get(ctx, object.Ref, object.Mapping)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return nil, false, refusal // of a new one
	case err != nil:
		return nil, false, fmt.Errorf("%w; %w", refusal, err)
	}
	mode := manifest.ModeOf(live.Labels, live.Annotations)
	if mode.Untouched() || mode.SSA == manifest.SSAIfNotPresent || object.Mode.SSA == manifest.SSAIfNotPresent {
		return live, true, nil
	}
	if !e.agreed(a).force && !object.Mode.Force && !mode.Force {
		return nil, false, refusal
	}
	entry, _ := a.inventory().Get(object.Ref)
	why := hold.Of(live)
	switch {
	case why != "":
		return nil, false, fmt.Errorf("%w; %s, and not made anew by force: take that off, or delete it yourself", refusal, hold.Say(object.Ref.String(), why))
	case entry.Protected || mode.Protected || object.Mode.Protected:
		return nil, false, fmt.Errorf("%w; it is protected, and not made anew by force: lift %s, or delete it yourself", refusal, manifest.AnnotationProtect)
	case inventory.Precious(object.Ref) && !object.Mode.Force:
		return nil, false, fmt.Errorf("%w; what it holds would go with it: only its own annotation %s: enabled, in its source, has it made anew", refusal, manifest.AnnotationForce)
	}
	if err := applier.Probe(ctx, object, refusal); err != nil {
		return nil, false, fmt.Errorf("%w; it is not made anew by force: %w", refusal, err)
	}
	return live, false, nil
}

// clear deletes an object for which another one is to be made, and waits until it is gone. The caller has told the
// inventory: whatever a crash leaves is the App's, and made by the next pass, or put back as drift.
func (e *Engine) clear(ctx context.Context, a *app, applier *apply.Applier, object apply.Object, live *metav1.PartialObjectMetadata, patience time.Duration) error {
	const attempts = 8 // somebody may write the object between our look and our deletion
	for attempt := 1; live.DeletionTimestamp == nil; attempt++ {
		err := applier.Delete(ctx, object.Ref, object.Mapping, live)
		if err == nil {
			e.event(a, object.Ref, false, reasonRecreated, object.Ref.String()+" cannot become what it should be, and is deleted and made anew")
			e.log.Info("deleted to be made anew", "app", a.key.String(), "object", object.Ref.String())
			break
		}
		if errors.Is(err, fleet.ErrNotFound) {
			return nil
		}
		if !isConflict(err) || attempt == attempts {
			return err
		}
		uid := live.UID
		live, err = applier.Get(ctx, object.Ref, object.Mapping)
		switch {
		case errors.Is(err, fleet.ErrNotFound):
			return nil
		case err != nil:
			return err
		case live.UID != uid || manifest.ModeOf(live.Labels, live.Annotations).Untouched() || hold.Of(live) != "":
			return fmt.Errorf("%s: %w: it became another one while it was to be made anew", object.Ref, fleet.ErrConflict)
		}
	}
	return applier.AwaitGone(ctx, object.Ref, object.Mapping, live, patience)
}
