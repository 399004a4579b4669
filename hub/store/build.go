package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// BuiltManifests returns the Manifests that build keys gave before, by key, as far as they are kept.
func (s *Store) BuiltManifests(ctx context.Context, keys []fleet.Digest) (manifests map[fleet.Digest]fleet.Digest, err error) {
	raw := make([][]byte, len(keys))
	for i, key := range keys {
		raw[i] = key.Bytes()
	}
	// The uses are noted in the order of keys, as another replica does, and no more often than retention needs.
	const query = `WITH old AS (SELECT key FROM build WHERE key = ANY($1) AND used_at < now() - interval '10 minutes' ORDER BY key FOR UPDATE),
		used AS (UPDATE build b SET used_at = now() FROM old WHERE b.key = old.key)
		SELECT key, manifest FROM build WHERE key = ANY($1)`
	rows, err := s.pool.Query(ctx, query, raw)
	if err != nil {
		return nil, explain("look up builds", err)
	}
	manifests = map[fleet.Digest]fleet.Digest{}
	var key, manifest []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &manifest}, func() error {
		of, err := fleet.DigestFromBytes(key)
		if err != nil {
			return err
		}
		manifests[of], err = fleet.DigestFromBytes(manifest)
		return err
	})
	return manifests, explain("look up builds", err)
}

// recipesPerApp is of how many recipes of an App it is kept what builds looked at: a spec that is changed back is as it was.
const recipesPerApp = 4

// SaveBuild keeps the Manifest that a build key gives, and what the build looked at (zero: that is not kept) in place of
// what the App's last one with that recipe did.
func (s *Store) SaveBuild(ctx context.Context, key, manifest fleet.Digest, inputs fleet.BuildInputs) error {
	return s.transact(ctx, System, action{verb: "keep a build"}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO build (key, manifest) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET manifest = $2, used_at = now()`
		if _, err := tx.Exec(ctx, insert, key.Bytes(), manifest.Bytes()); err != nil || inputs.Recipe.IsZero() {
			return explain("keep a build", err)
		}
		const upsert = `INSERT INTO build_inputs (app, recipe, inputs) VALUES ($1, $2, $3)
			ON CONFLICT (app, recipe) DO UPDATE SET inputs = $3, at = now()`
		if _, err := tx.Exec(ctx, upsert, inputs.App.String(), inputs.Recipe.Bytes(), inputs.Inputs); err != nil {
			return explain("keep what a build looked at", err)
		}
		const bound = `DELETE FROM build_inputs WHERE app = $1 AND recipe IN (
			SELECT recipe FROM build_inputs WHERE app = $1 ORDER BY at DESC, recipe OFFSET $2)`
		_, err := tx.Exec(ctx, bound, inputs.App.String(), recipesPerApp)
		return explain("let go of what older builds looked at", err)
	})
}

// BuildInputs returns what the last builds looked at of Apps with these recipes: each App's own with its recipe, and the
// newest of others with it.
func (s *Store) BuildInputs(ctx context.Context, recipes map[fleet.Key]fleet.Digest) (found []fleet.BuildInputs, err error) {
	const query = `WITH wanted AS (SELECT * FROM unnest($1::text[], $2::bytea[]) AS w (app, recipe))
		SELECT i.app, i.recipe, i.inputs FROM wanted w JOIN build_inputs i USING (app, recipe)
		UNION ALL
		SELECT i.app, i.recipe, i.inputs FROM (SELECT DISTINCT recipe FROM wanted) w
			CROSS JOIN LATERAL (SELECT * FROM build_inputs b WHERE b.recipe = w.recipe ORDER BY at DESC LIMIT $3) i
			WHERE NOT EXISTS (SELECT FROM wanted o WHERE o.app = i.app)`
	var apps []string
	var raw [][]byte
	for app, recipe := range recipes {
		apps, raw = append(apps, app.String()), append(raw, recipe.Bytes())
	}
	rows, err := s.pool.Query(ctx, query, apps, raw, fleet.MaxOtherInputs)
	if err != nil {
		return nil, explain("read what builds looked at", err)
	}
	found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (i fleet.BuildInputs, err error) {
		var app string
		var recipe []byte
		if err := row.Scan(&app, &recipe, &i.Inputs); err != nil {
			return i, err
		}
		if i.App, err = fleet.ParseKey(app); err != nil {
			return i, err
		}
		i.Recipe, err = fleet.DigestFromBytes(recipe)
		return i, err
	})
	return found, explain("read what builds looked at", err)
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
