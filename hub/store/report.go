package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// StoreReports stores a batch. A batch of a session that is not the newest is fleet.ErrConflict; one that was stored
// before changes nothing. One that says nothing new, as a heartbeat, wakes nobody.
func (s *Store) StoreReports(ctx context.Context, cluster string, batch fleet.ReportBatch) error {
	unknown, err := json.Marshal(batch.Unknown)
	if err != nil {
		return err
	}
	if batch.Unknown == nil {
		unknown = []byte("[]")
	}
	return s.transact(ctx, System, action{verb: "store reports of cluster", object: cluster}, func(tx pgx.Tx) error {
		const seen = `UPDATE cluster SET last_seen = now(), connected = true, sequence = $3, unknown = $4,
				acked_epoch = $5, acked_version = $6, acked_digest = $7
			WHERE id = $1 AND session = $2 AND sequence < $3 RETURNING name, last_event, ` + isNews
		ack := batch.Acknowledged
		var name string
		var lastEvent int64
		var news bool
		err := tx.QueryRow(ctx, seen, cluster, batch.Session, batch.Sequence, unknown, ack.Epoch, ack.Version, orNone(ack.Digest)).Scan(&name, &lastEvent, &news)
		if errors.Is(err, pgx.ErrNoRows) {
			return s.whyRefused(ctx, tx, cluster, batch)
		}
		if err != nil {
			return explain("store reports", err)
		}
		const forget = `DELETE FROM issued_state WHERE cluster = $1 AND (epoch, version) < ($2::bigint, $3::bigint)`
		if news {
			if _, err := tx.Exec(ctx, forget, cluster, ack.Epoch, ack.Version); err != nil {
				return explain("forget older states", err)
			}
		}
		stored, err := putReports(ctx, tx, cluster, batch.Reports)
		if err != nil {
			return err
		}
		news = news || stored
		if err := storeEvents(ctx, tx, cluster, name, lastEvent, batch.Events); err != nil || !news {
			return err
		}
		return publish(ctx, tx, TopicReports)
	})
}

func orNone(d fleet.Digest) []byte {
	if d.IsZero() {
		return []byte{}
	}
	return d.Bytes()
}

func (s *Store) whyRefused(ctx context.Context, tx pgx.Tx, cluster string, batch fleet.ReportBatch) error {
	const query = `SELECT session FROM cluster WHERE id = $1`
	var session uint64
	if err := tx.QueryRow(ctx, query, cluster).Scan(&session); err != nil {
		return explain("store reports", err)
	}
	if session == batch.Session {
		return nil // stored before, and sent again because the answer was lost
	}
	return fmt.Errorf("session %d of cluster %s: %w: it is not the newest", batch.Session, cluster, fleet.ErrConflict)
}

// putReports stores the latest word on each Assignment, in one round trip and in order of App, and reports whether any
// says anything new: after a reconnect a spoke says everything again. The session's fence has been passed, so it is the
// latest.
func putReports(ctx context.Context, tx pgx.Tx, cluster string, reports []fleet.Report) (news bool, err error) {
	if len(reports) == 0 {
		return false, nil
	}
	slices.SortFunc(reports, func(a, b fleet.Report) int { return a.App.Compare(b.App) })
	var batch pgx.Batch
	for _, r := range reports {
		if err := putReport(&batch, cluster, r); err != nil {
			return false, fmt.Errorf("encode the report of %s: %w", r.App, err)
		}
	}
	results := tx.SendBatch(ctx, &batch)
	for _, r := range reports {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close() // it has no other error
			return false, explain("store the report of "+r.App.String(), err)
		}
		news = news || tag.RowsAffected() > 0
	}
	return news, explain("store reports", results.Close())
}

func putReport(batch *pgx.Batch, cluster string, r fleet.Report) error {
	const upsert = `INSERT INTO report (cluster, app, epoch, generation, release, applied, stage, converged, available, terminal,
			waiting, ready, healthy, objects, objects_not_ready, not_ready, held_prune, handled_reconcile_at, observed_at, drift_corrections, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT (cluster, app) DO UPDATE SET epoch = $3, generation = $4, release = $5, applied = $6, stage = $7, converged = $8,
			available = $9, terminal = $10, waiting = $11, ready = $12, healthy = $13, objects = $14, objects_not_ready = $15,
			not_ready = $16, held_prune = $17, handled_reconcile_at = $18, observed_at = $19, drift_corrections = $20, detail = CASE WHEN $22 THEN report.detail ELSE $21 END, stored_at = now()
		WHERE (report.epoch, report.generation) <= ($3::bigint, $4::bigint) AND
			(report.epoch, report.generation, report.release, report.applied, report.stage, report.converged, report.available, report.terminal,
				report.waiting, report.ready, report.healthy, report.objects, report.objects_not_ready, report.not_ready, report.held_prune,
				report.handled_reconcile_at, report.drift_corrections, report.detail) IS DISTINCT FROM
			(excluded.epoch, excluded.generation, excluded.release, excluded.applied, excluded.stage, excluded.converged, excluded.available, excluded.terminal,
				excluded.waiting, excluded.ready, excluded.healthy, excluded.objects, excluded.objects_not_ready, excluded.not_ready, excluded.held_prune,
				excluded.handled_reconcile_at, excluded.drift_corrections, CASE WHEN $22 THEN report.detail ELSE excluded.detail END)`
	ready, healthy, notReady, held, err := encodeReport(r)
	if err != nil {
		return err
	}
	batch.Queue(upsert, cluster, r.App.String(), r.Epoch, r.Generation, r.Release.Bytes(), r.Applied.Bytes(), r.Stage,
		r.Converged, r.Available, r.Terminal, r.Waiting, ready, healthy, r.Objects, r.ObjectsNotReady, notReady, held,
		r.HandledReconcileAt, r.ObservedAt, r.DriftCorrections, orNull(r.Detail), r.DetailLost)
	return nil
}

// orNull is what a jsonb column holds of JSON that may not be there.
func orNull(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

func encodeReport(r fleet.Report) (ready, healthy, notReady, held []byte, err error) {
	if ready, err = json.Marshal(r.Ready); err != nil {
		return nil, nil, nil, nil, err
	}
	if healthy, err = json.Marshal(r.Healthy); err != nil {
		return nil, nil, nil, nil, err
	}
	if notReady, err = json.Marshal(r.NotReady); err != nil {
		return nil, nil, nil, nil, err
	}
	if r.HeldPrune != nil {
		held, err = json.Marshal(r.HeldPrune)
	}
	return ready, healthy, notReady, held, err
}
