package api

import (
	"context"
	"encoding/json"
	"fmt"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// apps serves what one does to Apps, Sources and Receivers besides declaring them.
type apps struct {
	adminv1.UnimplementedAppsServiceServer
	*Server
}

// Reconcile asks for a look now.
func (s *apps) Reconcile(ctx context.Context, req *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	kind, err := reconcilable(req.GetKind())
	if err != nil {
		return nil, err
	}
	if err := s.findCluster(ctx, req.GetCluster()); err != nil {
		return nil, err
	}
	object, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := refuseSuspended(object); err != nil {
		return nil, err
	}
	if isStatic(object) {
		return nil, fmt.Errorf("%s: %w: it is of type oci, of which nothing is fetched: reconcile its HelmCharts", object, fleet.ErrInvalid)
	}
	if kind.Name != resource.HelmRelease.Name && (req.GetForce() || req.GetReset_()) {
		return nil, fmt.Errorf("%s: %w: only a HelmRelease is forced or reset", object, fleet.ErrInvalid)
	}
	if req.GetCluster() != "" {
		return s.reconcileInstance(ctx, kind, object, req)
	}
	var source, asked *flux.SourceRef
	if req.GetWithSource() && kind.App {
		app, err := resource.App(object)
		if err != nil {
			return nil, err
		}
		if denied := flux.Denied(app, req.GetNamespace()); denied != nil && !s.CrossNamespaceRefs {
			return nil, fmt.Errorf("%s: %w: %w", object, fleet.ErrConflict, denied)
		}
		ref := app.Source(req.GetNamespace(), req.GetName())
		source = &ref
		declared, err := s.Store.Object(ctx, source.Kind, source.NamespaceFor(req.GetNamespace()), source.Name)
		if err != nil {
			return nil, err
		}
		if err := refuseSuspended(declared); err != nil {
			return nil, err
		}
		if source.Kind != resource.ExternalArtifact.Name { // what it has is there already
			asked = source
		}
	}
	request, err := s.Store.RequestReconcile(ctx, s.Caller(ctx), kind.Name, req.GetNamespace(), req.GetName(), asked, lookOptions(req))
	if err != nil {
		return nil, err
	}
	resp := reconcileResponse(req, request)
	if source != nil {
		resp.SourceKind, resp.SourceNamespace, resp.SourceName = source.Kind, source.NamespaceFor(req.GetNamespace()), source.Name
	}
	return resp, nil
}

func lookOptions(req *adminv1.ReconcileRequest) fleet.LookOptions {
	return fleet.LookOptions{Force: req.GetForce(), Reset: req.GetReset_(), DryRun: req.GetDryRun()}
}

func (s *apps) reconcileInstance(ctx context.Context, kind resource.Kind, object *resource.Object, req *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	if !kind.App || req.GetWithSource() {
		return nil, fmt.Errorf("%w: only an App can be reconciled in one cluster, and without its source", fleet.ErrInvalid)
	}
	request, err := s.Store.RequestInstance(ctx, s.Caller(ctx), object.Key(), req.GetCluster(), lookOptions(req))
	if err != nil {
		return nil, err
	}
	return reconcileResponse(req, request), nil
}

// reconcileResponse is what was recorded, or after a dry run, what would be: there is nothing to wait for then.
func reconcileResponse(req *adminv1.ReconcileRequest, request fleet.LookRequest) *adminv1.ReconcileResponse {
	resp := &adminv1.ReconcileResponse{RequestedAt: request.At, Clusters: request.Clusters}
	if req.GetDryRun() {
		resp.RequestedAt = ""
	}
	return resp
}

// Suspend sets spec.suspend.
func (s *apps) Suspend(ctx context.Context, req *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	kind, err := reconcilable(req.GetKind())
	if err != nil {
		return nil, err
	}
	object, clusters, err := s.Store.Suspend(ctx, s.Caller(ctx), kind.Name, req.GetNamespace(), req.GetName(), req.GetDryRun())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(object)
	return &adminv1.SuspendResponse{Object: raw, Clusters: clusters}, err
}

// Resume clears spec.suspend and asks for a look now.
func (s *apps) Resume(ctx context.Context, req *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	kind, err := reconcilable(req.GetKind())
	if err != nil {
		return nil, err
	}
	object, request, err := s.Store.Resume(ctx, s.Caller(ctx), kind.Name, req.GetNamespace(), req.GetName(), req.GetDryRun())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(object)
	resp := &adminv1.ResumeResponse{Object: raw, RequestedAt: request.At, Clusters: request.Clusters}
	if req.GetDryRun() {
		resp.RequestedAt = ""
	}
	return resp, err
}

// reconcilable returns the kind of that name when there is something to reconcile in it.
func reconcilable(name string) (resource.Kind, error) {
	kind, err := kindOf(name)
	switch {
	case err != nil:
	case kind.Name == resource.ExternalArtifact.Name:
		err = fmt.Errorf("kind %s: %w: what it has is pushed, so there is nothing to ask for: push again", name, fleet.ErrInvalid)
	case !kind.Reconcilable():
		err = fmt.Errorf("kind %s: %w: only Apps, Sources and Receivers are reconciled", name, fleet.ErrInvalid)
	}
	return kind, err
}

func refuseSuspended(object *resource.Object) error {
	spec, err := resource.Spec[struct {
		Suspend bool `json:"suspend"`
	}](object)
	if err == nil && spec.Suspend {
		err = fmt.Errorf("%s: %w: it is suspended: `fleetctl resume` it first", object, fleet.ErrConflict)
	}
	return err
}
