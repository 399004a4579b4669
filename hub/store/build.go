package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// BuiltManifest returns the Manifest that a build key gave before; fleet.ErrNotFound: none is kept.
func (s *Store) BuiltManifest(ctx context.Context, key fleet.Digest) (manifest fleet.Digest, err error) {
	err = s.transact(ctx, System, action{verb: "look up a build"}, func(tx pgx.Tx) error {
		const query = `UPDATE build SET used_at = now() WHERE key = $1 RETURNING manifest`
		var raw []byte
		if err := tx.QueryRow(ctx, query, key.Bytes()).Scan(&raw); err != nil {
			return explain("look up a build", err)
		}
		manifest, err = fleet.DigestFromBytes(raw)
		return err
	})
	return manifest, err
}

// SaveBuild keeps the Manifest that a build key gives.
func (s *Store) SaveBuild(ctx context.Context, key, manifest fleet.Digest) error {
	return s.transact(ctx, System, action{verb: "keep a build"}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO build (key, manifest) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET manifest = $2, used_at = now()`
		_, err := tx.Exec(ctx, insert, key.Bytes(), manifest.Bytes())
		return explain("keep a build", err)
	})
}

// errBuiltSince rolls a claim back: what it was made for is done.
var errBuiltSince = errors.New("the App was built since it was looked at")

// ClaimBuild takes the build of that key for this replica, for an App whose state was seen at a version (0: there was
// none). It is not claimed while another living replica makes it, or when the App was built since it was seen. The
// caller sees to it that this replica makes it once, and ends the claim when the outcome is stored.
func (s *Store) ClaimBuild(ctx context.Context, key fleet.Digest, app fleet.Key, seen uint64) (claimed bool, err error) {
	claim := `INSERT INTO build_claim AS c (key, claimed_by, claimed_until) VALUES ($1, $2, now() + $3::interval)
		ON CONFLICT (key) DO UPDATE SET claimed_by = excluded.claimed_by, claimed_until = excluded.claimed_until
			WHERE c.claimed_by = excluded.claimed_by OR NOT ` + claimedLive("c")
	err = s.transact(ctx, System, action{verb: "claim the build of", object: app.String()}, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, claim, key.Bytes(), s.replica, claimTime)
		if claimed = tag.RowsAffected() > 0; err != nil || !claimed {
			return explain("claim the build of "+app.String(), err)
		}
		// A statement of its own: it sees what the holder of the claim before stored.
		const query = `SELECT coalesce((SELECT written::text::bigint FROM app WHERE key = $1), 0)`
		var version uint64
		if err := tx.QueryRow(ctx, query, app.String()).Scan(&version); err != nil {
			return explain("claim the build of "+app.String(), err)
		}
		if version != seen {
			return errBuiltSince
		}
		return nil
	})
	if errors.Is(err, errBuiltSince) {
		return false, nil
	}
	return claimed && err == nil, err
}

// EndBuild lets a build go that this replica claimed.
func (s *Store) EndBuild(ctx context.Context, key fleet.Digest) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM build_claim WHERE key = $1 AND claimed_by = $2`, key.Bytes(), s.replica)
	return explain("end the claim of a build", err)
}
