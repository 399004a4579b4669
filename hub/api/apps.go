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

// apps serves what one does to Apps and Sources besides declaring them.
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
	object, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := refuseSuspended(object); err != nil {
		return nil, err
	}
	if req.GetCluster() != "" {
		return s.reconcileInstance(ctx, kind, object, req)
	}
	var source *flux.SourceRef
	if req.GetWithSource() && kind.App {
		spec, err := resource.Spec[flux.Kustomization](object)
		if err != nil {
			return nil, err
		}
		source = &spec.SourceRef
		declared, err := s.Store.Object(ctx, source.Kind, req.GetNamespace(), source.Name)
		if err != nil {
			return nil, err
		}
		if err := refuseSuspended(declared); err != nil {
			return nil, err
		}
	}
	at, err := s.Store.RequestReconcile(ctx, s.Caller(ctx), kind.Name, req.GetNamespace(), req.GetName(), source)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ReconcileResponse{RequestedAt: at}
	if source != nil {
		resp.SourceKind, resp.SourceNamespace, resp.SourceName = source.Kind, req.GetNamespace(), source.Name
	}
	return resp, nil
}

func (s *apps) reconcileInstance(ctx context.Context, kind resource.Kind, object *resource.Object, req *adminv1.ReconcileRequest) (*adminv1.ReconcileResponse, error) {
	if !kind.App || req.GetWithSource() {
		return nil, fmt.Errorf("%w: only an App can be reconciled in one cluster, and without its source", fleet.ErrInvalid)
	}
	at, err := s.Store.RequestInstance(ctx, s.Caller(ctx), object.Key(), req.GetCluster())
	if err != nil {
		return nil, err
	}
	return &adminv1.ReconcileResponse{RequestedAt: at}, nil
}

// Suspend sets spec.suspend.
func (s *apps) Suspend(ctx context.Context, req *adminv1.SuspendRequest) (*adminv1.SuspendResponse, error) {
	raw, err := s.setSuspend(ctx, req.GetKind(), req.GetNamespace(), req.GetName(), true)
	return &adminv1.SuspendResponse{Object: raw}, err
}

// Resume clears spec.suspend and asks for a look now.
func (s *apps) Resume(ctx context.Context, req *adminv1.ResumeRequest) (*adminv1.ResumeResponse, error) {
	if _, err := s.setSuspend(ctx, req.GetKind(), req.GetNamespace(), req.GetName(), false); err != nil {
		return nil, err
	}
	at, err := s.Store.RequestReconcile(ctx, s.Caller(ctx), req.GetKind(), req.GetNamespace(), req.GetName(), nil)
	if err != nil {
		return nil, err
	}
	object, err := s.Store.Object(ctx, req.GetKind(), req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(object)
	return &adminv1.ResumeResponse{Object: raw, RequestedAt: at}, err
}

func (s *apps) setSuspend(ctx context.Context, kindName, namespace, name string, suspend bool) ([]byte, error) {
	kind, err := reconcilable(kindName)
	if err != nil {
		return nil, err
	}
	object, err := s.Store.SetSuspend(ctx, s.Caller(ctx), kind.Name, namespace, name, suspend)
	if err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

// reconcilable returns the kind of that name when there is something to reconcile in it.
func reconcilable(name string) (resource.Kind, error) {
	kind, err := kindOf(name)
	if err == nil && !kind.App && kind.Category != "sources" {
		err = fmt.Errorf("kind %s: %w: only Apps and Sources are reconciled", name, fleet.ErrInvalid)
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
