package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// isApp is true in SQL of the object o when it is an App.
const isApp = `o.kind IN ('Kustomization', 'HelmRelease')`

// These say in SQL what the App or HelmChart of object o is built from: sourceRef what it refers to, bringsChart that it is
// a HelmRelease for which a HelmChart is made of that, and sourceNamespace in which namespace the Source is. isSource says
// that row s of source is it.
const (
	bringsChart     = `coalesce(o.kind = 'HelmRelease' AND jsonb_typeof(o.spec -> 'chart') = 'object', false)`
	sourceRef       = `(CASE WHEN o.kind <> 'HelmRelease' THEN o.spec -> 'sourceRef' WHEN ` + bringsChart + ` THEN o.spec #> '{chart,spec,sourceRef}' ELSE o.spec -> 'chartRef' END)`
	sourceNamespace = `coalesce(nullif(` + sourceRef + ` ->> 'namespace', ''), o.namespace)`
	isSource        = `s.namespace = ` + sourceNamespace + ` AND
		CASE WHEN ` + bringsChart + ` THEN s.kind = 'HelmChart' AND s.name = o.namespace || '-' || o.name
			ELSE s.kind = ` + sourceRef + ` ->> 'kind' AND s.name = ` + sourceRef + ` ->> 'name' END`
)

// BindSource records which upstream a declared Source means, and what stands in its way, of which it makes an event
// unless that is only not there yet. What was fetched for the Source stays until the upstream was looked at, which is due
// at once: it may be new, or have moved while nobody meant it. A Source that is gone, or declared anew meanwhile, or bound
// so by another replica, is left alone.
func (s *Store) BindSource(ctx context.Context, m fleet.Meant) error {
	return s.transact(ctx, System, action{verb: "bind", object: m.Kind + "/" + m.Namespace + "/" + m.Name}, func(tx pgx.Tx) error {
		const declared = `SELECT FROM object WHERE home = $1 AND kind = $2 AND namespace = $3 AND name = $4 AND generation = $5 AND deleted_at IS NULL FOR SHARE`
		tag, err := tx.Exec(ctx, declared, fleet.HubHome, m.Kind, m.Namespace, m.Name, m.Generation)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("bind a source", err)
		}
		if !m.Upstream.IsZero() {
			const ensure = `INSERT INTO upstream (id, remote, looked_by) VALUES ($1, $2, (SELECT looked_by FROM upstream WHERE remote = $2 LIMIT 1))
				ON CONFLICT (id) DO UPDATE SET used_at = now()`
			if _, err := tx.Exec(ctx, ensure, m.Upstream.Bytes(), m.Remote.Bytes()); err != nil {
				return explain("make an upstream", err)
			}
		}
		const upsert = `INSERT INTO source (kind, namespace, name, upstream, observed_generation, reason, message, failure, waiting)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (kind, namespace, name) DO UPDATE SET upstream = $4, observed_generation = $5, reason = $6, message = $7, failure = $8, waiting = $9,
				stale_since = CASE WHEN source.tree IS NOT NULL AND ($6 <> '' OR source.upstream IS DISTINCT FROM $4)
					THEN coalesce(source.stale_since, now()) ELSE source.stale_since END
			WHERE (source.upstream, source.observed_generation, source.reason, source.message) IS DISTINCT FROM ($4, $5, $6, $7)`
		tag, err = tx.Exec(ctx, upsert, m.Kind, m.Namespace, m.Name, m.Upstream.Bytes(), m.Generation, m.Reason, m.Message, m.Failure, m.Waiting)
		if err != nil || tag.RowsAffected() == 0 {
			return explain("bind a source", err)
		}
		if !m.Upstream.IsZero() { // after it is known that this binds: the replica that was first had it looked at already
			const due = `UPDATE upstream SET due_at = now() WHERE id = $1 AND due_at > now()`
			if _, err := tx.Exec(ctx, due, m.Upstream.Bytes()); err != nil {
				return explain("make an upstream due", err)
			}
		}
		if m.Reason == "" || m.Waiting {
			return publish(ctx, tx, TopicSources)
		}
		event := fleet.FleetEvent{At: time.Now(), Warning: true, Kind: m.Kind, Namespace: m.Namespace, Name: m.Name, Reason: m.Reason, Message: m.Message}
		if err := insertEvent(ctx, tx, event); err != nil {
			return err
		}
		return publish(ctx, tx, TopicSources, TopicEvents)
	})
}

// Sources returns what is stored of all Sources.
func (s *Store) Sources(ctx context.Context) (map[fleet.Key]fleet.SourceState, error) {
	return s.sources(ctx, "")
}

// SourceStates returns what is stored of the Sources of a kind, by "namespace/name".
func (s *Store) SourceStates(ctx context.Context, kind string) (map[string]fleet.SourceState, error) {
	found, err := s.sources(ctx, kind)
	if err != nil {
		return nil, err
	}
	states := make(map[string]fleet.SourceState, len(found))
	for key, state := range found {
		states[key.Namespace+"/"+key.Name] = state
	}
	return states, nil
}

// sources returns what is stored of the Sources of a kind; empty: of all.
func (s *Store) sources(ctx context.Context, kind string) (map[fleet.Key]fleet.SourceState, error) {
	query := `SELECT s.kind, s.namespace, s.name, s.upstream, s.observed_generation, s.handled_reconcile_at,
			s.revision, s.tree, s.tree_blob, s.detail, coalesce(s.fetched_at, 'epoch'), coalesce(u.checked_at, s.pushed_at, 'epoch'), u.seen_inputs,
			CASE WHEN s.reason <> '' THEN s.reason ELSE coalesce(u.reason, '') END,
			CASE WHEN s.reason <> '' THEN s.message ELSE coalesce(u.message, '') END,
			CASE WHEN s.reason <> '' THEN s.failure ELSE coalesce(u.failure, '') END, coalesce(` + claimedLive("u") + `, false),
			s.waiting, s.reason <> '' AND s.failure = 'invalid' OR coalesce(u.reason <> '' AND u.terminal, false), greatest(s.ready_since, u.ready_since), s.stored_since, s.stale_since,
			coalesce(u.revision, ''), u.tree, u.tree_blob,
			greatest(s.written, u.written)::text::bigint
		FROM source s LEFT JOIN upstream u ON u.id = s.upstream WHERE $1 IN ('', s.kind)`
	rows, err := s.pool.Query(ctx, query, kind)
	if err != nil {
		return nil, explain("read the sources", err)
	}
	defer rows.Close()
	states := map[fleet.Key]fleet.SourceState{}
	for rows.Next() {
		key := fleet.Key{Home: fleet.HubHome}
		var revision string
		var state fleet.SourceState
		var upstream, tree, blob, detail, inputs, latestTree, latestBlob []byte
		var readySince, storedSince, staleSince *time.Time
		err := rows.Scan(&key.Kind, &key.Namespace, &key.Name, &upstream, &state.ObservedGeneration, &state.HandledReconcileAt,
			&revision, &tree, &blob, &detail, &state.FetchedAt, &state.CheckedAt, &inputs, &state.Reason, &state.Message, &state.Failure,
			&state.Claimed, &state.Waiting, &state.Terminal, &readySince, &storedSince, &staleSince,
			&state.Latest.Revision, &latestTree, &latestBlob, &state.Version)
		if err != nil {
			return nil, explain("read the sources", err)
		}
		state.ReadySince, state.StoredSince, state.StaleSince = orZero(readySince), orZero(storedSince), orZero(staleSince)
		state.Revision = fleet.Revision(revision)
		if state.Detail, err = decodeDetail(detail); err != nil {
			return nil, explain("read the sources", err)
		}
		err = digests(map[*fleet.Digest][]byte{&state.Upstream: upstream, &state.Tree: tree, &state.TreeBlob: blob,
			&state.Latest.Tree: latestTree, &state.Latest.TreeBlob: latestBlob, &state.SeenInputs: inputs})
		if err != nil {
			return nil, explain("read the sources", err)
		}
		states[key] = state
	}
	return states, explain("read the sources", rows.Err())
}

// digests reads columns that hold digests; null is the zero one.
func digests(columns map[*fleet.Digest][]byte) (err error) {
	for into, raw := range columns {
		if *into, err = fleet.DigestFromBytes(raw); err != nil {
			return err
		}
	}
	return nil
}

// decodeDetail reads a detail column; null is the zero one.
func decodeDetail(raw []byte) (detail fleet.ArtifactDetail, err error) {
	if len(raw) > 0 {
		err = json.Unmarshal(raw, &detail)
	}
	return detail, err
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
