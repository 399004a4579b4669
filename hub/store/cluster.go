package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// ensureCluster makes the row beside a declared Cluster.
func ensureCluster(ctx context.Context, tx pgx.Tx, name string) error {
	const insert = `INSERT INTO cluster (id, name)
		SELECT uid, name FROM object WHERE home = 'hub' AND kind = 'Cluster' AND namespace = '' AND name = $1
		ON CONFLICT DO NOTHING`
	_, err := tx.Exec(ctx, insert, name)
	return explain("make the row of Cluster/"+name, err)
}

// endCluster marks a Cluster as Terminating, or with now ends it.
func (s *Store) endCluster(ctx context.Context, tx pgx.Tx, object *resource.Object, now bool) error {
	if now {
		const remove = `DELETE FROM cluster WHERE name = $1 RETURNING id::text`
		return finishCluster(ctx, tx, object.Metadata.Name, remove)
	}
	const mark = `UPDATE object SET deleting_at = coalesce(deleting_at, now())
		WHERE home = 'hub' AND kind = 'Cluster' AND namespace = '' AND name = $1`
	_, err := tx.Exec(ctx, mark, object.Metadata.Name)
	return explain("delete "+object.String(), err)
}

// finished is a cluster c whose object o is Terminating with nothing to wait for.
const finished = `o.home = 'hub' AND o.kind = 'Cluster' AND o.namespace = '' AND o.name = c.name
	AND o.deleting_at IS NOT NULL AND o.deleted_at IS NULL
	AND (c.enrolled_at IS NULL OR NOT EXISTS (SELECT FROM assignment a WHERE a.cluster = c.id))`

// FinishClusters ends the Terminating clusters that have no Assignment left, or never had a spoke: their certificates
// are refused from then on.
func (s *Store) FinishClusters(ctx context.Context) error {
	rows, err := s.pool.Query(ctx, `SELECT c.name FROM cluster c, object o WHERE `+finished)
	if err != nil {
		return explain("look for finished clusters", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain("look for finished clusters", err)
	}
	var errs []error
	for _, name := range names {
		err := s.transact(ctx, System, action{verb: "finish", object: "Cluster/" + name, concern: anyPlacement}, func(tx pgx.Tx) error {
			// Asked again: by now it may be another cluster of that name.
			const remove = `DELETE FROM cluster c USING object o WHERE c.name = $1 AND ` + finished + ` RETURNING c.id::text`
			if err := finishCluster(ctx, tx, name, remove); err != nil {
				return err
			}
			return publish(ctx, tx, TopicObjects)
		})
		if !errors.Is(err, fleet.ErrNotFound) { // another replica was first
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// finishCluster ends the cluster that remove, a statement that takes the name and returns the id, removes.
func finishCluster(ctx context.Context, tx pgx.Tx, name, remove string) error {
	var id string
	if err := tx.QueryRow(ctx, remove, name).Scan(&id); err != nil {
		return explain("remove the row of Cluster/"+name, err)
	}
	const revoke = `INSERT INTO revoked_cluster (id, until) VALUES ($1, now() + $2::interval) ON CONFLICT DO NOTHING`
	if _, err := tx.Exec(ctx, revoke, id, fleet.RevokedFor); err != nil {
		return explain("revoke Cluster/"+name, err)
	}
	const end = `UPDATE object SET deleted_at = now() WHERE home = 'hub' AND kind = 'Cluster' AND namespace = '' AND name = $1`
	if _, err := tx.Exec(ctx, end, name); err != nil {
		return explain("delete Cluster/"+name, err)
	}
	return publish(ctx, tx, TopicCluster(id))
}

// ClusterStatuses returns what the hub knows of each cluster, by name.
func (s *Store) ClusterStatuses(ctx context.Context) (map[string]fleet.ClusterStatus, error) {
	const query = `SELECT name, id::text, enrolled_at IS NOT NULL, connected, coalesce(last_seen, 'epoch'),
		connected_since, away_since, epoch, version, digest, acked_epoch, acked_version, acked_digest, safe_mode, safe_mode_since, facts, unknown,
		written::text::bigint FROM cluster`
	rows, err := s.pool.Query(ctx, query)
	if err != nil {
		return nil, explain("read the clusters", err)
	}
	defer rows.Close()
	statuses := map[string]fleet.ClusterStatus{}
	for rows.Next() {
		var name string
		var c fleet.ClusterStatus
		var digest, acked, facts, unknown []byte
		err := rows.Scan(&name, &c.ID, &c.Enrolled, &c.Connected, &c.LastSeen, &c.ConnectedSince, &c.AwaySince, &c.State.Epoch, &c.State.Version, &digest,
			&c.Acknowledged.Epoch, &c.Acknowledged.Version, &acked, &c.SafeMode, &c.SafeModeSince, &facts, &unknown, &c.Version)
		if err != nil {
			return nil, explain("read the clusters", err)
		}
		if err := decodeAll(name, digest, &c.State.Digest, acked, &c.Acknowledged.Digest, facts, &c.Facts, unknown, &c.UnknownAssignments); err != nil {
			return nil, err
		}
		statuses[name] = c
	}
	return statuses, explain("read the clusters", rows.Err())
}

func decodeAll(name string, digest []byte, state *fleet.Digest, acked []byte, acknowledged *fleet.Digest,
	facts []byte, f *fleet.ClusterFacts, unknown []byte, keys *[]fleet.Key) (err error) {
	if *state, err = fleet.DigestFromBytes(digest); err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	if *acknowledged, err = fleet.DigestFromBytes(acked); err != nil {
		return fmt.Errorf("cluster %s: %w", name, err)
	}
	if err := json.Unmarshal(facts, f); err != nil {
		return fmt.Errorf("cluster %s: facts: %w", name, err)
	}
	if err := json.Unmarshal(unknown, keys); err != nil {
		return fmt.Errorf("cluster %s: unknown Assignments: %w", name, err)
	}
	return nil
}
