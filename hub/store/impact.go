package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// settleImpact works out, in the transaction that made a change, what the rollout engine will do because of it, checks
// that against what a person confirmed, and records the confirmation for exactly the tombstones it covers.
func settleImpact(ctx context.Context, tx pgx.Tx, old, object *resource.Object, order fleet.Order) (fleet.Impact, error) {
	apps, err := concernedApps(ctx, tx, old, object)
	if err != nil {
		return fleet.Impact{}, err
	}
	impact := fleet.Impact{EveryCluster: meansEveryCluster(object) && (old == nil || !meansEveryCluster(old))}
	touched, deleting := map[string]bool{}, map[string]bool{}
	var confirmed []instanceID
	for _, app := range apps {
		state, err := loadState(ctx, tx, app)
		if err != nil {
			return fleet.Impact{}, err
		}
		step := rollout.Next(state)
		for id := range step.Put {
			touched[id] = true
		}
		for _, id := range step.Deletes() {
			deleting[id] = true
			confirmed = append(confirmed, instanceID{cluster: id, app: app})
		}
		if impact.EveryCluster {
			for _, cluster := range state.Clusters {
				touched[cluster.ID] = true
			}
		}
	}
	impact.Clusters, impact.Deletes = len(touched), len(deleting)
	if impact.Deletes > 0 && !impact.EveryCluster {
		impact.Clusters = impact.Deletes
	}
	if order.Confirm == nil {
		return impact, nil
	}
	if int(*order.Confirm) != impact.Clusters {
		return impact, fmt.Errorf("%s: %w: %d clusters were confirmed and the change concerns %d: look again", object, fleet.ErrConflict, *order.Confirm, impact.Clusters)
	}
	return impact, confirmTombstones(ctx, tx, confirmed)
}

// instanceID names an App in a cluster.
type instanceID struct {
	cluster string
	app     fleet.Key
}

func confirmTombstones(ctx context.Context, tx pgx.Tx, instances []instanceID) error {
	const upsert = `INSERT INTO instance_request (cluster, app, confirmed) VALUES ($1, $2, true)
		ON CONFLICT (cluster, app) DO UPDATE SET confirmed = true, at = now()`
	for _, i := range instances {
		if _, err := tx.Exec(ctx, upsert, i.cluster, i.app.String()); err != nil {
			return explain("confirm the deletion of "+i.app.String(), err)
		}
	}
	return nil
}

// concernedApps are the Apps whose Assignments a change of an object may change.
func concernedApps(ctx context.Context, tx pgx.Tx, old, object *resource.Object) ([]fleet.Key, error) {
	switch object.Kind {
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		return []fleet.Key{object.Key()}, nil
	case resource.Placement.Name:
		var apps []fleet.Key
		for _, o := range []*resource.Object{old, object} {
			if o == nil {
				continue
			}
			spec, err := resource.Spec[fleet.Placement](o)
			if err != nil {
				return nil, err
			}
			for _, app := range spec.Apps {
				key := fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: o.Metadata.Namespace, Name: app.Name}
				if !slices.Contains(apps, key) {
					apps = append(apps, key)
				}
			}
		}
		return apps, nil
	case resource.Cluster.Name:
		const query = `SELECT DISTINCT app FROM assignment WHERE cluster = (SELECT id FROM cluster WHERE name = $1)`
		rows, err := tx.Query(ctx, query, object.Metadata.Name)
		if err != nil {
			return nil, explain("find the Apps of "+object.String(), err)
		}
		apps, err := pgx.CollectRows(rows, scanKey)
		return apps, explain("find the Apps of "+object.String(), err)
	}
	return nil, nil
}

func meansEveryCluster(object *resource.Object) bool {
	if object.Kind != resource.Placement.Name {
		return false
	}
	spec, err := resource.Spec[fleet.Placement](object)
	return err == nil && spec.Clusters.EveryCluster()
}
