package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// putAssignment writes one Assignment over the one that was loaded.
func putAssignment(ctx context.Context, tx pgx.Tx, cluster string, old *fleet.Assignment, put rollout.Put) error {
	a := put.Assignment
	app := a.App.String()
	doing := "assign " + app + " to cluster " + cluster
	var release []byte // null for an App that only the spoke knows of
	if !a.Release.Manifest.IsZero() {
		release = a.Release.Digest().Bytes()
	}
	var generation uint64 // 0: there is no row
	if old != nil {
		generation = old.Generation
	}
	const write = `INSERT INTO assignment AS a (cluster, app, state, generation, pin, release, placement, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (cluster, app) DO UPDATE SET state = $3, generation = $4, pin = $5, release = $6, placement = $7, payload = $8
			WHERE a.generation = $9`
	tag, err := tx.Exec(ctx, write, cluster, app, a.State, a.Generation, a.Pin, release, put.Placement, a.Encode(), generation)
	if err != nil {
		return explain(doing, err)
	}
	if tag.RowsAffected() != 1 {
		return errLost
	}
	const clear = `UPDATE instance_request SET confirmed = false, ending = NULL WHERE cluster = $1 AND app = $2 AND (confirmed OR ending IS NOT NULL)`
	if a.State == fleet.Removed {
		if _, err := tx.Exec(ctx, clear, cluster, app); err != nil {
			return explain(doing, err)
		}
	}
	if release == nil {
		return nil
	}
	return pinManifest(ctx, tx, cluster, a)
}

// keptPins is how many Manifests of an Assignment its spoke may fetch or hold as a base.
const keptPins = 4

// pinManifest records what the spoke may fetch: the Manifests of the current and the last three pins.
func pinManifest(ctx context.Context, tx pgx.Tx, cluster string, a fleet.Assignment) error {
	const insert = `INSERT INTO assignment_pin (cluster, app, pin, manifest) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	if _, err := tx.Exec(ctx, insert, cluster, a.App.String(), a.Pin, a.Release.Manifest.Bytes()); err != nil {
		return explain("pin the Manifest of "+a.App.String(), err)
	}
	const trim = `DELETE FROM assignment_pin WHERE cluster = $1 AND app = $2 AND pin NOT IN
		(SELECT pin FROM assignment_pin WHERE cluster = $1 AND app = $2 ORDER BY pin DESC LIMIT $3)`
	_, err := tx.Exec(ctx, trim, cluster, a.App.String(), keptPins)
	return explain("trim the pins of "+a.App.String(), err)
}

// dropAssignment ends a row whose tombstone is done, with all that was said of it.
func dropAssignment(ctx context.Context, tx pgx.Tx, cluster string, app fleet.Key) error {
	for _, table := range []string{"assignment", "assignment_pin", "report", "prune_approval", "instance_request"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE cluster = $1 AND app = $2`, cluster, app.String()); err != nil {
			return explain("drop "+app.String()+" of cluster "+cluster, err)
		}
	}
	return nil
}

// FetchableManifest returns the Manifest that the cluster's Assignment of the App has at a generation, whether a newer
// generation names another one, and which Manifests the cluster's spoke may hold. A generation the hub never made, or
// no longer knows, is fleet.ErrNotFound.
func (s *Store) FetchableManifest(ctx context.Context, cluster string, app fleet.Key, generation uint64) (manifest fleet.Digest, superseded bool, held []fleet.Digest, err error) {
	const query = `SELECT p.pin, p.manifest, a.generation FROM assignment_pin p
		JOIN assignment a USING (cluster, app) WHERE p.cluster = $1 AND p.app = $2 ORDER BY p.pin DESC`
	doing := "find the Manifest of " + app.String()
	rows, err := s.pool.Query(ctx, query, cluster, app.String())
	if err != nil {
		return manifest, false, nil, explain(doing, err)
	}
	defer rows.Close()
	var newest fleet.Digest
	var current uint64
	for rows.Next() {
		var pin uint64
		var raw []byte
		if err := rows.Scan(&pin, &raw, &current); err != nil {
			return manifest, false, nil, explain(doing, err)
		}
		digest, err := fleet.DigestFromBytes(raw)
		if err != nil {
			return manifest, false, nil, err
		}
		if held = append(held, digest); len(held) == 1 {
			newest = digest
		}
		if manifest.IsZero() && pin <= generation && generation <= current {
			manifest = digest
		}
	}
	switch {
	case rows.Err() != nil:
		return manifest, false, nil, explain(doing, rows.Err())
	case generation < current && manifest.IsZero() && len(held) > 0:
		return newest, true, held, nil // older than what is kept
	case manifest.IsZero():
		return manifest, false, nil, explain(doing, pgx.ErrNoRows)
	}
	return manifest, manifest != newest, held, nil
}
