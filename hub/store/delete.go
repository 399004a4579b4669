package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// DeleteObject ends a declared object. What it means for the clusters follows from the deletion table; a Cluster stays,
// Terminating, until its spoke has acknowledged the tombstones.
func (s *Store) DeleteObject(ctx context.Context, by fleet.Caller, d resource.Deletion) (impact fleet.Impact, err error) {
	act := action{verb: "delete", object: d.Kind + "/" + strings.TrimPrefix(d.Namespace+"/"+d.Name, "/"), dryRun: d.DryRun, concern: concernOf(d.Kind, d.Namespace, d.Name),
		detail: detail(string(d.Policy), when(d.Now, "now"), confirmed(d.Order))}
	err = s.transact(ctx, by, act, func(tx pgx.Tx) error {
		object, err := lockObject(ctx, tx, d.Kind, d.Namespace, d.Name)
		if err != nil {
			return err
		}
		if err := refuseOwned(object); err != nil {
			return err
		}
		if err := s.endObject(ctx, tx, object, d); err != nil {
			return err
		}
		if err := s.bindReceivers(ctx, tx, d.Kind, d.Namespace, d.Name); err != nil {
			return err
		}
		if impact, err = settleImpact(ctx, tx, object, object, d.Order); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects)
	})
	return impact, err
}

func (s *Store) endObject(ctx context.Context, tx pgx.Tx, object *resource.Object, d resource.Deletion) error {
	var deletion []byte
	if kind, _ := resource.KindOf(object.Kind); kind.Category == resource.Sources {
		if err := s.refuseInUse(ctx, tx, object); err != nil {
			return err
		}
		if err := forgetSource(ctx, tx, object); err != nil {
			return err
		}
	}
	switch object.Kind {
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		app, err := resource.App(object)
		if err != nil {
			return err
		}
		remove, wait := app.Deletion(d.Policy)
		if deletion, err = json.Marshal(rollout.Deletion{Delete: remove, Wait: wait}); err != nil {
			return err
		}
		if err := s.endCharts(ctx, tx, object, ""); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM app WHERE key = $1`, object.Key().String()); err != nil {
			return explain("forget "+object.String(), err)
		}
	case resource.RolloutPolicy.Name:
		if err := refuseNamed(ctx, tx, object); err != nil {
			return err
		}
	case resource.Receiver.Name:
		if err := forgetReceiver(ctx, tx, d.Namespace, d.Name); err != nil {
			return err
		}
	case resource.Cluster.Name:
		return s.endCluster(ctx, tx, object, d.Now)
	}
	return markDeleted(ctx, tx, object, deletion)
}

// markDeleted keeps of an object that it was, and what its deletion means.
func markDeleted(ctx context.Context, tx pgx.Tx, object *resource.Object, deletion []byte) error {
	const end = `UPDATE object SET deleted_at = now(), deletion = $5, sealed = NULL, owner = NULL
		WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4`
	_, err := tx.Exec(ctx, end, fleet.HubHome, object.Kind, object.Metadata.Namespace, object.Metadata.Name, deletion)
	return explain("delete "+object.String(), err)
}

// forgetSource forgets what is stored of a Source.
func forgetSource(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	const forget = `DELETE FROM source WHERE kind = $1 AND namespace = $2 AND name = $3`
	_, err := tx.Exec(ctx, forget, object.Kind, object.Metadata.Namespace, object.Metadata.Name)
	return explain("forget "+object.String(), err)
}

// refuseInUse refuses to delete a Source that Apps are built from or other Sources are made of, naming them. An App that
// may not have it does not count: nobody could keep the Source of another namespace by naming it. Nor does a HelmChart
// that is made for a HelmRelease, which names what the chart is of itself.
func (s *Store) refuseInUse(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	const query = `SELECT o.kind || '/' || o.namespace || '/' || o.name
		FROM (VALUES ($1::text, $2::text, $3::text)) AS s (kind, namespace, name) JOIN object o ON
			` + isApp + ` AND (` + isSource + ` OR ` + bringsChart + ` AND s.kind = ` + sourceRef + ` ->> 'kind' AND s.namespace = ` + sourceNamespace + ` AND s.name = ` + sourceRef + ` ->> 'name')
				AND ($5 OR s.namespace = o.namespace)
			OR o.kind = 'HelmChart' AND o.owner IS NULL AND ` + isSource + ` AND s.namespace = o.namespace
			OR o.kind = 'GitRepository' AND s.kind = 'GitRepository' AND s.namespace = o.namespace AND s.name <> o.name
				AND o.spec -> 'include' @> jsonb_build_array(jsonb_build_object('repository', jsonb_build_object('name', s.name)))
		WHERE o.home = $4 AND o.deleted_at IS NULL ORDER BY 1`
	m := object.Metadata
	rows, err := tx.Query(ctx, query, object.Kind, m.Namespace, m.Name, fleet.HubHome, s.crossNamespace)
	if err != nil {
		return explain("look for users of "+object.String(), err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain("look for users of "+object.String(), err)
	}
	if len(users) > 0 {
		return fmt.Errorf("%s: %w: it is used by %s: delete or change those first", object, fleet.ErrConflict, strings.Join(users, ", "))
	}
	return nil
}

// refuseNamed refuses to delete a RolloutPolicy that Placements name: their Apps would not be rolled out any more.
func refuseNamed(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	const query = `SELECT 'Placement/' || namespace || '/' || name FROM object
		WHERE home = $1 AND kind = 'Placement' AND deleted_at IS NULL AND spec -> 'rolloutPolicyRef' ->> 'name' = $2 ORDER BY 1`
	rows, err := tx.Query(ctx, query, fleet.HubHome, object.Metadata.Name)
	if err != nil {
		return explain("look for users of "+object.String(), err)
	}
	users, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain("look for users of "+object.String(), err)
	}
	if len(users) > 0 {
		return fmt.Errorf("%s: %w: it is named by %s: change or delete those first", object, fleet.ErrConflict, strings.Join(users, ", "))
	}
	return nil
}

// EndInstance orders the end of an App in a cluster that only the cluster's spoke knows of, or of one whose tombstone
// is held. An App that is assigned there is fleet.ErrConflict; one that nobody knows is fleet.ErrNotFound.
func (s *Store) EndInstance(ctx context.Context, by fleet.Caller, app fleet.Key, cluster string, remove bool, order fleet.Order) (fleet.Impact, error) {
	impact := fleet.Impact{Clusters: 1}
	if remove {
		impact.Deletes = 1
	}
	act := action{verb: "delete", object: instanceName(app, cluster), dryRun: order.DryRun,
		detail: detail(when(remove, "Delete"), when(!remove, "Orphan"), confirmed(order))}
	err := s.transact(ctx, by, act, func(tx pgx.Tx) error {
		const query = `SELECT c.id::text, coalesce(a.state, ''), c.unknown ? $2 FROM cluster c
			LEFT JOIN assignment a ON a.cluster = c.id AND a.app = $2 WHERE c.name = $1`
		var id, state string
		var unknown bool
		if err := tx.QueryRow(ctx, query, cluster, app.String()).Scan(&id, &state, &unknown); err != nil {
			return explain("find Cluster/"+cluster, err)
		}
		switch {
		case state == string(fleet.Active):
			return fmt.Errorf("%s: %w: it is assigned to the cluster: delete the %s, or change its Placement", act.object, fleet.ErrConflict, app.Kind)
		case state == "" && !unknown:
			return fmt.Errorf("%s: %w", act.object, fleet.ErrNotFound)
		case order.Confirm != nil && *order.Confirm != 1:
			return fmt.Errorf("%s: %w: %d clusters were confirmed and the change concerns 1", act.object, fleet.ErrConflict, *order.Confirm)
		}
		ending, err := json.Marshal(rollout.Deletion{Delete: remove})
		if err != nil {
			return err
		}
		const upsert = `INSERT INTO instance_request (cluster, app, ending, confirmed) VALUES ($1, $2, $3, $4)
			ON CONFLICT (cluster, app) DO UPDATE SET ending = $3, confirmed = $4, at = now()`
		if _, err := tx.Exec(ctx, upsert, id, app.String(), ending, order.Confirm != nil); err != nil {
			return explain(act.doing(), err)
		}
		return publish(ctx, tx, TopicObjects)
	})
	return impact, err
}

// instanceName is how people write an App in a cluster.
func instanceName(app fleet.Key, cluster string) string {
	return app.Words() + "@" + cluster
}
