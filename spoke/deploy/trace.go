package deploy

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/apply"
)

// maxChain bounds a chain of owners.
const maxChain = 16

// The labels by which Flux's helm-controller marks what it applies.
const (
	helmGroup          = "helm.toolkit.fluxcd.io"
	helmNameLabel      = helmGroup + "/name"
	helmNamespaceLabel = helmGroup + "/namespace"
)

// Trace follows an object to its owner and on, and finds the App that applied the last of them. Only metadata is read.
// The chain is empty when there is no such object.
func (e *Engine) Trace(ctx context.Context, word, namespace, name string) (fleet.Trace, error) {
	if err := e.awaitReady(ctx); err != nil {
		return fleet.Trace{}, err
	}
	kind, mapping, err := e.mapper.Find(ctx, word)
	if err != nil {
		return fleet.Trace{}, err
	}
	kind.Namespace, kind.Name = namespace, name
	ref := mapping.Place(kind)
	trace := fleet.Trace{Chain: []fleet.ObjectRef{}}
	live, err := e.accounts.Self.Applier.Get(ctx, ref, mapping)
	if errors.Is(err, fleet.ErrNotFound) {
		trace.Lost = ref.String()
		return trace, nil
	}
	if err != nil {
		return trace, err
	}
	for {
		trace.Chain = append(trace.Chain, ref)
		if a := e.owner(ref); a != nil {
			trace.App = a.key
			return trace, nil
		}
		owner := ownerOf(live)
		if owner == nil || len(trace.Chain) == maxChain {
			break
		}
		next, above, err := e.above(ctx, ref, *owner)
		if err != nil {
			return trace, err
		}
		if above == nil {
			trace.Lost = next.String()
			break
		}
		ref, live = next, above
	}
	return trace, e.labelled(ctx, &trace, live.Labels)
}

// ownerOf is the controller of an object, or else its first owner.
func ownerOf(live *metav1.PartialObjectMetadata) *metav1.OwnerReference {
	if controller := metav1.GetControllerOfNoCopy(live); controller != nil {
		return controller
	}
	if len(live.OwnerReferences) > 0 {
		return &live.OwnerReferences[0]
	}
	return nil
}

// above reads an owner; nil: it is gone, or another one has its name.
func (e *Engine) above(ctx context.Context, ref fleet.ObjectRef, owner metav1.OwnerReference) (fleet.ObjectRef, *metav1.PartialObjectMetadata, error) {
	next := fleet.ObjectRef{Kind: owner.Kind, Namespace: ref.Namespace, Name: owner.Name}
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return next, nil, fmt.Errorf("owner of %s: %w: %w", ref, fleet.ErrInvalid, err)
	}
	next.Group, next.Version = gv.Group, gv.Version
	mapping, err := e.mapper.Served(ctx, next)
	if errors.Is(err, fleet.ErrNotFound) {
		return next, nil, nil
	}
	if err != nil {
		return next, nil, err
	}
	next = mapping.Place(next)
	live, err := e.accounts.Self.Applier.Get(ctx, next, mapping)
	if errors.Is(err, fleet.ErrNotFound) || err == nil && live.UID != owner.UID {
		return next, nil, nil
	}
	return next, live, err
}

// labelled says what Flux's labels say, and whether the cluster has the object of Flux that they name.
func (e *Engine) labelled(ctx context.Context, trace *fleet.Trace, labels map[string]string) error {
	owner := fleet.ObjectRef{Group: fluxGroup, Version: "v1", Kind: "Kustomization",
		Namespace: labels[apply.Kustomize.NamespaceLabel], Name: labels[apply.Kustomize.NameLabel]}
	if owner.Name == "" {
		owner = fleet.ObjectRef{Group: helmGroup, Version: "v2", Kind: "HelmRelease", Namespace: labels[helmNamespaceLabel], Name: labels[helmNameLabel]}
	}
	if owner.Name == "" || owner.Namespace == "" {
		return nil
	}
	trace.Owner = owner.Kind + "/" + owner.Namespace + "/" + owner.Name
	live, _, err := e.live(ctx, e.accounts.Self, owner)
	trace.Declared = live != nil
	if errors.Is(err, fleet.ErrNotFound) { // a kind that comes or goes just now: the object is not there yet, or no more
		return nil
	}
	return err
}
