package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// recoverTimeout bounds the wait for the sources, and recoverPoll is how often they are looked at without a wake-up.
const (
	recoverTimeout = 50 * time.Second
	recoverPoll    = time.Second
)

// Recover leads out of safe mode. The epoch is raised only when every App that may change something was built anew from
// what its Source has now, and that is assigned: so that no spoke is told to go back to what an older database holds.
func (s *hub) Recover(ctx context.Context, req *adminv1.RecoverRequest) (*adminv1.RecoverResponse, error) {
	if req.GetDryRun() {
		return s.planRecovery(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, recoverTimeout)
	defer cancel()
	started, err := s.Store.BeginRecovery(ctx, s.Caller(ctx))
	if err != nil {
		return nil, err
	}
	wake, stop := s.Watch()
	defer stop()
	tick := time.NewTicker(recoverPoll)
	defer tick.Stop()
	for {
		r, err := s.readRecovery(ctx, started)
		if err != nil {
			return nil, err
		}
		blocked := r.blocked()
		if blocked == "" {
			names, err := s.Store.EndRecovery(ctx, s.Caller(ctx), false)
			return &adminv1.RecoverResponse{Clusters: names, Sources: r.resolved()}, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("recover: %w: %s; what was resolved so far counts for an hour: then try again", fleet.ErrConflict, blocked)
		case <-wake:
		case <-tick.C:
		}
	}
}

// planRecovery says which clusters would leave safe mode and how many sources would be resolved before.
func (s *hub) planRecovery(ctx context.Context) (*adminv1.RecoverResponse, error) {
	r, err := s.readRecovery(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	names, err := s.Store.EndRecovery(ctx, s.Caller(ctx), true)
	return &adminv1.RecoverResponse{Clusters: names, Sources: r.resolved()}, err
}

// recovery is what decides whether the epoch may be raised.
type recovery struct {
	// started is when the recovery began: what was resolved before may be of the older database.
	started   time.Time
	sources   map[fleet.Key]*resource.Object
	states    map[fleet.Key]fleet.SourceState
	apps      []*resource.Object
	built     map[fleet.Key]fleet.AppState
	instances []fleet.Instance
}

func (s *hub) readRecovery(ctx context.Context, started time.Time) (r recovery, err error) {
	r = recovery{started: started, sources: map[fleet.Key]*resource.Object{}}
	for _, kind := range resource.Kinds() {
		if kind.Category != resource.Sources {
			continue
		}
		sources, _, err := s.Store.Objects(ctx, resource.Query{Kind: kind.Name})
		if err != nil {
			return r, err
		}
		for _, o := range sources {
			r.sources[o.Key()] = o
		}
	}
	if r.states, err = s.Store.Sources(ctx); err != nil {
		return r, err
	}
	if r.apps, err = s.appObjects(ctx); err != nil {
		return r, err
	}
	if r.built, err = s.Store.AppStates(ctx); err != nil {
		return r, err
	}
	r.instances, _, err = s.Store.Instances(ctx, fleet.InstanceQuery{})
	return r, err
}

// resolved is how many Sources are looked at.
func (r recovery) resolved() (n uint32) {
	for _, o := range r.sources {
		if refuseSuspended(o) == nil && o.Kind != resource.ExternalArtifact.Name && !isStatic(o) {
			n++
		}
	}
	return n
}

// blocked says what stands in the way of raising the epoch, and what to do about it; empty: nothing.
func (r recovery) blocked() string {
	suspended := map[fleet.Key]bool{}
	for _, o := range r.apps {
		if why := r.appBlocked(o); why != "" {
			return why
		}
		suspended[o.Key()] = refuseSuspended(o) != nil
	}
	for _, i := range r.instances {
		app := i.Assignment.App
		release := r.built[app].Release
		switch {
		case i.Assignment.State != fleet.Active:
		case suspended[app] && !i.Assignment.Suspend:
			return app.Words() + "@" + i.Cluster + " is not suspended yet"
		case !suspended[app] && !release.IsZero() && i.Assignment.Release.Digest() != release:
			return app.Words() + "@" + i.Cluster + " is not assigned yet"
		}
	}
	return ""
}

// appBlocked says why an App's Release may be that of an older Revision than its clusters have. A suspended App changes
// nothing there, and one without a Release has nothing to go back to.
func (r recovery) appBlocked(o *resource.Object) string {
	app, err := resource.App(o)
	if err != nil {
		return err.Error()
	}
	state := r.built[o.Key()]
	if app.Suspended() || state.Release.IsZero() {
		return ""
	}
	key := app.Source(o.Metadata.Namespace, o.Metadata.Name).Key(o.Metadata.Namespace)
	source, declared := r.sources[key]
	switch at := r.states[key]; {
	case !declared:
		return fmt.Sprintf("%s: its %s is not declared: apply it, or suspend the %s", o, key.Words(), o.Kind)
	case refuseSuspended(source) != nil:
		return fmt.Sprintf("%s: what its %s is at is not known, for that is suspended: resume it, or suspend the %s too", o, source, o.Kind)
	case source.Kind != resource.ExternalArtifact.Name && at.CheckedAt.Before(r.started) || at.Reason != "":
		return fmt.Sprintf("%s: its %s could not be resolved yet: mend it, or suspend the %s: %s", o, source, o.Kind, strings.TrimSpace(at.Reason+" "+at.Message))
	case state.Reason != "":
		return fmt.Sprintf("%s could not be built from %s: mend it, or suspend it: %s", o, state.Attempted, state.Message)
	case state.Revision != at.Revision:
		return fmt.Sprintf("%s is not built from %s yet", o, at.Revision)
	}
	return ""
}
