package release

import (
	"context"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// view is all that one look at the store shows.
type view struct {
	sources []declaredSource
	active  map[fleet.Digest][]declaredSource // those that are not suspended, by upstream
	apps    []declaredApp
	secrets map[string]string // versions of Secrets by "namespace/name"
}

// tenantOf is the namespace that an upstream is looked at for, of those whose Sources have it.
func (v *view) tenantOf(upstream fleet.UpstreamState) string {
	for _, source := range v.active[upstream.ID] {
		return source.object.Metadata.Namespace
	}
	return nobody
}

// declaredSource is a GitRepository with what is stored of it.
type declaredSource struct {
	object *resource.Object
	spec   flux.GitRepository
	state  fleet.SourceState
	bound  bool
}

// name is "namespace/name".
func (s declaredSource) name() string {
	return s.object.Metadata.Namespace + "/" + s.object.Metadata.Name
}

// declaredApp is a Kustomization with what is stored of it and of its Source.
type declaredApp struct {
	Key    fleet.Key
	object *resource.Object
	spec   flux.Kustomization
	state  fleet.AppState
	source *declaredSource // nil: not declared
	denied error           // that it has that Source, which it is not built from
}

// read looks at everything that is declared.
func (l *Loop) read(ctx context.Context) (*view, error) {
	v := &view{active: map[fleet.Digest][]declaredSource{}, secrets: map[string]string{}}
	secrets, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.Secret.Name})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets {
		v.secrets[secret.Metadata.Namespace+"/"+secret.Metadata.Name] = secret.Metadata.ResourceVersion
	}
	repositories, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.GitRepository.Name})
	if err != nil {
		return nil, err
	}
	states, err := l.Store.SourceStates(ctx, resource.GitRepository.Name)
	if err != nil {
		return nil, err
	}
	for _, object := range repositories {
		s := declaredSource{object: object}
		if s.spec, err = resource.Spec[flux.GitRepository](object); err != nil {
			return nil, err
		}
		s.state, s.bound = states[s.name()]
		v.sources = append(v.sources, s)
		if !s.state.Upstream.IsZero() && !s.spec.Suspend {
			v.active[s.state.Upstream] = append(v.active[s.state.Upstream], s)
		}
	}
	return v, l.readApps(ctx, v)
}

func (l *Loop) readApps(ctx context.Context, v *view) error {
	objects, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.Kustomization.Name})
	if err != nil {
		return err
	}
	states, err := l.Store.AppStates(ctx)
	if err != nil {
		return err
	}
	byName := map[string]*declaredSource{}
	for i := range v.sources {
		byName[v.sources[i].name()] = &v.sources[i]
	}
	for _, object := range objects {
		app := declaredApp{Key: object.Key(), object: object, state: states[object.Key()]}
		if app.spec, err = resource.Spec[flux.Kustomization](object); err != nil {
			return err
		}
		if ref := app.spec.SourceRef; !l.CrossNamespaceRefs {
			app.denied = ref.Denied(app.Key.Namespace)
		}
		if app.denied == nil {
			app.source = byName[app.spec.SourceRef.NamespaceFor(app.Key.Namespace)+"/"+app.spec.SourceRef.Name]
		}
		v.apps = append(v.apps, app)
	}
	return nil
}

// behind are the Apps that are to be built.
func (v *view) behind() []declaredApp {
	var apps []declaredApp
	for _, app := range v.apps {
		if app.isBehind() {
			apps = append(apps, app)
		}
	}
	return apps
}

// isBehind reports whether the App is not built from what its Source has now, or was not and a person asked for another
// try. A suspended App stays what it is.
func (a declaredApp) isBehind() bool {
	if a.spec.Suspend {
		return false
	}
	wanted := a.state.ObservedGeneration != a.object.Metadata.Generation ||
		a.state.Reason != "" && a.state.HandledReconcileAt != a.requestedAt()
	lacks := a.lacks()
	switch {
	case lacks == nil:
		return wanted || a.state.Attempted != a.source.state.Revision
	case a.source != nil && a.state.Reason != reasonNoSource && a.state.Reason != fleet.ReasonAccessDenied:
		return false // the Source says why nothing was fetched
	}
	return wanted || a.state.Reason != lacks.reason || a.state.Message != lacks.Error()
}

// requestedAt is the newest reconcile request of the App.
func (a declaredApp) requestedAt() string {
	return a.object.Metadata.Annotations[flux.RequestedAtAnnotation]
}

// lacks says why there is nothing to build the App from; nil: there is something.
func (a declaredApp) lacks() *inputError {
	ref := "spec.sourceRef: " + a.spec.SourceRef.In(a.Key.Namespace)
	switch {
	case a.denied != nil:
		return &inputError{fleet.ReasonAccessDenied, a.denied}
	case a.source == nil:
		return &inputError{reasonNoSource, fmt.Errorf("%s: %w", ref, fleet.ErrNotFound)}
	case a.source.state.TreeBlob.IsZero():
		return &inputError{reasonNoSource, fmt.Errorf("%s: nothing was fetched yet", ref)}
	}
	return nil
}
