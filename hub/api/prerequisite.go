package api

import (
	"context"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// prerequisite is what keeps a new Release of an App from its clusters, and the version of that.
type prerequisite struct {
	lacks   string
	version uint64
}

// prerequisites finds, as rollouts do, which Apps wait for a dependency of the same Source.
func (s *Server) prerequisites(ctx context.Context, objects []*resource.Object, states map[fleet.Key]fleet.AppState) (map[fleet.Key]prerequisite, error) {
	found := map[fleet.Key]prerequisite{}
	var declared map[fleet.Key]*resource.Object
	for _, o := range objects {
		app, err := resource.App(o)
		if err != nil {
			return nil, err
		}
		m := o.Metadata
		dependencies := app.Dependencies(m.Namespace, m.Annotations)
		if len(dependencies) > 0 && declared == nil {
			if declared, err = s.declaredApps(ctx); err != nil {
				return nil, err
			}
		}
		var p prerequisite
		for _, d := range dependencies {
			on := declared[d.App(fleet.HubHome)]
			if on == nil {
				continue
			}
			onApp, err := resource.App(on)
			if err != nil {
				return nil, err
			}
			if !flux.WaitsFor(o.Key(), app, d, onApp) {
				continue
			}
			state := states[on.Key()]
			is := fleet.Prerequisite{App: on.Key(), Generation: on.Metadata.Generation, Suspended: onApp.Suspended(), AppStatus: state.AppStatus}
			p.version = max(p.version, state.Version, versionOf(on))
			if p.lacks == "" {
				p.lacks = is.Lacks(states[o.Key()].AppStatus)
			}
		}
		found[o.Key()] = p
	}
	return found, nil
}

// declaredApps are the Apps there are, by key.
func (s *Server) declaredApps(ctx context.Context) (map[fleet.Key]*resource.Object, error) {
	objects, err := s.appObjects(ctx)
	if err != nil {
		return nil, err
	}
	declared := make(map[fleet.Key]*resource.Object, len(objects))
	for _, o := range objects {
		declared[o.Key()] = o
	}
	return declared, nil
}

// appObjects are the Apps there are, a kind after the other.
func (s *Server) appObjects(ctx context.Context) ([]*resource.Object, error) {
	var all []*resource.Object
	for _, kind := range resource.AppKinds() {
		objects, _, err := s.Store.Objects(ctx, resource.Query{Kind: kind.Name})
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}
