package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// storeEvents stores the events of a spoke that were not stored before.
func storeEvents(ctx context.Context, tx pgx.Tx, cluster, name string, last int64, events []fleet.Event) error {
	newest := last
	for _, e := range events {
		if int64(e.Number) <= last {
			continue
		}
		newest = max(newest, int64(e.Number))
		row := fleet.FleetEvent{At: e.At, Warning: e.Warning, Reason: e.Reason, Message: e.Message, Cluster: name,
			Kind: e.App.Kind, Namespace: e.App.Namespace, Name: e.App.Name}
		if e.App.IsZero() {
			row.Kind, row.Name = "Cluster", name
		}
		if e.Object.Kind != "" {
			row.Object = e.Object.String()
		}
		if err := insertEvent(ctx, tx, row); err != nil {
			return err
		}
	}
	if newest == last {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE cluster SET last_event = $2 WHERE id = $1`, cluster, newest); err != nil {
		return explain("number the events", err)
	}
	return publish(ctx, tx, TopicEvents)
}

// AddEvent stores an event of the hub.
func (s *Store) AddEvent(ctx context.Context, event fleet.FleetEvent) error {
	return s.AddEvents(ctx, []fleet.FleetEvent{event})
}

// AddEvents stores events of the hub at once.
func (s *Store) AddEvents(ctx context.Context, events []fleet.FleetEvent) error {
	if len(events) == 0 {
		return nil
	}
	return s.transact(ctx, System, action{verb: "store events"}, func(tx pgx.Tx) error {
		var batch pgx.Batch
		for _, e := range events {
			if e.At.IsZero() {
				e.At = time.Now()
			}
			batch.Queue(insertOfEvent, valuesOf(e)...)
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return explain("store events", err)
		}
		return publish(ctx, tx, TopicEvents)
	})
}

// maxEventMessage bounds what is kept of a message, in bytes.
const maxEventMessage = 4096

const insertOfEvent = `INSERT INTO event (at, warning, reason, message, kind, namespace, name, cluster, object)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func insertEvent(ctx context.Context, tx pgx.Tx, e fleet.FleetEvent) error {
	_, err := tx.Exec(ctx, insertOfEvent, valuesOf(e)...)
	return explain("store an event", err)
}

// shortened is what is kept of a message.
func shortened(message string) string {
	if len(message) > maxEventMessage {
		message = strings.ToValidUTF8(message[:maxEventMessage], "")
	}
	return message
}

func valuesOf(e fleet.FleetEvent) []any {
	return []any{e.At, e.Warning, e.Reason, shortened(e.Message), e.Kind, e.Namespace, e.Name, e.Cluster, e.Object}
}

// Events returns the newest matching events, oldest first, and the horizon of the read.
func (s *Store) Events(ctx context.Context, q fleet.EventQuery) (events []fleet.FleetEvent, seen fleet.Horizon, err error) {
	const query = `SELECT id, at, warning, reason, message, kind, namespace, name, cluster, object FROM (
			SELECT * FROM event
			WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR namespace = $2) AND ($3 = '' OR name = $3) AND ($4 = '' OR cluster = $4)
				AND (NOT $5 OR warning) AND written >= $6::text::xid8 AND at >= $8
			ORDER BY id DESC LIMIT nullif($7, 0)) newest
		ORDER BY id`
	err = s.snapshot(ctx, "list events", func(tx pgx.Tx) error {
		if seen, err = horizon(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, query, q.Kind, q.Namespace, q.Name, q.Cluster, q.Warnings, q.Since.String(), q.Limit, q.NotBefore)
		if err != nil {
			return explain("list events", err)
		}
		events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e fleet.FleetEvent, err error) {
			return e, row.Scan(&e.ID, &e.At, &e.Warning, &e.Reason, &e.Message, &e.Kind, &e.Namespace, &e.Name, &e.Cluster, &e.Object)
		})
		return explain("list events", err)
	})
	return events, seen, err
}
