package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// activeSource says in SQL that object o declares the Source of row s of source, and does not suspend it.
const activeSource = `o.home = 'hub' AND o.kind = s.kind AND o.namespace = s.namespace AND o.name = s.name AND o.deleted_at IS NULL
	AND NOT coalesce((o.spec ->> 'suspend')::boolean, false)`

// ClaimUpstreams takes at most limit of the upstreams that are due and that an active Source means, the longest due
// first. What another living replica has taken is left to it, and so is what this one is busy with; a claim of its own
// beyond those is from a look whose outcome could not be saved.
func (s *Store) ClaimUpstreams(ctx context.Context, limit int, busy []fleet.Digest) ([]fleet.UpstreamState, error) {
	claim := `UPDATE upstream SET claimed_by = $1, claimed_until = now() + $2::interval WHERE id IN (
			SELECT id FROM upstream u WHERE due_at <= now() AND (NOT ` + claimedLive("u") + ` OR claimed_by = $1) AND id <> ALL($4)
				AND EXISTS (SELECT FROM source s JOIN object o ON ` + activeSource + ` WHERE s.upstream = u.id)
			ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING id, revision, tree, tree_blob, failures`
	raw := make([][]byte, len(busy))
	for i, id := range busy {
		raw[i] = id.Bytes()
	}
	rows, err := s.pool.Query(ctx, claim, s.replica, claimTime, limit, raw)
	if err != nil {
		return nil, explain("claim upstreams", err)
	}
	claimed, err := pgx.CollectRows(rows, scanUpstream)
	return claimed, explain("claim upstreams", err)
}

func scanUpstream(row pgx.CollectableRow) (u fleet.UpstreamState, err error) {
	var id, tree, blob []byte
	if err := row.Scan(&id, &u.Revision, &tree, &blob, &u.Failures); err != nil {
		return u, err
	}
	if u.ID, err = fleet.DigestFromBytes(id); err != nil {
		return u, err
	}
	if u.Tree, err = fleet.DigestFromBytes(tree); err != nil {
		return u, err
	}
	u.TreeBlob, err = fleet.DigestFromBytes(blob)
	return u, err
}

// MakeDue makes an upstream due at once, unless it is being looked at.
func (s *Store) MakeDue(ctx context.Context, upstream fleet.Digest) error {
	_, err := s.pool.Exec(ctx, `UPDATE upstream SET due_at = now() WHERE id = $1 AND due_at > now()`, upstream.Bytes())
	return explain("make an upstream due", err)
}

// Postpone ends this replica's claim on an upstream that it did not look at, which is due again after the pause.
func (s *Store) Postpone(ctx context.Context, upstream fleet.Digest, pause time.Duration) error {
	const postpone = `UPDATE upstream SET claimed_by = NULL, claimed_until = NULL, due_at = now() + $2::interval WHERE id = $1 AND claimed_by = $3`
	_, err := s.pool.Exec(ctx, postpone, upstream.Bytes(), pause, s.replica)
	return explain("postpone the look at an upstream", err)
}

// SaveLook stores the outcome of a look, ends the claim, and says when the next one is due. Active Sources move to what
// was found; a suspended one stays where it is. A claim that was lost meanwhile is fleet.ErrConflict, and changes
// nothing.
func (s *Store) SaveLook(ctx context.Context, upstream fleet.Digest, look fleet.Looked, next time.Duration) error {
	return s.transact(ctx, System, action{verb: "save a look at an upstream"}, func(tx pgx.Tx) error {
		const good = `UPDATE upstream SET revision = $2, tree = $3, tree_blob = $4, reason = '', message = '', failures = 0,
				fetched_at = CASE WHEN revision = $2 AND tree = $3 THEN fetched_at ELSE now() END, checked_at = now(),
				due_at = now() + $5::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $6 RETURNING ` + isNews
		const bad = `UPDATE upstream SET reason = $2, message = $3, failures = failures + 1, checked_at = now(),
				due_at = now() + $4::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $5 RETURNING ` + isNews
		sql, args := good, []any{upstream.Bytes(), look.Revision, look.Tree.Bytes(), look.TreeBlob.Bytes(), next, s.replica}
		if look.Reason != "" {
			sql, args = bad, []any{upstream.Bytes(), look.Reason, look.Message, next, s.replica}
		}
		var news, moved bool
		err := tx.QueryRow(ctx, sql, args...).Scan(&news)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("save a look at an upstream: %w: the claim was lost", fleet.ErrConflict)
		case err != nil:
			return explain("save a look at an upstream", err)
		case look.Reason == "":
			if moved, err = moveSources(ctx, tx, upstream, look); err != nil {
				return err
			}
		}
		if !news && !moved {
			return nil
		}
		return publish(ctx, tx, TopicSources)
	})
}

// moveSources moves the active Sources of an upstream to what was found, and reports whether any moved. Their objects
// are locked first, so that a suspension is either seen here or comes after.
func moveSources(ctx context.Context, tx pgx.Tx, upstream fleet.Digest, look fleet.Looked) (moved bool, err error) {
	const move = `WITH active AS (
			SELECT s.kind, s.namespace, s.name FROM source s JOIN object o ON ` + activeSource + ` WHERE s.upstream = $1
			ORDER BY s.kind, s.namespace, s.name FOR SHARE OF o)
		UPDATE source s SET revision = $2, tree = $3, tree_blob = $4, fetched_at = now() FROM active a
		WHERE s.kind = a.kind AND s.namespace = a.namespace AND s.name = a.name
			AND (s.revision <> $2 OR s.tree IS DISTINCT FROM $3 OR s.tree_blob IS DISTINCT FROM $4)`
	tag, err := tx.Exec(ctx, move, upstream.Bytes(), look.Revision, look.Tree.Bytes(), look.TreeBlob.Bytes())
	return tag.RowsAffected() > 0, explain("move the Sources of an upstream", err)
}

// ForgetTree makes the upstreams be fetched again, at once, whose Tree was stored as that blob and cannot be read. What
// their Sources are at stays.
func (s *Store) ForgetTree(ctx context.Context, treeBlob fleet.Digest) error {
	return s.transact(ctx, System, action{verb: "forget a Tree"}, func(tx pgx.Tx) error {
		const forget = `UPDATE upstream SET tree_blob = NULL, due_at = least(due_at, now()) WHERE tree_blob = $1`
		if _, err := tx.Exec(ctx, forget, treeBlob.Bytes()); err != nil {
			return explain("forget a Tree", err)
		}
		return publish(ctx, tx, TopicSources)
	})
}

// UpstreamIDs returns every upstream that a Source means, or meant within the last day.
func (s *Store) UpstreamIDs(ctx context.Context) ([]fleet.Digest, error) {
	rows, err := s.pool.Query(ctx, `SELECT id FROM upstream`)
	if err != nil {
		return nil, explain("list the upstreams", err)
	}
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Digest, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return fleet.Digest{}, err
		}
		return fleet.DigestFromBytes(raw)
	})
	return ids, explain("list the upstreams", err)
}
