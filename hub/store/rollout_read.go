package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// RolloutQuery selects Rollouts, RolloutMemberQuery clusters of one.
type (
	RolloutQuery       = rollout.Query
	RolloutMemberQuery = rollout.MemberQuery
)

// Rollout returns a Rollout with its members: by its id, which may be of any App if that is zero; without an id, the App's one
// under way, or else its newest.
func (s *Store) Rollout(ctx context.Context, app fleet.Key, id string) (r rollout.Rollout, err error) {
	err = s.snapshot(ctx, "read "+cmp.Or(id, "the Rollout of "+app.Words()), func(tx pgx.Tx) error {
		if r, err = readRollout(ctx, tx, app, id); err != nil {
			return err
		}
		r.Members, err = loadMembers(ctx, tx, r.ID)
		return err
	})
	return r, err
}

// activePhases are those of the one Rollout of an App that is under way.
const activePhases = `('Running', 'Paused', 'Halted', 'RollingBack')`

// openPhases are those, and the one of what waits for its turn: all that are not final.
const openPhases = `('Queued', 'Running', 'Paused', 'Halted', 'RollingBack')`

// readRollout is Rollout without the members.
func readRollout(ctx context.Context, q querier, app fleet.Key, id string) (rollout.Rollout, error) {
	if id == "" {
		const newest = `SELECT ` + rolloutColumns + ` FROM rollout r JOIN release d ON d.digest = r.target WHERE r.app = $1
			ORDER BY r.phase IN ` + activePhases + ` DESC, r.created_at DESC, r.id DESC LIMIT 1`
		r, err := oneRollout(ctx, q, newest, app.String())
		if errors.Is(err, fleet.ErrNotFound) {
			err = fmt.Errorf("a Rollout of %s: %w: none has begun yet", app.Words(), fleet.ErrNotFound)
		}
		return r, err
	}
	const named = `SELECT ` + rolloutColumns + ` FROM rollout r JOIN release d ON d.digest = r.target WHERE r.id = $1`
	r, err := oneRollout(ctx, q, named, id)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		err = fmt.Errorf("rollout %s: %w: `fleetctl rollout history` lists those there are", id, fleet.ErrNotFound)
	case err == nil && app != (fleet.Key{}) && r.Release.App != app:
		err = fmt.Errorf("rollout %s: %w: it is one of %s, not of %s", id, fleet.ErrNotFound, r.Release.App.Words(), app.Words())
	}
	return r, err
}

// requested is the Rollout that a request has begun.
func requested(ctx context.Context, q querier, app fleet.Key, request string) (rollout.Rollout, error) {
	const query = `SELECT ` + rolloutColumns + ` FROM rollout r JOIN release d ON d.digest = r.target WHERE r.app = $1 AND r.request_id = $2`
	return oneRollout(ctx, q, query, app.String(), request)
}

func oneRollout(ctx context.Context, q querier, query string, args ...any) (rollout.Rollout, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return rollout.Rollout{}, explain("read a Rollout", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRollout)
	return r, explain("read a Rollout", err)
}

// Rollouts returns a page of Rollouts, the newest first, without their members.
func (s *Store) Rollouts(ctx context.Context, q RolloutQuery) ([]rollout.Rollout, error) {
	query := `SELECT ` + rolloutColumns + ` FROM rollout r JOIN release d ON d.digest = r.target WHERE true`
	args := []any{cmp.Or(q.Limit, 100)}
	and := func(condition string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		query += " AND " + condition
	}
	if q.App != (fleet.Key{}) {
		and("r.app = ?", q.App.String())
	}
	if q.Namespace != "" {
		and("split_part(r.app, '/', 3) = ?", q.Namespace)
	}
	if len(q.Phases) > 0 {
		and("r.phase = ANY(?)", q.Phases)
	}
	if q.After != "" {
		created, id, err := q.Place()
		if err != nil {
			return nil, err
		}
		and("(r.created_at, r.id) < (?, ?)", created, id)
	}
	query += ` ORDER BY r.created_at DESC, r.id DESC LIMIT $1`
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, explain("list Rollouts", err)
	}
	found, err := pgx.CollectRows(rows, scanRollout)
	return found, explain("list Rollouts", err)
}

// PhaseCounts is how many Rollouts there are in each phase that is not the last of one.
func (s *Store) PhaseCounts(ctx context.Context) (map[rollout.Phase]int, error) {
	rows, err := s.pool.Query(ctx, `SELECT phase, count(*) FROM rollout WHERE phase IN `+openPhases+` GROUP BY phase`)
	if err != nil {
		return nil, explain("count Rollouts", err)
	}
	counts := map[rollout.Phase]int{}
	var phase rollout.Phase
	var n int
	_, err = pgx.ForEachRow(rows, []any{&phase, &n}, func() error {
		counts[phase] = n
		return nil
	})
	return counts, explain("count Rollouts", err)
}
