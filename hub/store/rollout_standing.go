package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// RolloutHead is Rollout without the members.
func (s *Store) RolloutHead(ctx context.Context, app fleet.Key, id string) (rollout.Rollout, error) {
	return readRollout(ctx, s.pool, app, id)
}

// Standings returns where the Apps of a namespace (empty: of all) stand that a RolloutPolicy is for.
func (s *Store) Standings(ctx context.Context, namespace string) (found map[fleet.Key]rollout.Standing, err error) {
	err = s.snapshot(ctx, "read where Apps stand", func(tx pgx.Tx) error {
		if found, err = readTracks(ctx, tx, namespace); err != nil {
			return err
		}
		return addNewest(ctx, tx, namespace, found)
	})
	return found, err
}

// readTracks reads of what is known of Releases only what is shown of it.
func readTracks(ctx context.Context, tx pgx.Tx, namespace string) (map[fleet.Key]rollout.Standing, error) {
	const query = `SELECT t.app, coalesce(t.track ->> 'stable', ''), coalesce(t.track ->> 'handled', ''), (
			SELECT (v ->> 'at')::timestamptz FROM jsonb_array_elements(coalesce(t.track -> 'verdicts', '[]')) v
				WHERE v ->> 'release' = 'sha256:' || encode(a.release, 'hex') AND v ->> 'outcome' = 'Bad'), (
			SELECT jsonb_object_agg(c.name, coalesce(u.value ->> 'message', '')) FROM jsonb_each(coalesce(t.track -> 'catchingUp', '{}')) u
				JOIN cluster c ON c.id::text = u.key
				WHERE (u.value ->> 'failed')::boolean AND u.value ->> 'to' = t.track ->> 'stable' AND u.value ->> 'from' <> u.value ->> 'to'),
			coalesce(t.track -> 'kept', '[]')
		FROM rollout_track t JOIN object o ON o.key = t.app AND o.deleted_at IS NULL LEFT JOIN app a ON a.key = t.app
		WHERE $1 = '' OR o.namespace = $1`
	rows, err := tx.Query(ctx, query, namespace)
	if err != nil {
		return nil, explain("read what is known of Releases", err)
	}
	found := map[fleet.Key]rollout.Standing{}
	var app, stable, handled string
	var bad *time.Time
	var failed map[string]string
	var kept []fleet.Digest
	_, err = pgx.ForEachRow(rows, []any{&app, &stable, &handled, &bad, &failed, &kept}, func() error {
		key, err := fleet.ParseKey(app)
		if err != nil {
			return err
		}
		standing := rollout.Standing{BadSince: timeOf(bad), Failed: failed, Kept: kept}
		failed, kept = nil, nil
		for _, d := range []struct {
			text string
			into *fleet.Digest
		}{{stable, &standing.Stable}, {handled, &standing.Handled}} {
			if d.text == "" {
				continue
			}
			if *d.into, err = fleet.ParseDigest(d.text); err != nil {
				return fmt.Errorf("%s: %w", app, err)
			}
		}
		found[key] = standing
		return nil
	})
	return found, explain("read what is known of Releases", err)
}

// addNewest adds of each App the Rollout under way, or else the newest, and the one that waits.
func addNewest(ctx context.Context, tx pgx.Tx, namespace string, found map[fleet.Key]rollout.Standing) error {
	// Each of an App's by an index: what is over is many.
	const query = `SELECT ` + rolloutColumns + `, r.written::text::bigint,
			CASE WHEN r.phase = 'Halted' THEN (SELECT max(e.at) FROM rollout_event e WHERE e.rollout = r.id AND e.type = 'Halted') END
		FROM rollout_track t JOIN object o ON o.key = t.app AND o.deleted_at IS NULL
			CROSS JOIN LATERAL (
				(SELECT 0 AS place, q.* FROM rollout q WHERE q.app = t.app AND q.phase = 'Queued')
				UNION ALL
				(SELECT * FROM (
					(SELECT 1 AS place, a.* FROM rollout a WHERE a.app = t.app AND a.phase IN ` + activePhases + `)
					UNION ALL
					(SELECT 2 AS place, n.* FROM rollout n WHERE n.app = t.app AND n.phase <> 'Queued' ORDER BY n.created_at DESC, n.id DESC LIMIT 1)
				) AS either ORDER BY place LIMIT 1)
			) AS r
			JOIN release d ON d.digest = r.target
		WHERE $1 = '' OR o.namespace = $1`
	rows, err := tx.Query(ctx, query, namespace)
	if err != nil {
		return explain("read the newest Rollouts", err)
	}
	defer rows.Close()
	for rows.Next() {
		var version uint64
		var halted *time.Time
		r, err := scanRolloutAnd(rows, &version, &halted)
		if err != nil {
			return explain("read the newest Rollouts", err)
		}
		standing, known := found[r.Release.App]
		if !known {
			continue // no policy is for it any more
		}
		if r.Phase == rollout.Queued {
			standing.Queued = &r
		} else {
			standing.Rollout, standing.HaltedSince = &r, timeOf(halted)
		}
		standing.Version = max(standing.Version, version)
		found[r.Release.App] = standing
	}
	return explain("read the newest Rollouts", rows.Err())
}

// ReleaseOutcomes returns what is known of each Release; one that is not there, of which nothing is.
func (s *Store) ReleaseOutcomes(ctx context.Context, releases []fleet.Digest) (map[fleet.Digest]rollout.Outcome, error) {
	const query = `SELECT r.digest, v ->> 'outcome' FROM release r JOIN rollout_track t ON t.app = r.app
			CROSS JOIN LATERAL jsonb_array_elements(coalesce(t.track -> 'verdicts', '[]')) v
		WHERE r.digest = ANY($1) AND v ->> 'release' = 'sha256:' || encode(r.digest, 'hex')`
	rows, err := s.pool.Query(ctx, query, bytesOf(releases))
	if err != nil {
		return nil, explain("read what is known of Releases", err)
	}
	outcomes := make(map[fleet.Digest]rollout.Outcome, len(releases))
	var raw []byte
	var outcome rollout.Outcome
	_, err = pgx.ForEachRow(rows, []any{&raw, &outcome}, func() error {
		digest, err := fleet.DigestFromBytes(raw)
		outcomes[digest] = outcome
		return err
	})
	return outcomes, explain("read what is known of Releases", err)
}

// bytesOf are digests as the database has them.
func bytesOf(digests []fleet.Digest) [][]byte {
	raw := make([][]byte, len(digests))
	for i, d := range digests {
		raw[i] = d.Bytes()
	}
	return raw
}

// ReleaseRevisions returns of each Release the newest Revision that resolves to it.
func (s *Store) ReleaseRevisions(ctx context.Context, releases []fleet.Digest) (map[fleet.Digest]fleet.Revision, error) {
	const query = `SELECT DISTINCT ON (v.release) v.release, v.revision FROM release r JOIN app_revision v ON v.app = r.app AND v.release = r.digest
		WHERE r.digest = ANY($1) ORDER BY v.release, v.at DESC, v.revision`
	rows, err := s.pool.Query(ctx, query, bytesOf(releases))
	if err != nil {
		return nil, explain("read Revisions", err)
	}
	revisions := make(map[fleet.Digest]fleet.Revision, len(releases))
	var raw []byte
	var revision fleet.Revision
	_, err = pgx.ForEachRow(rows, []any{&raw, &revision}, func() error {
		digest, err := fleet.DigestFromBytes(raw)
		revisions[digest] = revision
		return err
	})
	return revisions, explain("read Revisions", err)
}
