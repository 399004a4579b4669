package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// writeRollouts queues what a step changes of Rollouts: each table in one statement, whatever the number of clusters.
func writeRollouts(batch *pgx.Batch, state rollout.State, step rollout.Step) error {
	for _, r := range ordered(step.Rollouts) {
		if err := putRollout(batch, state.Key, r); err != nil {
			return err
		}
		var before []rollout.Member
		if state.Active != nil && state.Active.ID == r.ID {
			before = state.Active.Members
		}
		putMembers(batch, r.ID, changedMembers(before, r.Members))
	}
	putEvents(batch, state.Now, step.Events)
	putNews(batch, state.Key, state.Now, step.Events)
	putRequests(batch, state, step.Requests)
	return putTrack(batch, state, step)
}

// ordered has what is over come first: an App has one Rollout under way.
func ordered(rollouts []*rollout.Rollout) []*rollout.Rollout {
	sorted := slices.Clone(rollouts)
	slices.SortStableFunc(sorted, func(a, b *rollout.Rollout) int {
		switch {
		case a.Phase.Final() == b.Phase.Final():
			return 0
		case a.Phase.Final():
			return -1
		}
		return 1
	})
	return sorted
}

func putRollout(batch *pgx.Batch, app fleet.Key, r *rollout.Rollout) error {
	policy, err := json.Marshal(r.Policy)
	if err != nil {
		return fmt.Errorf("encode the policy of %s: %w", r.ID, err)
	}
	waves, err := json.Marshal(r.Waves)
	if err != nil {
		return fmt.Errorf("encode the waves of %s: %w", r.ID, err)
	}
	const write = `INSERT INTO rollout AS r (id, app, kind, target, phase, reason, message, policy, plan, actor, request_id, wave, waves, max_unavailable, scope,
			caused_by, superseded_by, no_rollback, allow_bad, version, created_at, started_at, finished_at, change_cause)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
		ON CONFLICT (id) DO UPDATE SET kind = $3, phase = $5, reason = $6, message = $7, policy = $8, plan = $9, actor = $10, request_id = $11, wave = $12,
			waves = $13, max_unavailable = $14, scope = $15, caused_by = $16, superseded_by = $17, no_rollback = $18, allow_bad = $19,
			version = $20, started_at = $22, finished_at = $23, change_cause = $24
			WHERE r.version < $20`
	// What is queued has no plan yet: no bytes, not null.
	batch.Queue(write, r.ID, app.String(), r.Kind, r.Target.Bytes(), r.Phase, r.Reason, r.Message, policy, append([]byte{}, r.Plan.Bytes()...), r.Actor, r.RequestID, r.Wave, waves,
		r.MaxUnavailable, r.Scope, r.CausedBy, r.SupersededBy, r.NoRollback, r.AllowBad, r.Version, r.Created, timeArg(r.Started), timeArg(r.Finished), r.ChangeCause).
		Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("rollout %s: %w: it changed meanwhile", r.ID, errLost)
			}
			return nil
		})
	return nil
}

// changedMembers are those that differ from what they were.
func changedMembers(before, now []rollout.Member) []rollout.Member {
	var changed []rollout.Member
	for i, m := range now {
		if i >= len(before) || before[i] != m {
			changed = append(changed, m)
		}
	}
	return changed
}

// memberRow is a Member as a row of rollout_member.
type memberRow struct {
	Cluster          string     `json:"cluster"`
	Name             string     `json:"name"`
	Wave             int        `json:"wave"`
	Turn             int        `json:"turn"`
	Phase            string     `json:"phase"`
	Failure          string     `json:"failure"`
	Message          string     `json:"message"`
	Base             *string    `json:"base"`
	BaseAvailable    bool       `json:"base_available"`
	Moved            bool       `json:"moved"`
	Inherited        bool       `json:"inherited"`
	Generation       uint64     `json:"generation"`
	Attempt          int        `json:"attempt"`
	DeadlineSpent    int64      `json:"deadline_spent"`
	DeadlineSince    *time.Time `json:"deadline_since"`
	Since            *time.Time `json:"since"`
	HealthySince     *time.Time `json:"healthy_since"`
	UnhealthySince   *time.Time `json:"unhealthy_since"`
	UnavailableSince *time.Time `json:"unavailable_since"`
	LostSince        *time.Time `json:"lost_since"`
}

func rowOf(m rollout.Member) memberRow {
	row := memberRow{
		Cluster: m.Cluster, Name: m.Name, Wave: m.Wave, Turn: m.Turn, Phase: string(m.Phase), Failure: string(m.Failure), Message: m.Message,
		BaseAvailable: m.BaseAvailable, Moved: m.Moved, Inherited: m.Inherited, Generation: m.Generation, Attempt: m.Attempt,
		DeadlineSpent: m.Deadline.Spent.Microseconds(), DeadlineSince: timeArg(m.Deadline.Since), Since: timeArg(m.Since),
		HealthySince: timeArg(m.Healthy), UnhealthySince: timeArg(m.Unhealthy), UnavailableSince: timeArg(m.Unavailable), LostSince: timeArg(m.Lost),
	}
	if !m.Base.IsZero() {
		row.Base = new(fmt.Sprintf(`\x%x`, m.Base.Bytes()))
	}
	return row
}

func putMembers(batch *pgx.Batch, id string, members []rollout.Member) {
	if len(members) == 0 {
		return
	}
	rows := make([]memberRow, len(members))
	for i, m := range members {
		rows[i] = rowOf(m)
	}
	const write = `INSERT INTO rollout_member (rollout, cluster, name, wave, turn, phase, failure, message, base, base_available, moved, inherited, generation, attempt,
			deadline_spent, deadline_since, since, healthy_since, unhealthy_since, unavailable_since, lost_since)
		SELECT $1, cluster, name, wave, turn, phase, failure, message, base::bytea, base_available, moved, inherited, generation, attempt,
			deadline_spent, deadline_since, since, healthy_since, unhealthy_since, unavailable_since, lost_since
		FROM jsonb_to_recordset($2) AS m (cluster uuid, name text, wave int, turn int, phase text, failure text, message text, base text, base_available boolean,
			moved boolean, inherited boolean, generation bigint, attempt int, deadline_spent bigint, deadline_since timestamptz, since timestamptz,
			healthy_since timestamptz, unhealthy_since timestamptz, unavailable_since timestamptz, lost_since timestamptz)
		ON CONFLICT (rollout, cluster) DO UPDATE SET wave = excluded.wave, turn = excluded.turn, phase = excluded.phase, failure = excluded.failure,
			message = excluded.message, base = excluded.base, base_available = excluded.base_available, moved = excluded.moved, inherited = excluded.inherited,
			generation = excluded.generation, attempt = excluded.attempt, deadline_spent = excluded.deadline_spent, deadline_since = excluded.deadline_since,
			since = excluded.since, healthy_since = excluded.healthy_since, unhealthy_since = excluded.unhealthy_since,
			unavailable_since = excluded.unavailable_since, lost_since = excluded.lost_since`
	batch.Queue(write, id, rows)
}

// putRequests records that spokes are asked for a pass. Where somebody has asked for one since the State was read, that stands:
// the spoke tries again for it as well.
func putRequests(batch *pgx.Batch, state rollout.State, requests map[string]string) {
	if len(requests) == 0 {
		return
	}
	const write = `INSERT INTO instance_request (cluster, app, requested_at) SELECT cluster, $1, at FROM unnest($2::uuid[], $3::text[]) AS g (cluster, at)
		ON CONFLICT (cluster, app) DO UPDATE SET requested_at = excluded.requested_at, force = false, reset = false, at = now()
			WHERE instance_request.requested_at = $4::jsonb ->> instance_request.cluster::text`
	var clusters, times []string
	read := make(map[string]string, len(requests))
	for i := range state.Clusters {
		id := state.Clusters[i].ID
		if at, asked := requests[id]; asked {
			clusters, times, read[id] = append(clusters, id), append(times, at), state.Rows[i].RequestedAt
		}
	}
	batch.Queue(write, state.Key.String(), clusters, times, read)
}

// putTrack writes what is known of the App's Releases, and when it is to be looked at again.
func putTrack(batch *pgx.Batch, state rollout.State, step rollout.Step) error {
	if step.Forget {
		batch.Queue(`DELETE FROM rollout_track WHERE app = $1`, state.Key.String())
		return nil
	}
	track := state.Track
	if step.Track != nil {
		track = step.Track
	}
	if track == nil {
		return nil
	}
	data, err := json.Marshal(track)
	if err != nil {
		return fmt.Errorf("encode what is known of the Releases: %w", err)
	}
	const write = `INSERT INTO rollout_track (app, track, releases, stepped, due) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (app) DO UPDATE SET track = $2, releases = $3, stepped = $4, due = $5`
	batch.Queue(write, state.Key.String(), data, needed(*track), state.Now, timeArg(step.Wake))
	return nil
}

// putDue notes when the App is to be looked at again, for a step that changes nothing: nobody is told.
func putDue(ctx context.Context, tx pgx.Tx, state rollout.State, due time.Time) error {
	if state.Track == nil {
		return nil
	}
	const write = `UPDATE rollout_track SET due = $2, stepped = $3 WHERE app = $1 AND due IS DISTINCT FROM $2`
	_, err := tx.Exec(ctx, write, state.Key.String(), timeArg(due), state.Now)
	return explain("note when "+state.Key.Words()+" is due", err)
}

// keptGood is how many of the newest good Releases can be gone back to, however old they are.
const keptGood = 5

// needed are the Releases that clusters may come to have again by what is known of them.
func needed(track rollout.Track) [][]byte {
	releases := [][]byte{}
	add := func(d fleet.Digest) {
		if !d.IsZero() {
			releases = append(releases, d.Bytes())
		}
	}
	add(track.Stable)
	add(track.Handled)
	for _, kept := range track.Kept {
		add(kept)
	}
	good := 0
	for _, v := range slices.Backward(track.Verdicts) {
		if v.Outcome == rollout.Good && good < keptGood {
			good++
			add(v.Release)
		}
	}
	for _, u := range track.CatchingUp {
		add(u.From)
		add(u.To)
	}
	return releases
}

// timeArg is t for a column that may be null.
func timeArg(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
