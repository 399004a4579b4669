package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"flotilla.dev/flotilla/pkg/flux"
)

// asked is a reconcile request that was seen, and when its upstream had last been looked at then: a later look serves
// it. The clock is the database's on both sides, and the request's value may be anything.
type asked struct {
	request string
	checked time.Time
}

// serve makes due the upstreams of which a look was requested, and records the requests that were served: those whose
// upstream was looked at since, and whose Apps are built. It runs before upstreams are claimed.
func (l *Loop) serve(ctx context.Context, v *view) error {
	var errs []error
	for _, s := range v.sources {
		if err := l.serveSource(ctx, v, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.object, err))
		}
	}
	l.forgetAsked(v)
	return errors.Join(errs...)
}

// forgetAsked forgets the requests of Sources that are not declared any more.
func (l *Loop) forgetAsked(v *view) {
	if len(l.asked) == 0 {
		return
	}
	declared := make(map[string]bool, len(v.sources))
	for _, s := range v.sources {
		declared[s.name()] = true
	}
	maps.DeleteFunc(l.asked, func(source string, _ asked) bool { return !declared[source] })
}

func (l *Loop) serveSource(ctx context.Context, v *view, s *declaredSource) error {
	request := s.requestedAt()
	if s.pushed || s.spec.static || request == "" || request == s.state.HandledReconcileAt || s.spec.suspend {
		delete(l.asked, s.name())
		return nil
	}
	if v.isInputAsked(s) {
		return nil // what it is made of is looked at first
	}
	seen := l.asked[s.name()]
	switch {
	case s.state.Upstream.IsZero(): // nothing can be looked at: the Source says why
	case seen.request != request:
		if s.state.Claimed {
			return nil // the look under way began before the request
		}
		if err := l.Store.MakeDue(ctx, s.state.Upstream); err != nil {
			return err
		}
		l.asked[s.name()] = asked{request: request, checked: s.state.CheckedAt}
		return nil
	case !s.state.CheckedAt.After(seen.checked) || v.building(s):
		return nil
	}
	m := s.object.Metadata
	return l.Store.SourceHandled(ctx, s.object.Kind, m.Namespace, m.Name, request)
}

// requestedAt is the newest reconcile request of the Source.
func (s *declaredSource) requestedAt() string {
	return s.object.Metadata.Annotations[flux.RequestedAtAnnotation]
}

// refresh makes those due whose inputs moved since they were looked at.
func (l *Loop) refresh(ctx context.Context, v *view) error {
	var errs []error
	for id, sources := range v.active {
		s := sources[0]
		if len(s.spec.inputs) == 0 || s.state.Claimed || s.meaning == nil || s.meaning.err != nil || s.state.SeenInputs == inputsOf(s.meaning.upstream) {
			continue
		}
		if err := l.Store.MakeDue(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.object, err))
		}
	}
	return errors.Join(errs...)
}

// building reports whether an App on the Source is behind.
func (v *view) building(s *declaredSource) bool {
	for _, app := range v.apps {
		if app.source == s && app.isBehind() {
			return true
		}
	}
	return false
}
