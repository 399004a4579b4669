package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Has reports whether an App has, or had, a release here.
func (e *Engine) Has(app fleet.Key) bool {
	a := e.known(app)
	if a == nil {
		return false
	}
	r := a.record()
	return r.Target != nil || len(r.Status.History) > 0
}

// Objects are those of the release that an App has, as Helm has stored them: neither hooks nor what a chart has in crds/ is
// among them.
func (e *Engine) Objects(ctx context.Context, app fleet.Key) ([]fleet.ObjectRef, error) {
	if err := e.Ready(ctx); err != nil {
		return nil, err
	}
	a := e.known(app)
	if a == nil {
		return nil, nil
	}
	r := a.record()
	current, has := r.current()
	if !has || r.Target == nil {
		return nil, nil
	}
	a.mu.Lock()
	own := a.objects
	a.mu.Unlock()
	if own == nil || own.of.Version != current.Version {
		var err error
		if own, err = e.lookUp(ctx, a, &r, current); own == nil {
			return nil, err
		}
	}
	var refs []fleet.ObjectRef
	for _, object := range own.all {
		refs = append(refs, object.ref)
	}
	for _, unserved := range own.unserved {
		refs = append(refs, unserved.Object)
	}
	slices.SortFunc(refs, fleet.ObjectRef.Compare)
	return refs, nil
}

// lookUp reads the objects of a version that is not followed yet; nil: it is not stored any more.
func (e *Engine) lookUp(ctx context.Context, a *app, r *record, current fleet.HelmSnapshot) (*objects, error) {
	by, err := e.accounts.Hire(a.key.Namespace, r.Target.ServiceAccount, e.config.DefaultServiceAccount)
	if err != nil {
		return nil, err
	}
	defer e.accounts.Dismiss(by)
	o := &objects{of: current, secret: secretOf(r.Target, current), all: map[fleet.ObjectRef]object{}}
	v, _, err := e.stored(ctx, by, o.secret)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := v.each(func(c content) error { return e.place(ctx, o, c, r.Target.Namespace) }); err != nil {
		return nil, fmt.Errorf("%s: %w", o.secret, err)
	}
	return o, nil
}
