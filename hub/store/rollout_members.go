package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// RolloutMembers returns a page of the clusters of a Rollout, by wave and turn, with what they are like now.
func (s *Store) RolloutMembers(ctx context.Context, id string, q RolloutMemberQuery) (members []rollout.MemberNow, err error) {
	const query = `SELECT ` + memberColumns + `, coalesce(c.connected, false),
			coalesce(p.available AND p.epoch = c.epoch AND p.generation >= a.pin AND p.release = a.release, false),
			coalesce(` + holdsPrune + `, false), clock_timestamp()
		FROM rollout_member m JOIN rollout r ON r.id = m.rollout
			LEFT JOIN cluster c ON c.id = m.cluster
			LEFT JOIN assignment a ON a.cluster = m.cluster AND a.app = r.app
			LEFT JOIN report p ON p.cluster = m.cluster AND p.app = r.app
		WHERE m.rollout = $1 AND ($2::text[] IS NULL OR m.phase = ANY($2)) AND ($3 < 0 OR m.wave = $3) AND (m.wave, m.turn) > ($4, $5)
		ORDER BY m.wave, m.turn LIMIT $6`
	wave, turn := -1, -1
	if q.After != "" {
		if wave, turn, err = q.Place(); err != nil {
			return nil, err
		}
	}
	err = s.snapshot(ctx, "list the clusters of "+id, func(tx pgx.Tx) error {
		r, err := readRollout(ctx, tx, fleet.Key{}, id)
		if err != nil {
			return err
		}
		only, err := indexOf(r, q.Wave)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, query, r.ID, q.Phases, only, wave, turn, cmp.Or(q.Limit, 500))
		if err != nil {
			return explain("list the clusters of "+r.ID, err)
		}
		members, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m rollout.MemberNow, err error) {
			var now time.Time
			if m.Member, err = scanMember(row, &m.Connected, &m.Available, &m.HoldsPrune, &now); err == nil {
				m.Stale = r.Stale(m.Member, now)
			}
			return m, err
		})
		return explain("list the clusters of "+r.ID, err)
	})
	return members, err
}

// holdsPrune reports whether the cluster of c waits by its report p for somebody to approve deletions. Its report says so until
// it has taken the approval up: one counts from when it is given.
const holdsPrune = `p.epoch = c.epoch AND p.waiting = 'PruneHeld'
	AND convert_from(a.payload, 'UTF8')::jsonb ->> 'approvedPrune' IS DISTINCT FROM (p.held_prune ->> 'digest')
	AND NOT EXISTS (SELECT FROM prune_approval q WHERE q.cluster = p.cluster AND q.app = p.app
		AND 'sha256:' || encode(q.digest, 'hex') = (p.held_prune ->> 'digest') AND q.release = a.release)`

// NotTargeted returns the clusters that a Rollout under way is not about, in the order of their names, and why; of one that waits,
// or is over: none.
func (s *Store) NotTargeted(ctx context.Context, id string) (others []rollout.NotTargeted, err error) {
	doing := "find the clusters that " + id + " is not about"
	err = s.snapshot(ctx, doing, func(tx pgx.Tx) error {
		r, err := readRollout(ctx, tx, fleet.Key{}, id)
		if err != nil || !r.Phase.Active() {
			return err
		}
		state := rollout.State{Key: r.Release.App, App: new(rollout.App), Active: &r}
		if r.Members, err = loadMembers(ctx, tx, r.ID); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT cluster::text FROM assignment WHERE app = $1 AND state = 'Active'`, state.Key.String())
		if err != nil {
			return explain(doing, err)
		}
		there, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return explain(doing, err)
		}
		for _, load := range []func(context.Context, pgx.Tx, *rollout.State) error{loadClusters, loadPlacements, loadPolicy} {
			if err := load(ctx, tx, &state); err != nil {
				return err
			}
		}
		has, active := setOf(there), &fleet.Assignment{State: fleet.Active}
		for i := range state.Clusters {
			if has[state.Clusters[i].ID] {
				state.Rows[i].Assignment = active
			}
		}
		others = state.NotTargeted()
		return nil
	})
	return others, err
}

// indexOf is that of a wave; empty: below zero.
func indexOf(r rollout.Rollout, wave string) (int, error) {
	if wave == "" {
		return -1, nil
	}
	var names []string
	for _, w := range r.Waves {
		names = append(names, w.Name)
	}
	if i := slices.Index(names, wave); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("wave %s of rollout %s: %w: its waves are %v", wave, r.ID, fleet.ErrNotFound, names)
}

// RolloutEvents returns what happened to a Rollout after the event of a number, oldest first, at most so many; 0: 1,000.
func (s *Store) RolloutEvents(ctx context.Context, id string, after uint64, limit int) ([]rollout.Logged, error) {
	const query = `SELECT number, at, type, actor, cluster, wave, gate, reason, message FROM rollout_event
		WHERE rollout = $1 AND number > $2 ORDER BY number LIMIT $3`
	rows, err := s.pool.Query(ctx, query, id, after, cmp.Or(limit, 1000))
	if err != nil {
		return nil, explain("list the events of "+id, err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e rollout.Logged, err error) {
		err = row.Scan(&e.Number, &e.At, &e.Type, &e.Actor, &e.Cluster, &e.Wave, &e.Gate, &e.Reason, &e.Message)
		e.Rollout, e.At = id, e.At.UTC()
		return e, err
	})
	return events, explain("list the events of "+id, err)
}
