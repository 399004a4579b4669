package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// putAssignment writes one Assignment over the one that was loaded. One that no message takes would keep those of all Apps
// from the cluster.
func putAssignment(batch *pgx.Batch, cluster string, old *fleet.Assignment, put rollout.Put) error {
	a := put.Assignment
	payload := a.Encode()
	if len(payload) > fleet.MaxAssignment {
		return fmt.Errorf("assign %s to cluster %s: %w: it takes %d bytes with what the Placement and the cluster add, %d are allowed: make its spec smaller",
			a.App.Words(), cluster, fleet.ErrInvalid, len(payload), fleet.MaxAssignment)
	}
	app := a.App.String()
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
	batch.Queue(write, cluster, app, a.State, a.Generation, a.Pin, release, put.Placement, payload, generation).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("cluster %s: %w: the Assignment changed meanwhile", cluster, errLost)
		}
		return nil
	})
	if release != nil {
		pinManifest(batch, cluster, a)
	}
	return nil
}

// keptPins is how many Manifests of an Assignment its spoke may fetch or hold as a base.
const keptPins = 4

// pinManifest records what the spoke may fetch: the Manifests of the current and the last three pins.
func pinManifest(batch *pgx.Batch, cluster string, a fleet.Assignment) {
	const insert = `INSERT INTO assignment_pin (cluster, app, pin, manifest) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`
	batch.Queue(insert, cluster, a.App.String(), a.Pin, a.Release.Manifest.Bytes())
	const trim = `DELETE FROM assignment_pin WHERE cluster = $1 AND app = $2 AND pin NOT IN
		(SELECT pin FROM assignment_pin WHERE cluster = $1 AND app = $2 ORDER BY pin DESC LIMIT $3)`
	batch.Queue(trim, cluster, a.App.String(), keptPins)
}

// endOrder forgets a person's order to end an App in a cluster, and its confirmation: it is carried out, or void.
func endOrder(batch *pgx.Batch, cluster string, app fleet.Key) {
	const clear = `UPDATE instance_request SET confirmed = false, ending = NULL WHERE cluster = $1 AND app = $2 AND (confirmed OR ending IS NOT NULL)`
	batch.Queue(clear, cluster, app.String())
}

// endApproval forgets a person's approval of a prune in a cluster, unless it is a newer one by now.
func endApproval(batch *pgx.Batch, cluster string, app fleet.Key, digest fleet.Digest) {
	const forget = `DELETE FROM prune_approval WHERE cluster = $1 AND app = $2 AND digest = $3`
	batch.Queue(forget, cluster, app.String(), digest.Bytes())
}

// dropAssignment ends a row whose tombstone is done, with all that was said of it.
func dropAssignment(batch *pgx.Batch, cluster string, app fleet.Key) {
	for _, table := range []string{"assignment", "assignment_pin", "report", "prune_approval", "instance_request"} {
		batch.Queue(`DELETE FROM `+table+` WHERE cluster = $1 AND app = $2`, cluster, app.String())
	}
}

// FetchableManifest returns the Manifest that the cluster's Assignment of the App has at a generation, whether a newer
// generation names another one, and which Manifests the cluster's spoke may hold. Any generation of an earlier epoch is
// an older one. A generation the hub never made is fleet.ErrNotFound.
func (s *Store) FetchableManifest(ctx context.Context, cluster string, app fleet.Key, epoch, generation uint64) (manifest fleet.Digest, superseded bool, held []fleet.Digest, err error) {
	// A generation of an earlier epoch counts as 0, older than all; one of a later epoch is none of this hub's.
	const query = `SELECT p.pin, p.manifest, a.generation, CASE WHEN $3 < c.epoch THEN 0 ELSE $4 END FROM assignment_pin p
		JOIN assignment a USING (cluster, app) JOIN cluster c ON c.id = p.cluster AND c.epoch >= $3
		WHERE p.cluster = $1 AND p.app = $2 ORDER BY p.pin DESC`
	doing := "find the Manifest of " + app.String()
	rows, err := s.pool.Query(ctx, query, cluster, app.String(), epoch, generation)
	if err != nil {
		return manifest, false, nil, explain(doing, err)
	}
	defer rows.Close()
	var newest fleet.Digest
	var current uint64
	for rows.Next() {
		var pin uint64
		var raw []byte
		if err := rows.Scan(&pin, &raw, &current, &generation); err != nil {
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
