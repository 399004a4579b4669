package store

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// AppHistory returns the Revisions that were built of an App, newest first, before them one that could not be built and
// is tried now.
func (s *Store) AppHistory(ctx context.Context, app fleet.Key) (entries []fleet.HistoryEntry, err error) {
	const query = `
		SELECT v.revision, v.release, v.first_at, v.at, coalesce(a.release = v.release AND a.revision = v.revision, false),
			(SELECT count(*) FROM report r WHERE r.app = v.app AND r.applied = v.release)
		FROM app_revision v LEFT JOIN app a ON a.key = v.app WHERE v.app = $1 ORDER BY v.at DESC, v.revision`
	const failed = `SELECT attempted, reason, message, coalesce(reason_since, 'epoch') FROM app WHERE key = $1 AND reason <> ''`
	err = s.snapshot(ctx, "read the history of "+app.String(), func(tx pgx.Tx) error {
		entries = nil
		rows, err := tx.Query(ctx, failed, app.String())
		if err != nil {
			return explain("read a failed build", err)
		}
		tried, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e fleet.HistoryEntry, err error) {
			err = row.Scan(&e.Revision, &e.Ready.Reason, &e.Ready.Message, &e.FirstAt)
			e.Ready.Status, e.LastAt = fleet.False, e.FirstAt
			return e, err
		})
		if err != nil {
			return explain("read a failed build", err)
		}
		rows, err = tx.Query(ctx, query, app.String())
		if err != nil {
			return explain("read Revisions", err)
		}
		built, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e fleet.HistoryEntry, err error) {
			var release []byte
			if err := row.Scan(&e.Revision, &release, &e.FirstAt, &e.LastAt, &e.Current, &e.Clusters); err != nil {
				return e, err
			}
			e.Ready.Status = fleet.True
			e.Release, err = fleet.DigestFromBytes(release)
			return e, err
		})
		entries = append(tried, built...)
		return explain("read Revisions", err)
	})
	return entries, err
}

// InstanceHistory returns what became of the Releases of an App in a cluster, the one that it last spoke of first.
func (s *Store) InstanceHistory(ctx context.Context, app fleet.Key, cluster string) ([]fleet.HistoryEntry, error) {
	const query = `
		SELECT h.revision, h.release, h.first_at, h.last_at, coalesce(a.release = h.release, false), (coalesce(r.applied = h.release, false))::int, h.ready
		FROM instance_history h JOIN cluster c ON c.id = h.cluster
			LEFT JOIN assignment a ON a.cluster = h.cluster AND a.app = h.app
			LEFT JOIN report r ON r.cluster = h.cluster AND r.app = h.app
		WHERE h.app = $1 AND c.name = $2 ORDER BY h.last_at DESC, h.release`
	rows, err := s.pool.Query(ctx, query, app.String(), cluster)
	if err != nil {
		return nil, explain("read the history of "+app.String(), err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e fleet.HistoryEntry, err error) {
		var release, ready []byte
		if err := row.Scan(&e.Revision, &release, &e.FirstAt, &e.LastAt, &e.Current, &e.Clusters, &ready); err != nil {
			return e, err
		}
		if err := json.Unmarshal(ready, &e.Ready); err != nil {
			return e, err
		}
		e.Release, err = fleet.DigestFromBytes(release)
		return e, err
	})
	return entries, explain("read the history of "+app.String(), err)
}
