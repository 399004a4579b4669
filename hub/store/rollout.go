package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// Roll loads the App's State, has it decided, and writes the Step, in one transaction. It returns the number of rows
// written.
func (s *Store) Roll(ctx context.Context, app fleet.Key, decide func(rollout.State) rollout.Step) (written int, err error) {
	err = s.transact(ctx, System, action{verb: "roll", object: app.String()}, func(tx pgx.Tx) error {
		if err := lockApp(ctx, tx, app); err != nil {
			return err
		}
		state, err := loadState(ctx, tx, app)
		if err != nil {
			return err
		}
		step := decide(state)
		written = len(step.Put) + len(step.Drop)
		if step.Empty() {
			return putDue(ctx, tx, state, step.Wake)
		}
		return writeStep(ctx, tx, state, step)
	})
	return written, err
}

// lockApp has one step of an App be made at a time, by whichever replica, and lets it write the App's Assignments.
func lockApp(ctx context.Context, tx pgx.Tx, app fleet.Key) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0)), set_config('flotilla.step', $1, true)`, app.String())
	return explain("lock "+app.String(), err)
}

// writeStep writes rows in order of cluster, as every writer of several rows does, and in one round trip.
func writeStep(ctx context.Context, tx pgx.Tx, state rollout.State, step rollout.Step) error {
	var batch pgx.Batch
	var topics, ended, spent []string
	var approvals [][]byte
	rows := assignmentRows{app: state.Key.String()}
	dropped, lapsed, used := setOf(step.Drop), setOf(step.Lapse), setOf(step.Spent)
	for i := range state.Clusters {
		id, row := state.Clusters[i].ID, &state.Rows[i]
		put, wanted := step.Put[id]
		if wanted {
			if err := rows.put(&batch, id, row.Assignment, put); err != nil {
				return err
			}
		}
		if wanted && put.Assignment.State == fleet.Removed || lapsed[id] {
			ended = append(ended, id)
		}
		if used[id] {
			spent, approvals = append(spent, id), append(approvals, row.Approved.Bytes())
		}
		if wanted || dropped[id] {
			topics = append(topics, TopicCluster(id))
		}
	}
	rows.queue(&batch)
	dropAssignments(&batch, slices.Sorted(slices.Values(step.Drop)), state.Key)
	endOrders(&batch, ended, state.Key)
	endApprovals(&batch, spent, approvals, state.Key)
	if err := writeRollouts(&batch, state, step); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return explain("write the Assignments of "+state.Key.String(), err)
	}
	if len(step.Rollouts) > 0 || len(step.Events) > 0 {
		topics = append(topics, TopicRollouts, TopicEvents)
	}
	return publish(ctx, tx, append(topics, TopicReports)...)
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// loadState reads all that decides about an App, and the Releases of it that are named beside.
func loadState(ctx context.Context, tx pgx.Tx, app fleet.Key, named ...fleet.Digest) (rollout.State, error) {
	state := rollout.State{Key: app, Former: map[string]rollout.Placement{}}
	if err := tx.QueryRow(ctx, `SELECT nextval('assignment_generation')`).Scan(&state.Generation); err != nil {
		return state, explain("number a step", err)
	}
	for _, load := range []func(context.Context, pgx.Tx, *rollout.State) error{loadApp, loadClusters, loadRows, loadPlacements, loadRollouts} {
		if err := load(ctx, tx, &state); err != nil {
			return state, fmt.Errorf("load %s: %w", app, err)
		}
	}
	if err := loadNamedReleases(ctx, tx, &state, named); err != nil {
		return state, fmt.Errorf("load %s: %w", app, err)
	}
	return state, nil
}

func loadApp(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	const query = `
		SELECT o.spec, o.labels, o.annotations, o.generation, o.deleted_at IS NOT NULL, o.deletion, r.content, coalesce(s.handled_reconcile_at, ''),
			coalesce(a.observed_generation, 0), coalesce(a.attempted, ''), coalesce(a.revision, ''),
			coalesce(a.reason, ''), ` + isLookedAt + `
		FROM object o
			LEFT JOIN app a ON a.key = o.key
			LEFT JOIN release r ON r.digest = a.release
			LEFT JOIN source s ON ` + isSource + `
		WHERE o.key = $1`
	var spec, deletion, content []byte
	var declared fleet.Declared
	var status fleet.AppStatus
	var deleted, lookedAt bool
	var sourceHandled string
	err := tx.QueryRow(ctx, query, state.Key.String()).
		Scan(&spec, &declared.Labels, &declared.Annotations, &declared.Generation, &deleted, &deletion, &content, &sourceHandled,
			&status.ObservedGeneration, &status.Attempted, &status.Revision, &status.Reason, &lookedAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return explain("read the App", err)
	case deleted && deletion == nil:
		return nil
	case deleted:
		state.Deletion = new(rollout.Deletion)
		return explain("decode the deletion", json.Unmarshal(deletion, state.Deletion))
	}
	k, err := flux.DecodeApp(state.Key.Kind, spec)
	if err != nil {
		return fmt.Errorf("decode the spec: %w", err)
	}
	annotations := declared.Annotations
	state.App = &rollout.App{Controls: k.Controls(annotations), NoRollback: annotations[rollout.NoRollbackAnnotation] == "true"}
	state.App.Controls.RequestedAt = passedOn(annotations, sourceHandled)
	dependencies := k.Dependencies(state.Key.Namespace, annotations)
	if lookedAt || slices.ContainsFunc(dependencies, func(d fleet.Dependency) bool { return d.ReadyExpr != "" }) {
		declared.Spec, declared.Observed = spec, status.ObservedGeneration
		if status.Reason != "" {
			declared.Observed = min(declared.Observed, declared.Generation-1) // it was not built
		}
		declared.Annotations = maps.Clone(annotations)
		maps.DeleteFunc(declared.Annotations, func(name, _ string) bool { return name == withSourceAnnotation || name == beforeAnnotation })
		state.App.Declared = &declared
	}
	if content == nil {
		return nil
	}
	release, err := fleet.DecodeRelease(content)
	if err != nil {
		return err
	}
	state.App.Release = &release
	return loadPrerequisites(ctx, tx, state, k, dependencies, status)
}

// passedOn is the App's request as its clusters have it: one that is to look at the Source first waits for that.
func passedOn(annotations map[string]string, sourceHandled string) string {
	if !served(annotations[withSourceAnnotation], sourceHandled) {
		return annotations[beforeAnnotation]
	}
	return annotations[flux.RequestedAtAnnotation]
}

// served reports whether a Source that served one request has thereby served another, earlier or equal one. Requests are
// times, but for those that people wrote into the annotation: such a one came after and took the other's place.
func served(request, handled string) bool {
	if request == "" || request == handled {
		return true
	}
	requestedAt, err := time.Parse(time.RFC3339Nano, request)
	handledAt, errHandled := time.Parse(time.RFC3339Nano, handled)
	return err != nil || handled != "" && errHandled != nil || errHandled == nil && !handledAt.Before(requestedAt)
}

func loadClusters(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	const query = `SELECT c.id::text, c.name, o.labels, o.spec, o.deleting_at IS NOT NULL, c.connected,
			coalesce(` + declaredHold + `, f.reason, '')
		FROM cluster c
			JOIN object o ON o.home = 'hub' AND o.kind = 'Cluster' AND o.namespace = '' AND o.name = c.name AND o.deleted_at IS NULL
			LEFT JOIN frozen f ON f.cluster = c.id AND f.frozen
		ORDER BY c.id`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return explain("read the clusters", err)
	}
	state.Clusters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c rollout.Cluster, err error) {
		return c, row.Scan(&c.ID, &c.Name, &c.Labels, &c.Spec, &c.Terminating, &c.Connected, &c.Held)
	})
	state.Rows = make([]rollout.Row, len(state.Clusters))
	return explain("read the clusters", err)
}

// loadRows reads those of the clusters, which are there already.
func loadRows(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	const query = `
		WITH known AS (
			SELECT cluster FROM assignment WHERE app = $1 UNION SELECT cluster FROM instance_request WHERE app = $1
		)
		SELECT k.cluster::text, a.payload, coalesce(a.placement, ''),
			coalesce(r.stage = 'Removed' AND r.generation = a.generation AND r.epoch = c.epoch, false),
			coalesce(decode(substr(r.held_prune ->> 'digest', 8), 'hex'), ''),
			coalesce(r.generation = a.generation AND r.epoch = c.epoch AND r.applied = a.release, false),
			coalesce(p.digest, ''), coalesce(p.release <> coalesce(a.release, ''), false),
			coalesce(q.requested_at, ''), coalesce(q.force, false), coalesce(q.reset, false), q.ending, coalesce(q.confirmed, false),
			coalesce(a.release, ''), CASE WHEN r.epoch = c.epoch THEN r.generation END, coalesce(r.release, ''), coalesce(r.stage, ''), coalesce(r.converged, false),
			coalesce(r.available, false), coalesce(r.terminal, false), coalesce(r.waiting, ''), coalesce(r.ready, '{}'), coalesce(r.healthy, '{}'), coalesce(r.applied, '')
		FROM known k
			JOIN cluster c ON c.id = k.cluster
			LEFT JOIN assignment a ON a.cluster = k.cluster AND a.app = $1
			LEFT JOIN report r ON r.cluster = k.cluster AND r.app = $1
			LEFT JOIN prune_approval p ON p.cluster = k.cluster AND p.app = $1
			LEFT JOIN instance_request q ON q.cluster = k.cluster AND q.app = $1
		ORDER BY k.cluster`
	rows, err := tx.Query(ctx, query, state.Key.String())
	if err != nil {
		return explain("read the Assignments", err)
	}
	defer rows.Close()
	at, assignments := 0, decoded{}
	for rows.Next() {
		var id string
		var payload, held, approval, ending, release, reported []byte
		var row rollout.Row
		var generation *uint64
		var report rollout.Report
		var ready, healthy fleet.Condition
		var applied []byte
		if err := rows.Scan(&id, &payload, &row.Placement, &row.Removed, &held, &row.Reported, &approval, &row.Outdated, &row.RequestedAt, &row.Force, &row.Reset, &ending, &row.Confirmed,
			&release, &generation, &reported, &report.Stage, &report.Converged, &report.Available, &report.Terminal, &report.Waiting, &ready, &healthy, &applied); err != nil {
			return explain("read the Assignments", err)
		}
		if err := decodeRow(&row, assignments, payload, held, approval, ending); err != nil {
			return fmt.Errorf("cluster %s: %w", id, err)
		}
		if row.Release, err = fleet.DigestFromBytes(release); err != nil {
			return fmt.Errorf("cluster %s: %w", id, err)
		}
		if generation != nil {
			if report.Release, err = fleet.DigestFromBytes(reported); err != nil {
				return fmt.Errorf("cluster %s: %w", id, err)
			}
			said := fleet.Report{Release: report.Release, Stage: report.Stage, Ready: ready, Healthy: healthy}
			if said.Applied, err = fleet.DigestFromBytes(applied); err != nil {
				return fmt.Errorf("cluster %s: %w", id, err)
			}
			report.Generation, report.Failed, report.Message = *generation, said.HasFailed(), why(ready, healthy)
			row.Report = &report
		}
		row.Placement = shared(row.Placement)
		report.Stage, report.Waiting = shared(report.Stage), shared(report.Waiting)
		for at < len(state.Clusters) && state.Clusters[at].ID < id {
			at++
		}
		if at < len(state.Clusters) && state.Clusters[at].ID == id { // else its declaration is gone
			state.Rows[at] = row
		}
	}
	return explain("read the Assignments", rows.Err())
}

// decoded are Assignments by what they were decoded from. What a step gave to many clusters alike is one for all of them: a
// step looks at each.
type decoded map[string]*fleet.Assignment

func (d decoded) of(payload []byte) (*fleet.Assignment, error) {
	if a, known := d[string(payload)]; known {
		return a, nil
	}
	a, err := fleet.DecodeAssignment(payload)
	if err != nil {
		return nil, err
	}
	d[string(payload)] = &a
	return &a, nil
}

// why is what a cluster says of what is not as it should be.
func why(ready, healthy fleet.Condition) string {
	if ready.Status == fleet.True && healthy.Status != fleet.True && healthy.Message != "" {
		return healthy.Message
	}
	return ready.Message
}

func decodeRow(row *rollout.Row, assignments decoded, payload, held, approval, ending []byte) (err error) {
	if payload != nil {
		if row.Assignment, err = assignments.of(payload); err != nil {
			return err
		}
	}
	if row.Held, err = fleet.DigestFromBytes(held); err != nil {
		return err
	}
	if row.Approved, err = fleet.DigestFromBytes(approval); err != nil {
		return err
	}
	if ending == nil {
		return nil
	}
	row.Ending = new(rollout.Deletion)
	return json.Unmarshal(ending, row.Ending)
}

// loadPlacements finds the Placement that names the App, and those that rows name.
func loadPlacements(ctx context.Context, tx pgx.Tx, state *rollout.State) error {
	const query = `SELECT name, spec, deleted_at IS NOT NULL FROM object
		WHERE home = $1 AND kind = 'Placement' AND namespace = $2 ORDER BY name`
	rows, err := tx.Query(ctx, query, state.Key.Home, state.Key.Namespace)
	if err != nil {
		return explain("read the Placements", err)
	}
	defer rows.Close()
	named := map[string]bool{}
	for i := range state.Rows {
		named[state.Rows[i].Placement] = true
	}
	for rows.Next() {
		var p rollout.Placement
		var spec []byte
		var deleted bool
		if err := rows.Scan(&p.Name, &spec, &deleted); err != nil {
			return explain("read the Placements", err)
		}
		if err := json.Unmarshal(spec, &p.Placement); err != nil {
			return fmt.Errorf("%s/%s: %w", resource.Placement.Name, p.Name, err)
		}
		if !deleted && slices.Contains(p.Apps, fleet.AppRef{Kind: state.Key.Kind, Name: state.Key.Name}) {
			state.Placement = &p
		}
		if named[p.Name] {
			state.Former[p.Name] = p
		}
	}
	return explain("read the Placements", rows.Err())
}
