package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// activeSource says in SQL that object o declares the Source of row s of source, and does not suspend it.
const activeSource = `o.home = 'hub' AND o.kind = s.kind AND o.namespace = s.namespace AND o.name = s.name AND o.deleted_at IS NULL
	AND NOT coalesce((o.spec ->> 'suspend')::boolean, false)`

// claimWait is how long an upstream that is due is left to the replica that looked at it last, whose mirror is warm.
const claimWait = 5 * time.Second

// ClaimUpstreams takes the upstreams of at most limit remotes of which one is due: those that are due, and with them
// those that only wait for their time, for they cost nothing where one list of the remote does for all. Remotes whose
// upstreams looked well last come first, then the longest due. What another living replica has taken, or looked at last
// and may be about to take, is left to it, and so are the remotes that this one is busy with; a claim of its own beyond
// those is from a look whose outcome could not be saved.
func (s *Store) ClaimUpstreams(ctx context.Context, limit int, busy []fleet.Digest) ([]fleet.UpstreamState, error) {
	raw := make([][]byte, len(busy))
	for i, remote := range busy {
		raw[i] = remote.Bytes()
	}
	rows, err := s.pool.Query(ctx, claimUpstreams, s.replica, claimTime, limit, raw, claimWait)
	if err != nil {
		return nil, explain("claim upstreams", err)
	}
	claimed, err := pgx.CollectRows(rows, scanUpstream)
	return claimed, explain("claim upstreams", err)
}

// claimUpstreams reads which replicas live once, and takes a remote whole: of two replicas that see it due at once, the
// lock is one's, and the other one then finds its rows taken.
var claimUpstreams = `WITH
	living AS MATERIALIZED (SELECT DISTINCT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = ` + fmt.Sprint(replicaLocks) + `),
	active AS MATERIALIZED (SELECT DISTINCT s.upstream FROM source s JOIN object o ON ` + activeSource + `),
	taken AS MATERIALIZED (
		SELECT remote FROM upstream WHERE claimed_until > now() AND claimed_by <> $1 AND ` + replicaLock("claimed_by") + ` IN (SELECT objid FROM living)
		UNION SELECT unnest($4::bytea[])),
	due AS MATERIALIZED (
		SELECT remote FROM upstream u
		WHERE due_at <= now() AND id IN (SELECT upstream FROM active) AND remote NOT IN (SELECT remote FROM taken WHERE remote IS NOT NULL)
			AND (looked_by IS NULL OR looked_by = $1 OR due_at <= now() - $5::interval OR ` + replicaLock("looked_by") + ` NOT IN (SELECT objid FROM living))
		GROUP BY remote ORDER BY bool_and(failures > 0), min(due_at) LIMIT $3),
	mine AS MATERIALIZED (SELECT remote FROM due WHERE pg_try_advisory_xact_lock(` + fmt.Sprint(remoteLocks) + `, hashtext(encode(remote, 'hex')))),
	warm AS (UPDATE upstream SET looked_by = $1 WHERE remote IN (SELECT remote FROM mine) AND due_at > now() AND failures > 0 AND looked_by IS DISTINCT FROM $1)
	UPDATE upstream SET claimed_by = $1, claimed_until = now() + $2::interval, looked_by = $1 WHERE id IN (
		SELECT id FROM upstream WHERE remote IN (SELECT remote FROM mine) AND (due_at <= now() OR failures = 0)
			AND id IN (SELECT upstream FROM active)
			AND (coalesce(claimed_until, '-infinity') <= now() OR claimed_by = $1 OR ` + replicaLock("claimed_by") + ` NOT IN (SELECT objid FROM living))
		FOR UPDATE SKIP LOCKED)
	RETURNING id, remote, revision, tree, tree_blob, detail, found_inputs, reason, failures`

// remoteLocks is the class of the advisory locks by which one replica claims a remote.
const remoteLocks = 0x72656d6f // "remo"

func scanUpstream(row pgx.CollectableRow) (u fleet.UpstreamState, err error) {
	var id, remote, tree, blob, detail, inputs []byte
	if err := row.Scan(&id, &remote, &u.Revision, &tree, &blob, &detail, &inputs, &u.Reason, &u.Failures); err != nil {
		return u, err
	}
	if u.Detail, err = decodeDetail(detail); err != nil {
		return u, err
	}
	return u, digests(map[*fleet.Digest][]byte{&u.ID: id, &u.Remote: remote, &u.Tree: tree, &u.TreeBlob: blob, &u.Inputs: inputs})
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
	detail, err := json.Marshal(look.Detail)
	if err != nil {
		return explain("encode what was looked at", err)
	}
	return s.transact(ctx, System, action{verb: "save a look at an upstream"}, func(tx pgx.Tx) error {
		const good = `UPDATE upstream SET revision = $4, tree = $5, tree_blob = $6, detail = $7, found_inputs = $8,
				reason = '', message = '', failure = '', terminal = false, failures = 0,
				fetched_at = CASE WHEN revision = $4 AND tree = $5 THEN fetched_at ELSE now() END, checked_at = now(), seen_inputs = $9,
				due_at = now() + $3::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $2 RETURNING ` + isNews
		const bad = `UPDATE upstream SET reason = $4, message = $5, failure = $6, terminal = $7, failures = failures + 1, checked_at = now(),
				seen_inputs = $8, due_at = now() + $3::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $2 RETURNING ` + isNews
		sql, args := good, []any{upstream.Bytes(), s.replica, next, look.Revision, look.Tree.Bytes(), look.TreeBlob.Bytes(), detail, look.Inputs.Bytes(), look.SeenInputs.Bytes()}
		if look.Reason != "" {
			sql, args = bad, []any{upstream.Bytes(), s.replica, next, look.Reason, look.Message, look.Failure, look.Terminal, look.SeenInputs.Bytes()}
		}
		var news, moved bool
		err := tx.QueryRow(ctx, sql, args...).Scan(&news)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("save a look at an upstream: %w: the claim was lost", fleet.ErrConflict)
		case err != nil:
			return explain("save a look at an upstream", err)
		case look.Reason == "":
			moved, err = moveSources(ctx, tx, upstream.Bytes())
		default:
			moved, err = markStale(ctx, tx, upstream)
		}
		if err != nil || !news && !moved {
			return err
		}
		return publish(ctx, tx, TopicSources)
	})
}

// SaveChecked stores that nothing has changed of upstreams whose last look was good, as SaveLook does for each of them.
// A claim that was lost meanwhile is left alone.
func (s *Store) SaveChecked(ctx context.Context, checked []fleet.Checked) error {
	ids, inputs, next := make([][]byte, len(checked)), make([][]byte, len(checked)), make([]time.Duration, len(checked))
	for i, c := range checked {
		ids[i], inputs[i], next[i] = c.ID.Bytes(), c.SeenInputs.Bytes(), c.Next
	}
	return s.transact(ctx, System, action{verb: "save looks at upstreams"}, func(tx pgx.Tx) error {
		const save = `UPDATE upstream u SET checked_at = now(), seen_inputs = c.inputs, due_at = now() + c.next, claimed_by = NULL, claimed_until = NULL
			FROM unnest($2::bytea[], $3::bytea[], $4::interval[]) AS c (id, inputs, next) WHERE u.id = c.id AND u.claimed_by = $1 AND u.reason = ''
			RETURNING u.id`
		rows, err := tx.Query(ctx, save, s.replica, ids, inputs, next)
		if err != nil {
			return explain("save looks at upstreams", err)
		}
		saved, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return explain("save looks at upstreams", err)
		}
		moved, err := moveSources(ctx, tx, saved...)
		if err != nil || !moved {
			return err
		}
		return publish(ctx, tx, TopicSources)
	})
}

// moveSources moves the active Sources of upstreams to what those are at, and reports whether any moved. Their objects
// are locked first, so that a suspension is either seen here or comes after.
func moveSources(ctx context.Context, tx pgx.Tx, upstreams ...[]byte) (moved bool, err error) {
	const move = `WITH active AS (
			SELECT s.kind, s.namespace, s.name FROM source s JOIN object o ON ` + activeSource + `
				JOIN upstream u ON u.id = s.upstream
			WHERE u.id = ANY($1) AND ` + isBehind + `
			ORDER BY s.kind, s.namespace, s.name FOR SHARE OF o)
		UPDATE source s SET revision = u.revision, tree = u.tree, tree_blob = u.tree_blob, detail = u.detail, stale_since = NULL,
			fetched_at = CASE WHEN s.revision = u.revision AND s.tree = u.tree THEN s.fetched_at ELSE now() END
		FROM active a, upstream u
		WHERE s.kind = a.kind AND s.namespace = a.namespace AND s.name = a.name AND u.id = s.upstream AND ` + isBehind
	tag, err := tx.Exec(ctx, move, upstreams)
	return tag.RowsAffected() > 0, explain("move the Sources of an upstream", err)
}

// isBehind says in SQL that a Source is not at what its upstream is at.
const isBehind = `(s.revision <> u.revision OR s.tree IS DISTINCT FROM u.tree OR s.tree_blob IS DISTINCT FROM u.tree_blob
	OR s.detail IS DISTINCT FROM u.detail OR s.stale_since IS NOT NULL)`

// markStale records for the active Sources of an upstream that it could not be looked at, and reports whether that is so
// from now on for any.
func markStale(ctx context.Context, tx pgx.Tx, upstream fleet.Digest) (marked bool, err error) {
	const mark = `WITH active AS (
			SELECT s.kind, s.namespace, s.name FROM source s JOIN object o ON ` + activeSource + `
			WHERE s.upstream = $1 AND s.tree IS NOT NULL AND s.stale_since IS NULL
			ORDER BY s.kind, s.namespace, s.name FOR SHARE OF o)
		UPDATE source s SET stale_since = now() FROM active a
		WHERE s.kind = a.kind AND s.namespace = a.namespace AND s.name = a.name AND s.stale_since IS NULL`
	tag, err := tx.Exec(ctx, mark, upstream.Bytes())
	return tag.RowsAffected() > 0, explain("mark the Sources of an upstream", err)
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

// Remotes returns everyone whom a conversation is with about an upstream that a Source means, or meant within the last day.
func (s *Store) Remotes(ctx context.Context) ([]fleet.Digest, error) {
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT remote FROM upstream WHERE remote IS NOT NULL`)
	if err != nil {
		return nil, explain("list the remotes", err)
	}
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Digest, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return fleet.Digest{}, err
		}
		return fleet.DigestFromBytes(raw)
	})
	return ids, explain("list the remotes", err)
}
