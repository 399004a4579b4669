package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// AppsChanged returns the Apps about which something that a rollout looks at changed since a horizon, those that are due by
// themselves, and the horizon to ask from next. A changed Placement, Cluster or freeze may concern every App; a RolloutPolicy
// does those of Placements that name it, a cluster that connects or leaves those with Rollouts, a Source an App whose request
// waits for it, and a Revision one that depends on others, which may have to be at it too.
func (s *Store) AppsChanged(ctx context.Context, since fleet.Horizon) (apps []fleet.Key, seen fleet.Horizon, err error) {
	const query = `
		WITH moved AS (
			SELECT EXISTS (SELECT FROM object WHERE kind IN ('Placement', 'Cluster') AND written >= $1::text::xid8)
					OR EXISTS (SELECT FROM frozen WHERE written >= $1::text::xid8) AS everything,
				EXISTS (SELECT FROM cluster WHERE linked >= $1::text::xid8) AS linked
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
		UNION SELECT app FROM rollout_track WHERE due <= clock_timestamp() OR (SELECT linked FROM moved)
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
		apps, err = pgx.CollectRows(rows, scanKey)
		return explain("find changed Apps", err)
	})
	return apps, seen, err
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
