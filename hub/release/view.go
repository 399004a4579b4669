package release

import (
	"context"
	"fmt"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// view is all that one look at the store shows.
type view struct {
	sources []*declaredSource
	byKey   map[fleet.Key]*declaredSource
	active  map[fleet.Digest][]*declaredSource // those that are not suspended, by upstream
	apps    []declaredApp
	secrets map[string]string // versions of Secrets by "namespace/name"

	credentials []declaredCredential        // by name
	accounts    map[string]*resource.Object // ServiceAccounts by "namespace/name"
}

// tenantOf is a namespace that a remote is asked for, of those whose Sources it is the remote of.
func (v *view) tenantOf(upstreams []fleet.UpstreamState) string {
	for _, upstream := range upstreams {
		for _, source := range v.active[upstream.ID] {
			return source.object.Metadata.Namespace
		}
	}
	return nobody
}

// declaredSource is a Source with what is stored of it.
type declaredSource struct {
	object *resource.Object
	spec   sourceSpec
	// pushed: what it has is not fetched.
	pushed bool
	state  fleet.SourceState
	bound  bool
	// meaning is nil until it was worked out.
	meaning *meaning
}

// name is "Kind/namespace/name".
func (s *declaredSource) name() string { return s.object.String() }

// keeps reports whether others are made of what the Source is at, not its upstream: it is suspended, or as in Flux there is
// nothing yet of what it means now, or something stands in the way of asking. Of a HelmRepository an index is of no use
// without its server.
func (s *declaredSource) keeps() bool {
	if s.spec.suspend {
		return true
	}
	lacks := s.state.Latest.TreeBlob.IsZero() || s.meaning != nil && s.meaning.err != nil
	return lacks && !s.state.TreeBlob.IsZero() && s.object.Kind != resource.HelmRepository.Name
}

// at is what others are made of.
func (s *declaredSource) at() fleet.Fetched {
	if s.keeps() {
		return fleet.Fetched{Revision: s.state.Revision, Tree: s.state.Tree, TreeBlob: s.state.TreeBlob}
	}
	return s.state.Latest
}

// fixedInputs name what a Source's inputs are at that do not move with their upstreams.
func (v *view) fixedInputs(s *declaredSource) []fleet.Digest {
	var fixed []fleet.Digest
	for _, ref := range s.spec.inputs {
		key := fleet.Key{Home: fleet.HubHome, Kind: ref.kind, Namespace: s.object.Metadata.Namespace, Name: ref.name}
		if in := v.byKey[key]; in != nil && in.keeps() {
			fixed = append(fixed, named(in.state.Tree.Bytes(), []byte(in.state.Revision)))
		}
	}
	return fixed
}

// declaredApp is an App with what is stored of it and of its Source.
type declaredApp struct {
	Key    fleet.Key
	object *resource.Object
	spec   flux.App
	state  fleet.AppState
	source *declaredSource // nil: not declared
	denied error           // that it has that Source, which it is not built from
}

// read looks at everything that is declared.
func (l *Loop) read(ctx context.Context) (*view, error) {
	v := &view{byKey: map[fleet.Key]*declaredSource{}, active: map[fleet.Digest][]*declaredSource{}, secrets: map[string]string{}, accounts: map[string]*resource.Object{}}
	secrets, _, err := l.Store.Objects(ctx, resource.Query{Kind: resource.Secret.Name})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets {
		v.secrets[secret.Metadata.Namespace+"/"+secret.Metadata.Name] = secret.Metadata.ResourceVersion
	}
	if err := l.readCredentials(ctx, v); err != nil {
		return nil, err
	}
	if err := l.readSources(ctx, v); err != nil {
		return nil, err
	}
	return v, l.readApps(ctx, v)
}

func (l *Loop) readSources(ctx context.Context, v *view) error {
	// What is stored is read first: a state that is older than the object says so by its generation.
	states, err := l.Store.Sources(ctx)
	if err != nil {
		return err
	}
	// What is made of others is read before those: they were declared first, and are there then.
	for _, kind := range slices.Backward(resource.Kinds()) {
		if kind.Category != resource.Sources {
			continue
		}
		objects, _, err := l.Store.Objects(ctx, resource.Query{Kind: kind.Name})
		if err != nil {
			return err
		}
		for _, object := range objects {
			s := &declaredSource{object: object, pushed: fetchedKinds[kind.Name] == nil}
			if !s.pushed {
				if s.spec, err = specOf(object); err != nil {
					return err
				}
			}
			s.state, s.bound = states[object.Key()]
			v.sources = append(v.sources, s)
			v.byKey[object.Key()] = s
			if !s.state.Upstream.IsZero() && !s.spec.suspend {
				v.active[s.state.Upstream] = append(v.active[s.state.Upstream], s)
			}
		}
	}
	return nil
}

func (l *Loop) readApps(ctx context.Context, v *view) error {
	var objects []*resource.Object
	for _, kind := range resource.AppKinds() {
		ofKind, _, err := l.Store.Objects(ctx, resource.Query{Kind: kind.Name})
		if err != nil {
			return err
		}
		objects = append(objects, ofKind...)
	}
	states, err := l.Store.AppStates(ctx)
	if err != nil {
		return err
	}
	for _, object := range objects {
		app := declaredApp{Key: object.Key(), object: object, state: states[object.Key()]}
		if app.spec, err = resource.App(object); err != nil {
			return err
		}
		if !l.CrossNamespaceRefs {
			app.denied = flux.Denied(app.spec, app.Key.Namespace)
		}
		if app.denied == nil {
			app.source = v.byKey[app.sourceRef().Key(app.Key.Namespace)]
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
	if a.spec.Suspended() || a.awaits() {
		return false
	}
	wanted := a.state.ObservedGeneration != a.object.Metadata.Generation ||
		a.state.Reason != "" && a.state.HandledReconcileAt != a.requestedAt()
	lacks := a.lacks()
	switch {
	case lacks == nil:
		return wanted || a.state.Attempted != a.source.state.Revision || a.state.Reason == reasonSourceNotReady
	case a.source != nil && !a.tellsOfSource() && a.state.Reason != reasonNoSource && a.state.Reason != fleet.ReasonAccessDenied:
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
	field, _ := a.spec.Refers()
	ref := field + ": " + a.sourceRef().In(a.Key.Namespace)
	switch {
	case a.denied != nil:
		return &inputError{fleet.ReasonAccessDenied, a.denied}
	case a.source == nil:
		return &inputError{reasonNoSource, fmt.Errorf("%s: %w", ref, fleet.ErrNotFound)}
	case a.isOthersChart():
		return &inputError{reasonSourceNotReady, fmt.Errorf("spec.chart: %s stands for it, and %s: call the HelmRelease otherwise, or name that HelmChart in spec.chartRef",
			a.sourceRef().In(a.Key.Namespace), a.source.object.MadeFor())}
	case a.source.pushed && a.source.state.TreeBlob.IsZero():
		return &inputError{reasonNoSource, fmt.Errorf("%s: nothing was pushed yet", ref)}
	case a.tellsOfSource() && a.source.state.Reason != "" && a.source.isOutdated():
		return &inputError{reasonSourceNotReady, fmt.Errorf("%s: %s", ref, a.source.state.Message)}
	case a.source.state.TreeBlob.IsZero():
		return &inputError{reasonNoSource, fmt.Errorf("%s: nothing was fetched yet", ref)}
	}
	return nil
}

// sourceRef names the Source that the App is built from.
func (a declaredApp) sourceRef() flux.SourceRef { return a.spec.Source(a.Key.Namespace, a.Key.Name) }
