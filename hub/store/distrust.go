package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// shapesPerNamespace bounds the shapes that are distrusted of a namespace's trees.
const shapesPerNamespace = 1000

// Distrust keeps that a builder is not to be trusted with a namespace's trees of that shape, and forgets every build of
// the namespace: another may be as wrong, and none of them is found from then on.
func (s *Store) Distrust(ctx context.Context, namespace, builder string, shape fleet.Digest) error {
	act := action{verb: "distrust builds of", object: namespace}
	return s.transact(ctx, System, act, func(tx pgx.Tx) error {
		const insert = `INSERT INTO distrusted_shape (namespace, builder, shape) VALUES ($1, $2, $3)
			ON CONFLICT (namespace, builder, shape) DO UPDATE SET at = now()`
		if _, err := tx.Exec(ctx, insert, namespace, builder, shape.Bytes()); err != nil {
			return explain(act.doing(), err)
		}
		const bound = `DELETE FROM distrusted_shape WHERE namespace = $1 AND (builder, shape) IN (
			SELECT builder, shape FROM distrusted_shape WHERE namespace = $1 ORDER BY at DESC, builder, shape OFFSET $2)`
		if _, err := tx.Exec(ctx, bound, namespace, shapesPerNamespace); err != nil {
			return explain(act.doing(), err)
		}
		// In the order of keys, as another replica notes their uses.
		const forget = `WITH own AS (SELECT key FROM build WHERE namespace = $1 ORDER BY key FOR UPDATE) DELETE FROM build b USING own WHERE b.key = own.key`
		_, err := tx.Exec(ctx, forget, namespace)
		return explain(act.doing(), err)
	})
}

// Distrusted returns the shapes of a namespace's trees that a builder is not to be trusted with, the oldest first.
func (s *Store) Distrusted(ctx context.Context, namespace, builder string) (shapes []fleet.Digest, err error) {
	const query = `SELECT shape FROM distrusted_shape WHERE namespace = $1 AND builder = $2 ORDER BY at, shape`
	rows, err := s.pool.Query(ctx, query, namespace, builder)
	if err != nil {
		return nil, explain("read which builds are distrusted", err)
	}
	shapes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Digest, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return fleet.Digest{}, err
		}
		return fleet.DigestFromBytes(raw)
	})
	return shapes, explain("read which builds are distrusted", err)
}
