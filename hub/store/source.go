package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// sourceNamespace says in SQL in which namespace the Source is that the App of object o is built from, and isSource that
// row s of source is that Source.
const (
	sourceNamespace = `coalesce(nullif(o.spec -> 'sourceRef' ->> 'namespace', ''), o.namespace)`
	isSource        = `s.kind = o.spec -> 'sourceRef' ->> 'kind' AND s.namespace = ` + sourceNamespace + ` AND s.name = o.spec -> 'sourceRef' ->> 'name'`
)

// BindSource records which upstream a declared Source of a generation means, and what stands in its way (reason and
// message, empty: nothing), of which it makes an event. What was fetched for the Source stays until the upstream was
// looked at, which is due at once: it may be new, or have moved while nobody meant it. A Source that is gone, or declared
// anew meanwhile, or bound so by another replica, is left alone.
func (s *Store) BindSource(ctx context.Context, kind, namespace, name string, generation int64, upstream fleet.Digest, reason, message string) error {
	return s.transact(ctx, System, action{verb: "bind", object: kind + "/" + namespace + "/" + name}, func(tx pgx.Tx) error {
		const declared = `SELECT FROM object WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND generation = $5 AND deleted_at IS NULL FOR SHARE`
		tag, err := tx.Exec(ctx, declared, fleet.HubHome, kind, namespace, name, generation)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("bind a source", err)
		}
		if !upstream.IsZero() {
			const ensure = `INSERT INTO upstream (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET used_at = now(), due_at = least(upstream.due_at, now())`
			if _, err := tx.Exec(ctx, ensure, upstream.Bytes()); err != nil {
				return explain("make an upstream", err)
			}
		}
		const upsert = `INSERT INTO source (kind, namespace, name, upstream, observed_generation, reason, message)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (kind, namespace, name) DO UPDATE SET upstream = $4, observed_generation = $5, reason = $6, message = $7
			WHERE (source.upstream, source.observed_generation, source.reason, source.message) IS DISTINCT FROM ($4, $5, $6, $7)`
		tag, err = tx.Exec(ctx, upsert, kind, namespace, name, upstream.Bytes(), generation, reason, message)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("bind a source", err)
		}
		if reason == "" {
			return publish(ctx, tx, TopicSources)
		}
		event := fleet.FleetEvent{At: time.Now(), Warning: true, Kind: kind, Namespace: namespace, Name: name, Reason: reason, Message: message}
		if err := insertEvent(ctx, tx, event); err != nil {
			return err
		}
		return publish(ctx, tx, TopicSources, TopicEvents)
	})
}

// SourceStates returns what is stored of the Sources of a kind, by "namespace/name".
func (s *Store) SourceStates(ctx context.Context, kind string) (map[string]fleet.SourceState, error) {
	query := `SELECT s.namespace || '/' || s.name, s.upstream, s.observed_generation, s.handled_reconcile_at,
			s.revision, s.tree, s.tree_blob, coalesce(s.fetched_at, 'epoch'), coalesce(u.checked_at, 'epoch'),
			CASE WHEN s.reason <> '' THEN s.reason ELSE coalesce(u.reason, '') END,
			CASE WHEN s.reason <> '' THEN s.message ELSE coalesce(u.message, '') END, coalesce(` + claimedLive("u") + `, false),
			s.reason <> '' OR coalesce(u.reason <> '' AND u.terminal, false), greatest(s.ready_since, u.ready_since), s.stored_since,
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
