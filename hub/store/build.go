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

// Bounds of what is kept of an App that its builds looked at: of how many recipes, as a spec that is changed back is as it
// was, and beside the last build's with each recipe how many earlier ones, and of how many bytes with all recipes.
const (
	recipesPerApp    = 4
	earlierPerRecipe = 16
	earlierBytes     = 2 << 20
)

// SaveBuild keeps the Manifest that a build key gives, and what the App's build looked at (no recipe: that is not kept) in
// place of what its last one with that recipe did, which is an earlier one from then on.
func (s *Store) SaveBuild(ctx context.Context, key, manifest fleet.Digest, inputs fleet.BuildInputs) error {
	return s.transact(ctx, System, action{verb: "keep a build"}, func(tx pgx.Tx) error {
		const insert = `INSERT INTO build (key, manifest, namespace) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET manifest = $2, namespace = $3, used_at = now()`
		if _, err := tx.Exec(ctx, insert, key.Bytes(), manifest.Bytes(), inputs.App.Namespace); err != nil || inputs.Recipe.IsZero() {
			return explain("keep a build", err)
		}
		const earlier = `INSERT INTO earlier_inputs (app, recipe, digest, inputs)
			SELECT app, recipe, sha256(inputs), inputs FROM build_inputs WHERE app = $1 AND recipe = $2 AND inputs <> $3
			ON CONFLICT (app, recipe, digest) DO UPDATE SET at = now()`
		if _, err := tx.Exec(ctx, earlier, inputs.App.String(), inputs.Recipe.Bytes(), inputs.Inputs); err != nil {
			return explain("keep what an earlier build looked at", err)
		}
		const upsert = `INSERT INTO build_inputs (app, recipe, inputs) VALUES ($1, $2, $3)
			ON CONFLICT (app, recipe) DO UPDATE SET inputs = $3, at = now()`
		if _, err := tx.Exec(ctx, upsert, inputs.App.String(), inputs.Recipe.Bytes(), inputs.Inputs); err != nil {
			return explain("keep what a build looked at", err)
		}
		const bound = `DELETE FROM build_inputs WHERE app = $1 AND recipe IN (
			SELECT recipe FROM build_inputs WHERE app = $1 ORDER BY at DESC, recipe OFFSET $2)`
		if _, err := tx.Exec(ctx, bound, inputs.App.String(), recipesPerApp); err != nil {
			return explain("let go of what older builds looked at", err)
		}
		const boundEarlier = `WITH ranked AS (
			SELECT recipe, digest, row_number() OVER (PARTITION BY recipe ORDER BY at DESC, digest) AS n, sum(length(inputs)) OVER (ORDER BY at DESC, digest) AS size
			FROM earlier_inputs WHERE app = $1)
			DELETE FROM earlier_inputs e USING ranked r WHERE e.app = $1 AND e.recipe = r.recipe AND e.digest = r.digest
				AND (r.n > $2 OR r.size > $3 OR NOT EXISTS (SELECT FROM build_inputs i WHERE i.app = $1 AND i.recipe = r.recipe))`
		_, err := tx.Exec(ctx, boundEarlier, inputs.App.String(), earlierPerRecipe, earlierBytes)
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
	apps, raw := rawRecipes(recipes)
	rows, err := s.pool.Query(ctx, query, apps, raw, fleet.MaxOtherInputs)
	if err != nil {
		return nil, explain("read what builds looked at", err)
	}
	found, err = pgx.CollectRows(rows, scanInputs)
	return found, explain("read what builds looked at", err)
}

// EarlierInputs returns what builds of the App with this recipe looked at before the last one, the newest first.
func (s *Store) EarlierInputs(ctx context.Context, app fleet.Key, recipe fleet.Digest) (inputs [][]byte, err error) {
	const query = `SELECT inputs FROM earlier_inputs WHERE app = $1 AND recipe = $2 ORDER BY at DESC, digest`
	rows, err := s.pool.Query(ctx, query, app.String(), recipe.Bytes())
	if err != nil {
		return nil, explain("read what earlier builds looked at", err)
	}
	inputs, err = pgx.CollectRows(rows, pgx.RowTo[[]byte])
	return inputs, explain("read what earlier builds looked at", err)
}

func rawRecipes(recipes map[fleet.Key]fleet.Digest) (apps []string, raw [][]byte) {
	for app, recipe := range recipes {
		apps, raw = append(apps, app.String()), append(raw, recipe.Bytes())
	}
	return apps, raw
}

func scanInputs(row pgx.CollectableRow) (i fleet.BuildInputs, err error) {
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
