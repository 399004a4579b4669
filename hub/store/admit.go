package store

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// Annotations that the hub keeps on an App of which a reconciliation "with source" was asked: the request at which the
// Source must be looked at before the App's own request is passed on, and the request to pass on until then.
const (
	withSourceAnnotation = "fleet.flotilla.dev/with-source"
	beforeAnnotation     = "fleet.flotilla.dev/requested-before"
)

// keptAnnotations are the hub's own: an object applied without them keeps them.
var keptAnnotations = []string{flux.RequestedAtAnnotation, flux.ForceAtAnnotation, flux.ResetAtAnnotation, withSourceAnnotation, beforeAnnotation}

// admit checks a declared object against the others.
func (s *Store) admit(ctx context.Context, tx pgx.Tx, old, object *resource.Object) error {
	if old != nil {
		if old.Metadata.DeletionTimestamp != nil {
			return fmt.Errorf("%s: %w: it is being deleted", object, fleet.ErrConflict)
		}
		keepAnnotations(old, object)
	}
	if err := admitOwned(old, object); err != nil {
		return err
	}
	switch object.Kind {
	case resource.Placement.Name:
		return admitPlacement(ctx, tx, object)
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		return admitDependencies(ctx, tx, object)
	}
	return nil
}

func keepAnnotations(old, object *resource.Object) {
	annotations := maps.Clone(object.Metadata.Annotations)
	for _, key := range keptAnnotations {
		value, had := old.Metadata.Annotations[key]
		if _, given := annotations[key]; had && !given {
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[key] = value
		}
	}
	object.Metadata.Annotations = annotations
}

// admitPlacement refuses a second Placement for an App. The transaction holds placementLock: of two that name one App,
// the second sees the first.
func admitPlacement(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	const query = `SELECT o.name, a ->> 'kind', a ->> 'name' FROM object o, jsonb_array_elements(o.spec -> 'apps') a
		WHERE o.home = $1 AND o.kind = 'Placement' AND o.namespace = $2 AND o.name <> $3 AND o.deleted_at IS NULL
			AND a IN (SELECT jsonb_array_elements($4::jsonb -> 'apps')) LIMIT 1`
	var other, kind, app string
	err := tx.QueryRow(ctx, query, fleet.HubHome, object.Metadata.Namespace, object.Metadata.Name, object.Spec).Scan(&other, &kind, &app)
	switch {
	case err == pgx.ErrNoRows:
		return nil
	case err != nil:
		return explain("check "+object.String(), err)
	}
	return fmt.Errorf("%s: %w: %s/%s is placed by Placement/%s/%s already, and an App has one Placement: remove it there first",
		object, fleet.ErrConflict, kind, app, object.Metadata.Namespace, other)
}
