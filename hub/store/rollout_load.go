package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unique"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// loadRollouts reads what decides about an App's Rollouts, once its Placement and rows are there, but for the Releases.
func loadRollouts(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	const query = `SELECT greatest(clock_timestamp(), coalesce(max(t.stepped), '-infinity')), (SELECT reason FROM frozen WHERE cluster IS NULL AND frozen),
		(array_agg(t.track))[1], (SELECT coalesce(sum(o.until - greatest(o.since, min(t.stepped))), '0') FROM outage o WHERE o.until > min(t.stepped))
		FROM rollout_track t WHERE t.app = $1`
	var freeze *string
	var track []byte
	if err := tx.QueryRow(ctx, query, state.Key.String()).Scan(&state.Now, &freeze, &track, &state.Away); err != nil {
		return explain("read what is known of the Releases", err)
	}
	state.Now = state.Now.UTC()
	if freeze != nil {
		state.Freeze = *freeze
	}
	if track != nil {
		state.Track = new(rollout.Track)
		if err := json.Unmarshal(track, state.Track); err != nil {
			return fmt.Errorf("what is known of the Releases: %w", err)
		}
	}
	for _, load := range []func(context.Context, pgx.Tx, *rollout.State) error{loadPolicy, loadUnderWay} {
		if err := load(ctx, tx, state); err != nil {
			return err
		}
	}
	return nil
}

// loadPolicy reads the policy that the Placement names.
func loadPolicy(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	if state.Placement == nil || state.Placement.RolloutPolicyRef == nil {
		return nil
	}
	state.Managed = true
	name := state.Placement.RolloutPolicyRef.Name
	var spec []byte
	err := tx.QueryRow(ctx, `SELECT spec FROM object WHERE home = $1 AND kind = $2 AND namespace = '' AND name = $3 AND deleted_at IS NULL`,
		state.Key.Home, resource.RolloutPolicy.Name, name).Scan(&spec)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return explain("read the RolloutPolicy", err)
	}
	state.Policy = &rollout.Policy{Name: name}
	return explain("decode "+resource.RolloutPolicy.Name+"/"+name, json.Unmarshal(spec, &state.Policy.RolloutPolicy))
}

// loadUnderWay reads the Rollout under way with its members, and the one that waits.
func loadUnderWay(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	rows, err := tx.Query(ctx, `SELECT `+rolloutColumns+` FROM rollout r JOIN release d ON d.digest = r.target
		WHERE r.app = $1 AND r.phase IN `+openPhases, state.Key.String())
	if err != nil {
		return explain("read the Rollouts", err)
	}
	found, err := pgx.CollectRows(rows, scanRollout)
	if err != nil {
		return explain("read the Rollouts", err)
	}
	for i := range found {
		if found[i].Phase == rollout.Queued {
			state.Queued = &found[i]
			continue
		}
		state.Managed, state.Active = true, &found[i]
		if found[i].Members, err = loadMembers(ctx, tx, found[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// rolloutColumns are those of r and of its target, d, that scanRollout reads.
const rolloutColumns = `r.id, r.kind, r.target, d.content, r.phase, r.reason, r.message, r.policy, r.plan, r.actor, r.change_cause, r.request_id, r.wave, r.waves,
	r.max_unavailable, r.scope, r.caused_by, r.superseded_by, r.no_rollback, r.allow_bad, r.version, r.created_at, r.started_at, r.finished_at`

func scanRollout(row pgx.CollectableRow) (rollout.Rollout, error) { return scanRolloutAnd(row) }

// scanRolloutAnd reads one, and what stands beside it.
func scanRolloutAnd(row pgx.CollectableRow, beside ...any) (r rollout.Rollout, err error) {
	var target, content, policy, plan, waves []byte
	var started, finished *time.Time
	columns := []any{&r.ID, &r.Kind, &target, &content, &r.Phase, &r.Reason, &r.Message, &policy, &plan, &r.Actor, &r.ChangeCause, &r.RequestID, &r.Wave, &waves,
		&r.MaxUnavailable, &r.Scope, &r.CausedBy, &r.SupersededBy, &r.NoRollback, &r.AllowBad, &r.Version, &r.Created, &started, &finished}
	if err := row.Scan(append(columns, beside...)...); err != nil {
		return r, err
	}
	r.Created, r.Started, r.Finished = r.Created.UTC(), timeOf(started), timeOf(finished)
	if r.Target, err = fleet.DigestFromBytes(target); err != nil {
		return r, err
	}
	if r.Plan, err = fleet.DigestFromBytes(plan); err != nil {
		return r, err
	}
	if r.Release, err = fleet.DecodeRelease(content); err != nil {
		return r, err
	}
	return r, errors.Join(json.Unmarshal(policy, &r.Policy), json.Unmarshal(waves, &r.Waves))
}

// memberColumns are those of m that scanMember reads.
const memberColumns = `m.cluster::text, m.name, m.wave, m.turn, m.phase, m.failure, m.message, m.base, m.base_available, m.moved, m.inherited, m.generation,
	m.attempt, m.deadline_spent, m.deadline_since, m.since, m.healthy_since, m.unhealthy_since, m.unavailable_since, m.lost_since`

// scanMember reads one, and what stands beside it.
func scanMember(row pgx.CollectableRow, beside ...any) (m rollout.Member, err error) {
	var base []byte
	var spent int64
	var running, since, healthy, unhealthy, unavailable, lost *time.Time
	columns := []any{&m.Cluster, &m.Name, &m.Wave, &m.Turn, &m.Phase, &m.Failure, &m.Message, &base, &m.BaseAvailable, &m.Moved, &m.Inherited, &m.Generation,
		&m.Attempt, &spent, &running, &since, &healthy, &unhealthy, &unavailable, &lost}
	if err := row.Scan(append(columns, beside...)...); err != nil {
		return m, err
	}
	m.Deadline = rollout.Clock{Spent: time.Duration(spent) * time.Microsecond, Since: timeOf(running)}
	m.Since, m.Healthy, m.Unhealthy, m.Unavailable, m.Lost = timeOf(since), timeOf(healthy), timeOf(unhealthy), timeOf(unavailable), timeOf(lost)
	m.Phase, m.Failure = shared(m.Phase), shared(m.Failure)
	m.Base, err = fleet.DigestFromBytes(base)
	return m, err
}

// shared is the text, once for all rows that have it. A step compares those of thousands of rows, again and again: one of
// each row's own would have to be fetched from memory each time.
func shared[T ~string](text T) T { return T(unique.Make(string(text)).Value()) }

// loadMembers reads the clusters of a Rollout, in order of wave and turn.
func loadMembers(ctx context.Context, tx pgx.Tx, id string) ([]rollout.Member, error) {
	const query = `SELECT ` + memberColumns + ` FROM rollout_member m WHERE m.rollout = $1 ORDER BY m.wave, m.turn`
	rows, err := tx.Query(ctx, query, id)
	if err != nil {
		return nil, explain("read the clusters of "+id, err)
	}
	members, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (rollout.Member, error) { return scanMember(row) })
	return members, explain("read the clusters of "+id, err)
}

// timeOf is the time, by UTC, and none where there is none.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// loadNamedReleases reads the Releases that a step may give to clusters, and those that are named beside.
func loadNamedReleases(ctx context.Context, tx pgx.Tx, state *rollout.State, named []fleet.Digest) error {
	state.Releases = map[fleet.Digest]fleet.Release{}
	if !state.Managed && len(named) == 0 {
		return nil
	}
	digests := state.Names()
	for _, d := range named {
		digests = append(digests, d.Bytes())
	}
	const query = `SELECT digest, content FROM release WHERE app = $1 AND digest = ANY($2)`
	rows, err := tx.Query(ctx, query, state.Key.String(), digests)
	if err != nil {
		return explain("read the Releases", err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw, content []byte
		if err := rows.Scan(&raw, &content); err != nil {
			return explain("read the Releases", err)
		}
		digest, err := fleet.DigestFromBytes(raw)
		if err != nil {
			return err
		}
		if state.Releases[digest], err = fleet.DecodeRelease(content); err != nil {
			return err
		}
	}
	return explain("read the Releases", rows.Err())
}
