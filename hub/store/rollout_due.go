package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// AppsChanged returns the Apps about which something that a rollout looks at changed since a horizon, those that are due by
// themselves, and the horizon to ask from next. A changed Placement, Cluster or freeze may concern every App; a RolloutPolicy
// does those of Placements that name it, a cluster that connects or leaves those with Rollouts that it has or is to have, a
// Source an App whose request waits for it, and a Revision one that depends on others, which may have to be at it too.
func (s *Store) AppsChanged(ctx context.Context, since fleet.Horizon) (apps []fleet.Key, seen fleet.Horizon, err error) {
	const query = `
		WITH moved AS (
			SELECT EXISTS (SELECT FROM object WHERE kind IN ('Placement', 'Cluster') AND written >= $1::text::xid8)
					OR EXISTS (SELECT FROM frozen WHERE written >= $1::text::xid8) AS everything
		)
		SELECT o.key FROM object o WHERE ` + isApp + ` AND (o.written >= $1::text::xid8 OR (SELECT everything FROM moved))
		UNION SELECT key FROM app WHERE turned >= $1::text::xid8
		UNION SELECT a.key FROM app a JOIN object o ON o.key = a.key
			WHERE a.written >= $1::text::xid8 AND (o.spec ? 'dependsOn' OR o.annotations ? '` + flux.DependsOnAnnotation + `')
		UNION SELECT app FROM report WHERE written >= $1::text::xid8
		UNION SELECT app FROM instance_request WHERE written >= $1::text::xid8
		UNION SELECT app FROM prune_approval WHERE written >= $1::text::xid8
		UNION SELECT app FROM assignment WHERE (SELECT everything FROM moved)
		UNION SELECT o.key FROM source s JOIN object o ON ` + isApp + ` AND ` + isSource + `
			WHERE s.written >= $1::text::xid8 AND o.annotations ? '` + withSourceAnnotation + `'
		UNION SELECT app FROM rollout_track WHERE due <= clock_timestamp()
		UNION SELECT o.key FROM object w
			JOIN object p ON p.home = w.home AND p.kind = 'Placement' AND p.deleted_at IS NULL AND p.spec -> 'rolloutPolicyRef' ->> 'name' = w.name
			CROSS JOIN LATERAL jsonb_to_recordset(p.spec -> 'apps') AS a (kind text, name text)
			JOIN object o ON o.home = p.home AND o.kind = a.kind AND o.namespace = p.namespace AND o.name = a.name
			WHERE w.kind = 'RolloutPolicy' AND w.written >= $1::text::xid8
		UNION ` + appsBesideChanged
	err = s.snapshot(ctx, "find changed Apps", func(tx pgx.Tx) error {
		if seen, err = horizon(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, query, since.String())
		if err != nil {
			return explain("find changed Apps", err)
		}
		if apps, err = pgx.CollectRows(rows, scanKey); err != nil {
			return explain("find changed Apps", err)
		}
		linked, err := appsOfLinked(ctx, tx, since)
		for _, app := range linked {
			if !slices.Contains(apps, app) {
				apps = append(apps, app)
			}
		}
		return err
	})
	return apps, seen, err
}

// linkedSince are the clusters that connected or left since the horizon $1.
const linkedSince = `SELECT c.id::text, c.name, o.labels FROM cluster c
		JOIN object o ON o.home = 'hub' AND o.kind = 'Cluster' AND o.namespace = '' AND o.name = c.name AND o.deleted_at IS NULL
	WHERE c.linked >= $1::text::xid8`

// appsOfLinked are the Apps with Rollouts that clusters have, are to have, or are to get in a Rollout under way, which
// connected or left since a horizon.
func appsOfLinked(ctx context.Context, tx pgx.Tx, since fleet.Horizon) ([]fleet.Key, error) {
	const there = `SELECT t.app FROM assignment a JOIN rollout_track t ON t.app = a.app WHERE a.cluster = ANY($1)
		UNION SELECT r.app FROM rollout r JOIN rollout_member m ON m.rollout = r.id WHERE r.phase IN ` + activePhases + ` AND m.cluster = ANY($1)`
	rows, err := tx.Query(ctx, linkedSince, since.String())
	if err != nil {
		return nil, explain("find clusters that connected or left", err)
	}
	var ids []string
	clusters, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c rollout.Cluster, err error) {
		err = row.Scan(&c.ID, &c.Name, &c.Labels)
		ids = append(ids, c.ID)
		return c, err
	})
	if err != nil || len(clusters) == 0 {
		return nil, explain("find clusters that connected or left", err)
	}
	if rows, err = tx.Query(ctx, there, ids); err != nil {
		return nil, explain("find the Apps of clusters", err)
	}
	apps, err := pgx.CollectRows(rows, scanKey)
	if err != nil {
		return nil, explain("find the Apps of clusters", err)
	}
	placed, err := appsPlacedOn(ctx, tx, clusters)
	return append(apps, placed...), err
}

// appsPlacedOn are the Apps with Rollouts whose Placement chooses one of the clusters.
func appsPlacedOn(ctx context.Context, tx pgx.Tx, clusters []rollout.Cluster) ([]fleet.Key, error) {
	const query = `SELECT p.spec -> 'clusters', array_agg(t.app) FROM object p
			CROSS JOIN LATERAL jsonb_to_recordset(p.spec -> 'apps') AS a (kind text, name text)
			JOIN rollout_track t ON t.app = p.home || '/' || a.kind || '/' || p.namespace || '/' || a.name
		WHERE p.kind = 'Placement' AND p.deleted_at IS NULL AND p.spec ? 'rolloutPolicyRef'
		GROUP BY p.key, p.spec`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return nil, explain("find Placements", err)
	}
	var apps []fleet.Key
	var choice fleet.ClusterChoice
	var named []string
	_, err = pgx.ForEachRow(rows, []any{&choice, &named}, func() error {
		chosen := choice.Matcher()
		looksAt := slices.ContainsFunc(clusters, func(c rollout.Cluster) bool { return chosen(c.Name, c.Labels) })
		choice = fleet.ClusterChoice{} // a Placement that has no names leaves those of the one before
		if !looksAt {
			return nil
		}
		for _, text := range named {
			app, err := fleet.ParseKey(text)
			if err != nil {
				return err
			}
			apps = append(apps, app)
		}
		return nil
	})
	return apps, explain("find Placements", err)
}

// outageAfter is how long no hub has to have looked for that time to be an outage. Spokes that are heard no more are taken for
// disconnected as soon.
const outageAfter = 45 * time.Second

// Looked notes that a hub looks, and an outage if none did for long.
func (s *Store) Looked(ctx context.Context) error {
	// The row is changed once missed has been counted: a part of a statement does not find what another has changed before it.
	const note = `WITH before AS (
			SELECT at FROM looked FOR UPDATE
		), missed AS (
			INSERT INTO outage (since, until) SELECT at, clock_timestamp() FROM before WHERE at < clock_timestamp() - $1::interval RETURNING since
		)
		INSERT INTO looked (at) SELECT clock_timestamp() FROM (SELECT count(*) FROM missed) AS m
			ON CONFLICT (only_row) DO UPDATE SET at = greatest(looked.at, excluded.at)`
	_, err := s.pool.Exec(ctx, note, outageAfter)
	return explain("note that a hub looks", err)
}

// NextDue is when the next App is due by itself, by the database's clock; zero: none is.
func (s *Store) NextDue(ctx context.Context) (time.Time, error) {
	const query = `SELECT min(due) FROM rollout_track WHERE due IS NOT NULL`
	var due *time.Time
	err := s.pool.QueryRow(ctx, query).Scan(&due)
	return timeOf(due), explain("find what is due next", err)
}

func scanKey(row pgx.CollectableRow) (fleet.Key, error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return fleet.Key{}, err
	}
	return fleet.ParseKey(text)
}
