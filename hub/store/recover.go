package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// BeginRecovery makes every upstream due that was not looked at since the recovery began, and returns when that was, by
// the database's clock. A recovery goes on when it is begun again within an hour: a large fleet may take several tries.
func (s *Store) BeginRecovery(ctx context.Context, by fleet.Caller) (started time.Time, err error) {
	err = s.transact(ctx, by, action{verb: "recover", object: "hub"}, func(tx pgx.Tx) error {
		const begin = `UPDATE hub SET recovering_since = CASE WHEN recovering_since > now() - interval '1 hour' THEN recovering_since
			ELSE clock_timestamp() END RETURNING recovering_since`
		if err := tx.QueryRow(ctx, begin).Scan(&started); err != nil {
			return explain("begin the recovery", err)
		}
		const due = `UPDATE upstream SET due_at = now() WHERE due_at > now() AND (checked_at IS NULL OR checked_at < $1)`
		if _, err := tx.Exec(ctx, due, started); err != nil {
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
		if _, err := tx.Exec(ctx, `UPDATE hub SET recovering_since = NULL`); err != nil {
			return explain("end the recovery", err)
		}
		return publish(ctx, tx, topics...)
	})
	return names, err
}
