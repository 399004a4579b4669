package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/account"
	"flotilla.dev/flotilla/spoke/apply"
)

// owner is whose an object is: of several Apps that have it, the one that its labels named last, or else who had it first.
func (e *Engine) owner(ref fleet.ObjectRef) *app {
	e.mu.Lock()
	defer e.mu.Unlock()
	if owners := e.owners[ref.ID()]; len(owners) > 0 {
		return owners[len(owners)-1]
	}
	return nil
}

// claim notes that the App has an object. It is the App's if nobody else has it, or its labels name the App: that a stored
// release has it takes it from nobody.
func (e *Engine) claim(a *app, ref fleet.ObjectRef, named bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := ref.ID()
	owners := e.owners[id]
	if len(owners) > 0 && owners[len(owners)-1] == a {
		return
	}
	others := slices.DeleteFunc(slices.Clone(owners), func(o *app) bool { return o == a })
	if named || len(others) == 0 {
		e.owners[id] = append(others, a)
	} else {
		e.owners[id] = append([]*app{a}, others...)
	}
}

// named are those of the objects which others have too and whose labels name the App, read as its account.
func (e *Engine) named(ctx context.Context, a *app, by *account.Account, of *objects) (map[fleet.ObjectRef]bool, error) {
	names := map[fleet.ObjectRef]bool{}
	for ref, object := range of.all {
		if owner := e.owner(ref); owner == nil || owner == a {
			continue
		}
		mapping, err := e.mapper.Map(ctx, object.ref)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		live, err := by.Corrector.Get(ctx, object.ref, mapping)
		switch {
		case errors.Is(err, fleet.ErrNotFound), errors.Is(err, fleet.ErrDenied): // when it has labels that say so, they are seen
		case err != nil:
			return nil, err
		default:
			names[ref] = apply.Helm.Owns(live.Labels, apply.Owner{Name: a.key.Name, Namespace: a.key.Namespace})
		}
	}
	return names, nil
}

// disown says that an object is not the App's any more. One that had it before has it again.
func (e *Engine) disown(a *app, ref fleet.ObjectRef) {
	id := ref.ID()
	e.mu.Lock()
	left := slices.DeleteFunc(slices.Clone(e.owners[id]), func(o *app) bool { return o == a })
	if e.owners[id] = left; len(left) == 0 {
		delete(e.owners, id)
	}
	e.mu.Unlock()
	if len(left) > 0 {
		e.tracker.Doubt(id)
		return
	}
	e.tracker.Forget(id)
	e.health.Forget(id)
}

// foreign is who has an object by its labels, if that is not the App: another HelmRelease, or a Kustomization where no
// HelmRelease is named. One that has lost its labels is the App's.
func foreign(labels map[string]string, app fleet.Key) string {
	switch name, namespace := labels[apply.Helm.NameLabel], labels[apply.Helm.NamespaceLabel]; {
	case name == app.Name && namespace == app.Namespace:
		return ""
	case name != "" && namespace != "":
		return "HelmRelease " + namespace + "/" + name
	}
	if name := labels[apply.Kustomize.NameLabel]; name != "" {
		return "Kustomization " + labels[apply.Kustomize.NamespaceLabel] + "/" + name
	}
	return ""
}

// yield gives an object to that of the Apps which have it that its labels name. It reports whether there is such a one.
func (e *Engine) yield(a *app, ref fleet.ObjectRef, labels map[string]string) bool {
	e.mu.Lock()
	at := slices.IndexFunc(e.owners[ref.ID()], func(o *app) bool {
		return o != a && apply.Helm.Owns(labels, apply.Owner{Name: o.key.Name, Namespace: o.key.Namespace})
	})
	var other *app
	if at >= 0 {
		other = e.owners[ref.ID()][at]
	}
	e.mu.Unlock()
	if other == nil {
		return false
	}
	e.claim(other, ref, true)
	return true
}
