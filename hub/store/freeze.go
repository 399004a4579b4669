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
// Cluster's declaration says: who declares it anew does not end the freeze. It returns what is frozen after it, and what it
// means: a number that was confirmed and is not that of the clusters is fleet.ErrConflict.
func (s *Store) Freeze(ctx context.Context, actor string, clusters []string, reason string, order fleet.Order) (rollout.Frozen, fleet.Impact, error) {
	if strings.TrimSpace(reason) == "" {
		return rollout.Frozen{}, fleet.Impact{}, fmt.Errorf("%w: a freeze needs a reason, which everyone reads who waits for its end", fleet.ErrInvalid)
	}
	act := action{verb: "freeze", object: frozenObject(clusters), detail: detail(reason, confirmed(order))}
	return s.setFrozen(ctx, actor, act, clusters, reason, order)
}

// Unfreeze ends freezes of clusters, by name; none: that of the fleet. What their declarations say is taken out of them. It
// returns what Freeze does.
func (s *Store) Unfreeze(ctx context.Context, actor string, clusters []string, order fleet.Order) (rollout.Frozen, fleet.Impact, error) {
	return s.setFrozen(ctx, actor, action{verb: "unfreeze", object: frozenObject(clusters), detail: confirmed(order)}, clusters, "", order)
}

// frozenObject is what is frozen, in the audit log.
func frozenObject(clusters []string) string {
	if len(clusters) == 0 {
		return "fleet"
	}
	return "Cluster/" + strings.Join(clusters, " Cluster/")
}

// setFrozen writes a freeze, or its end where there is no reason.
func (s *Store) setFrozen(ctx context.Context, actor string, act action, clusters []string, reason string, order fleet.Order) (frozen rollout.Frozen, impact fleet.Impact, err error) {
	act.dryRun = order.DryRun
	err = s.transact(ctx, fleet.Caller{Principal: actor}, act, func(tx pgx.Tx) error {
		if len(clusters) == 0 {
			impact, err = freezeFleet(ctx, tx, act, actor, reason)
		} else {
			impact, err = freezeClusters(ctx, tx, act, actor, clusters, reason)
		}
		switch {
		case err != nil:
			return err
		case order.Confirm != nil && int(*order.Confirm) != impact.Clusters:
			return fmt.Errorf("%s: %w: %d clusters were confirmed and the change concerns %d: look again", act.object, fleet.ErrConflict, *order.Confirm, impact.Clusters)
		}
		if frozen, err = readFrozen(ctx, tx); err != nil {
			return err
		}
		return publish(ctx, tx, TopicObjects, TopicRollouts)
	})
	return frozen, impact, err
}

func freezeFleet(ctx context.Context, tx pgx.Tx, act action, actor, reason string) (fleet.Impact, error) {
	const write = `WITH written AS (INSERT INTO frozen (frozen, reason, actor) VALUES ($1 <> '', $1, $2)
			ON CONFLICT (cluster) DO UPDATE SET frozen = $1 <> '', reason = $1, actor = $2, at = now())
		SELECT count(*) FROM cluster`
	impact := fleet.Impact{EveryCluster: true}
	err := tx.QueryRow(ctx, write, reason, actor).Scan(&impact.Clusters)
	return impact, explain(act.doing(), err)
}

func freezeClusters(ctx context.Context, tx pgx.Tx, act action, actor string, clusters []string, reason string) (fleet.Impact, error) {
	const write = `INSERT INTO frozen (cluster, frozen, reason, actor) SELECT id, $1 <> '', $1, $2 FROM cluster WHERE name = ANY($3) ORDER BY id
		ON CONFLICT (cluster) DO UPDATE SET frozen = $1 <> '', reason = $1, actor = $2, at = now()`
	if err := knowsClusters(ctx, tx, clusters); err != nil {
		return fleet.Impact{}, err
	}
	written, err := tx.Exec(ctx, write, reason, actor, clusters)
	if err != nil {
		return fleet.Impact{}, explain(act.doing(), err)
	}
	impact := fleet.Impact{Clusters: int(written.RowsAffected())}
	if reason != "" {
		return impact, nil
	}
	return impact, releaseHolds(ctx, tx, clusters)
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
func (s *Store) Frozen(ctx context.Context) (rollout.Frozen, error) { return readFrozen(ctx, s.pool) }

func readFrozen(ctx context.Context, db querier) (frozen rollout.Frozen, err error) {
	const query = `SELECT coalesce(c.name, ''), f.reason, f.actor, f.at FROM frozen f LEFT JOIN cluster c ON c.id = f.cluster WHERE f.frozen
		UNION ALL SELECT o.name, ` + declaredHold + `, '', NULL FROM object o JOIN cluster c ON c.name = o.name
			WHERE o.kind = 'Cluster' AND o.deleted_at IS NULL AND ` + declaredHold + ` IS NOT NULL
				AND NOT EXISTS (SELECT FROM frozen f WHERE f.cluster = c.id AND f.frozen)
		ORDER BY 1`
	rows, err := db.Query(ctx, query)
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
	err = db.QueryRow(ctx, `SELECT coalesce(max(written::text::bigint), 0) FROM frozen`).Scan(&frozen.Version)
	return frozen, explain("read what is frozen", err)
}
