package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// BeginRecovery makes every upstream due and returns when that was, by the database's clock.
func (s *Store) BeginRecovery(ctx context.Context, by fleet.Caller) (started time.Time, err error) {
	err = s.transact(ctx, by, action{verb: "recover", object: "hub"}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&started); err != nil {
			return explain("read the clock", err)
		}
		if _, err := tx.Exec(ctx, `UPDATE upstream SET due_at = now() WHERE due_at > now()`); err != nil {
			return explain("make every upstream due", err)
		}
		return publish(ctx, tx, TopicSources, TopicObjects)
	})
	return started, err
}

// EndRecovery raises the epoch of every cluster in safe mode above what its spoke holds, which ends it, and returns
// their names. A dry run raises none.
func (s *Store) EndRecovery(ctx context.Context, by fleet.Caller, dryRun bool) (names []string, err error) {
	err = s.transact(ctx, by, action{verb: "raise the epoch", object: "hub", dryRun: dryRun}, func(tx pgx.Tx) error {
		const raise = `UPDATE cluster SET epoch = greatest(epoch, ahead_epoch) + 1, version = 0, digest = '', safe_mode = '', ahead_epoch = 0
			WHERE safe_mode <> '' RETURNING id::text, name`
		rows, err := tx.Query(ctx, raise)
		if err != nil {
			return explain("raise the epoch", err)
		}
		topics := []string{TopicReports}
		names = nil
		var id, name string
		_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
			names, topics = append(names, name), append(topics, TopicCluster(id))
			return nil
		})
		if err != nil {
			return explain("raise the epoch", err)
		}
		slices.Sort(names)
		return publish(ctx, tx, topics...)
	})
	return names, err
}
