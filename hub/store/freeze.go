package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// Freeze has nothing go forward in clusters, by name; none: in the fleet. It needs a reason. A freeze stands beside what a
// Cluster's declaration says: who declares it anew does not end the freeze.
func (s *Store) Freeze(ctx context.Context, actor string, clusters []string, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%w: a freeze needs a reason, which everyone reads who waits for its end", fleet.ErrInvalid)
	}
	return s.setFrozen(ctx, actor, action{verb: "freeze", object: frozenObject(clusters), detail: reason}, clusters, reason)
}

// Unfreeze ends freezes of clusters, by name; none: that of the fleet. What their declarations say is taken out of them.
func (s *Store) Unfreeze(ctx context.Context, actor string, clusters []string) error {
	return s.setFrozen(ctx, actor, action{verb: "unfreeze", object: frozenObject(clusters)}, clusters, "")
}

// frozenObject is what is frozen, in the audit log.
func frozenObject(clusters []string) string {
	if len(clusters) == 0 {
		return "fleet"
	}
	return "Cluster/" + strings.Join(clusters, " Cluster/")
}

// setFrozen writes a freeze, or its end where there is no reason.
func (s *Store) setFrozen(ctx context.Context, actor string, act action, clusters []string, reason string) error {
	const fleetWide = `INSERT INTO frozen (frozen, reason, actor) VALUES ($1 <> '', $1, $2)
		ON CONFLICT (cluster) DO UPDATE SET frozen = $1 <> '', reason = $1, actor = $2, at = now()`
	const some = `INSERT INTO frozen (cluster, frozen, reason, actor) SELECT id, $1 <> '', $1, $2 FROM cluster WHERE name = ANY($3) ORDER BY id
		ON CONFLICT (cluster) DO UPDATE SET frozen = $1 <> '', reason = $1, actor = $2, at = now()`
	return s.transact(ctx, fleet.Caller{Principal: actor}, act, func(tx pgx.Tx) error {
		if len(clusters) == 0 {
			if _, err := tx.Exec(ctx, fleetWide, reason, actor); err != nil {
				return explain(act.doing(), err)
			}
			return publish(ctx, tx, TopicObjects, TopicRollouts)
		}
		if err := knowsClusters(ctx, tx, clusters); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, some, reason, actor, clusters); err != nil {
			return explain(act.doing(), err)
		}
		if reason == "" {
			if err := releaseHolds(ctx, tx, clusters); err != nil {
				return err
			}
		}
		return publish(ctx, tx, TopicObjects, TopicRollouts)
	})
}

// knowsClusters refuses names that no cluster has.
func knowsClusters(ctx context.Context, tx pgx.Tx, names []string) error {
	rows, err := tx.Query(ctx, `SELECT name FROM cluster WHERE name = ANY($1)`, names)
	if err != nil {
		return explain("find clusters", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain("find clusters", err)
	}
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(known, name) })
	if len(missing) > 0 {
		return fmt.Errorf("Cluster/%s: %w: `fleetctl get clusters` lists those there are", strings.Join(missing, " Cluster/"), fleet.ErrNotFound)
	}
	return nil
}

// releaseHolds takes out of declarations that clusters are held.
func releaseHolds(ctx context.Context, tx pgx.Tx, clusters []string) error {
	const remove = `UPDATE object SET annotations = annotations - $3
		WHERE home = $1 AND kind = 'Cluster' AND namespace = '' AND name = ANY($2) AND deleted_at IS NULL AND annotations ? $3`
	_, err := tx.Exec(ctx, remove, fleet.HubHome, clusters, fleet.HoldAnnotation)
	return explain("release clusters", err)
}

// declaredHold is why the declaration of a Cluster, o, holds it; NULL: it does not.
const declaredHold = `CASE o.annotations ->> '` + fleet.HoldAnnotation + `' WHEN 'false' THEN NULL WHEN '' THEN 'no reason is given'
	WHEN 'true' THEN 'no reason is given' ELSE o.annotations ->> '` + fleet.HoldAnnotation + `' END`

// Frozen returns all that does not go forward: the fleet, and clusters by name.
func (s *Store) Frozen(ctx context.Context) (frozen rollout.Frozen, err error) {
	const query = `SELECT coalesce(c.name, ''), f.reason, f.actor, f.at FROM frozen f LEFT JOIN cluster c ON c.id = f.cluster WHERE f.frozen
		UNION ALL SELECT o.name, ` + declaredHold + `, '', NULL FROM object o JOIN cluster c ON c.name = o.name
			WHERE o.kind = 'Cluster' AND o.deleted_at IS NULL AND ` + declaredHold + ` IS NOT NULL
				AND NOT EXISTS (SELECT FROM frozen f WHERE f.cluster = c.id AND f.frozen)
		ORDER BY 1`
	rows, err := s.pool.Query(ctx, query)
	if err != nil {
		return frozen, explain("read what is frozen", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f rollout.Freeze, err error) {
		var at *time.Time
		err = row.Scan(&f.Cluster, &f.Reason, &f.Actor, &at)
		f.At = timeOf(at)
		return f, err
	})
	if len(found) > 0 && found[0].Cluster == "" {
		frozen.Fleet, found = &found[0], found[1:]
	}
	frozen.Clusters = found
	if err != nil {
		return frozen, explain("read what is frozen", err)
	}
	// After what it is the version of: a watcher is rather told twice than never.
	err = s.pool.QueryRow(ctx, `SELECT coalesce(max(written::text::bigint), 0) FROM frozen`).Scan(&frozen.Version)
	return frozen, explain("read what is frozen", err)
}
