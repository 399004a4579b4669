package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// BindSource records which upstream a declared Source resolves to and what stands in its way (reason and message,
// empty: nothing). A new upstream is due at once, and is everybody's who binds to it.
func (s *Store) BindSource(ctx context.Context, kind, namespace, name string, generation int64, upstream fleet.Digest, reason, message string) error {
	return s.transact(ctx, System, action{verb: "bind", object: kind + "/" + namespace + "/" + name}, func(tx pgx.Tx) error {
		if !upstream.IsZero() {
			const ensure = `INSERT INTO upstream (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET used_at = now()`
			if _, err := tx.Exec(ctx, ensure, upstream.Bytes()); err != nil {
				return explain("make an upstream", err)
			}
		}
		const upsert = `INSERT INTO source (kind, namespace, name, upstream, observed_generation, reason, message)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (kind, namespace, name) DO UPDATE SET upstream = $4, observed_generation = $5, reason = $6, message = $7`
		if _, err := tx.Exec(ctx, upsert, kind, namespace, name, upstream.Bytes(), generation, reason, message); err != nil {
			return explain("bind a source", err)
		}
		return publish(ctx, tx, TopicSources)
	})
}

// SourceStates returns what is stored of the Sources of a kind, by "namespace/name".
func (s *Store) SourceStates(ctx context.Context, kind string) (map[string]fleet.SourceState, error) {
	const query = `SELECT s.namespace || '/' || s.name, s.upstream, s.observed_generation, s.handled_reconcile_at,
			coalesce(u.revision, ''), u.tree, u.tree_blob, coalesce(u.fetched_at, 'epoch'), coalesce(u.checked_at, 'epoch'),
			CASE WHEN s.reason <> '' THEN s.reason ELSE coalesce(u.reason, '') END,
			CASE WHEN s.reason <> '' THEN s.message ELSE coalesce(u.message, '') END, coalesce(` + claimedLive + `, false),
			s.reason <> '' OR coalesce(u.reason <> '' AND u.terminal, false), greatest(s.ready_since, u.ready_since), u.stored_since,
			greatest(s.written, u.written)::text::bigint
		FROM source s LEFT JOIN upstream u ON u.id = s.upstream WHERE s.kind = $1`
	rows, err := s.pool.Query(ctx, query, kind)
	if err != nil {
		return nil, explain("read the sources", err)
	}
	defer rows.Close()
	states := map[string]fleet.SourceState{}
	for rows.Next() {
		var key, revision string
		var state fleet.SourceState
		var upstream, tree, blob []byte
		var readySince, storedSince *time.Time
		err := rows.Scan(&key, &upstream, &state.ObservedGeneration, &state.HandledReconcileAt, &revision, &tree, &blob,
			&state.FetchedAt, &state.CheckedAt, &state.Reason, &state.Message, &state.Claimed,
			&state.Terminal, &readySince, &storedSince, &state.Version)
		if err != nil {
			return nil, explain("read the sources", err)
		}
		state.ReadySince, state.StoredSince = orZero(readySince), orZero(storedSince)
		state.Revision = fleet.Revision(revision)
		for _, d := range []struct {
			raw  []byte
			into *fleet.Digest
		}{{upstream, &state.Upstream}, {tree, &state.Tree}, {blob, &state.TreeBlob}} {
			if *d.into, err = fleet.DigestFromBytes(d.raw); err != nil {
				return nil, explain("read the sources", err)
			}
		}
		states[key] = state
	}
	return states, explain("read the sources", rows.Err())
}

// claimTime is how long a replica has for one look at an upstream before another may take it. One that died loses its
// claims at once: see holdsClaims.
const claimTime = 10 * time.Minute

// replicaLocks is the class of the advisory locks by which replicas are known to be alive.
const replicaLocks = 0x68756273 // "hubs"

// claimedLive says in SQL that upstream u is claimed by a replica that is alive.
const claimedLive = `(coalesce(u.claimed_until, '-infinity') > now() AND EXISTS (SELECT FROM pg_locks l
	WHERE l.locktype = 'advisory' AND l.classid = 1752523379 AND l.objid = (hashtext(u.claimed_by::text)::bigint & 4294967295)::oid))`

// holdsClaims marks this replica as alive for as long as the connection lasts.
func (s *Store) holdsClaims(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1, hashtext($2))`, replicaLocks, s.replica)
	return explain("mark the replica as alive", err)
}

// ClaimUpstreams takes at most limit of those upstreams that are due, the longest due first. What another living
// replica has taken is left to it, and so is what this one is busy with; a claim of its own beyond those is from a look
// whose outcome could not be saved.
func (s *Store) ClaimUpstreams(ctx context.Context, limit int, busy []fleet.Digest) ([]fleet.Digest, error) {
	const claim = `UPDATE upstream SET claimed_by = $1, claimed_until = now() + $2::interval WHERE id IN (
			SELECT id FROM upstream u WHERE due_at <= now() AND (NOT ` + claimedLive + ` OR claimed_by = $1) AND id <> ALL($4)
				AND EXISTS (SELECT FROM source WHERE source.upstream = u.id)
			ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING id`
	raw := make([][]byte, len(busy))
	for i, id := range busy {
		raw[i] = id.Bytes()
	}
	rows, err := s.pool.Query(ctx, claim, s.replica, claimTime, limit, raw)
	if err != nil {
		return nil, explain("claim upstreams", err)
	}
	ids, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (fleet.Digest, error) {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return fleet.Digest{}, err
		}
		return fleet.DigestFromBytes(raw)
	})
	return ids, explain("claim upstreams", err)
}

// MakeDue makes an upstream due at once, unless it is being looked at.
func (s *Store) MakeDue(ctx context.Context, upstream fleet.Digest) error {
	_, err := s.pool.Exec(ctx, `UPDATE upstream SET due_at = now() WHERE id = $1 AND due_at > now()`, upstream.Bytes())
	return explain("make an upstream due", err)
}

// SaveLook stores the outcome of a look, ends the claim, and says when the next one is due.
func (s *Store) SaveLook(ctx context.Context, upstream fleet.Digest, look fleet.Looked, next time.Duration) error {
	return s.transact(ctx, System, action{verb: "save a look at an upstream"}, func(tx pgx.Tx) error {
		const good = `UPDATE upstream SET revision = $2, tree = $3, tree_blob = $4, reason = '', message = '', terminal = false, failures = 0,
				fetched_at = CASE WHEN revision = $2 AND tree = $3 THEN fetched_at ELSE now() END, checked_at = now(),
				due_at = now() + $5::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $6 RETURNING ` + isNews
		const bad = `UPDATE upstream SET reason = $2, message = $3, terminal = $6, failures = failures + 1, checked_at = now(),
				due_at = now() + $4::interval, claimed_by = NULL, claimed_until = NULL
			WHERE id = $1 AND claimed_by = $5 RETURNING ` + isNews
		var news bool
		var err error
		if look.Reason == "" {
			err = tx.QueryRow(ctx, good, upstream.Bytes(), look.Revision, look.Tree.Bytes(), look.TreeBlob.Bytes(), next, s.replica).Scan(&news)
		} else {
			err = tx.QueryRow(ctx, bad, upstream.Bytes(), look.Reason, look.Message, next, s.replica, look.Terminal).Scan(&news)
		}
		switch {
		case errors.Is(err, pgx.ErrNoRows): // the claim was another's by then
			return nil
		case err != nil || !news:
			return explain("save a look at an upstream", err)
		}
		return publish(ctx, tx, TopicSources)
	})
}

// UpstreamFailures returns how often in a row looking at an upstream failed.
func (s *Store) UpstreamFailures(ctx context.Context, upstream fleet.Digest) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT failures FROM upstream WHERE id = $1`, upstream.Bytes()).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, explain("read an upstream", err)
}

// SourceHandled records that a reconcile request of a Source was served.
func (s *Store) SourceHandled(ctx context.Context, kind, namespace, name, requestedAt string) error {
	return s.transact(ctx, System, action{verb: "serve a request", object: kind + "/" + namespace + "/" + name}, func(tx pgx.Tx) error {
		const update = `UPDATE source SET handled_reconcile_at = $4 WHERE kind = $1 AND namespace = $2 AND name = $3`
		if _, err := tx.Exec(ctx, update, kind, namespace, name, requestedAt); err != nil {
			return explain("record a served request", err)
		}
		return publish(ctx, tx, TopicSources, TopicApps)
	})
}
