package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

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
