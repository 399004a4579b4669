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

// AppsChanged returns the Apps about which something that a rollout looks at changed since a horizon, and the horizon
// to ask from next. A changed Placement or Cluster may concern every App; a Source does an App whose request waits for it,
// and a Revision one that depends on others, which may have to be at it too.
func (s *Store) AppsChanged(ctx context.Context, since fleet.Horizon) (apps []fleet.Key, seen fleet.Horizon, err error) {
	const query = `
		WITH moved AS (
			SELECT EXISTS (SELECT FROM object WHERE kind IN ('Placement', 'Cluster') AND written >= $1::text::xid8) AS everything
		)
		SELECT o.key FROM object o WHERE ` + isApp + ` AND (o.written >= $1::text::xid8 OR (SELECT everything FROM moved))
		UNION SELECT key FROM app WHERE turned >= $1::text::xid8
		UNION SELECT a.key FROM app a JOIN object o ON o.key = a.key
			WHERE a.written >= $1::text::xid8 AND (o.spec ? 'dependsOn' OR o.annotations ? '` + flux.DependsOnAnnotation + `')
		UNION SELECT app FROM report WHERE written >= $1::text::xid8
		UNION SELECT app FROM instance_request WHERE written >= $1::text::xid8
		UNION SELECT app FROM prune_approval WHERE written >= $1::text::xid8
		UNION SELECT app FROM assignment WHERE (SELECT everything FROM moved)
		UNION SELECT o.key FROM source s JOIN object o ON ` + isApp + ` AND ` + isSource + `
			WHERE s.written >= $1::text::xid8 AND o.annotations ? '` + withSourceAnnotation + `'
		UNION ` + appsBesideChanged
	err = s.snapshot(ctx, "find changed Apps", func(tx pgx.Tx) error {
		if seen, err = horizon(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, query, since.String())
		if err != nil {
			return explain("find changed Apps", err)
		}
		apps, err = pgx.CollectRows(rows, scanKey)
		return explain("find changed Apps", err)
	})
	return apps, seen, err
}

func scanKey(row pgx.CollectableRow) (fleet.Key, error) {
	var text string
	if err := row.Scan(&text); err != nil {
		return fleet.Key{}, err
	}
	return fleet.ParseKey(text)
}

// Roll loads the App's State, has it decided, and writes the Step, in one transaction. It returns the number of rows
// written.
func (s *Store) Roll(ctx context.Context, app fleet.Key, decide func(rollout.State) rollout.Step) (written int, err error) {
	err = s.transact(ctx, System, action{verb: "roll", object: app.String()}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, app.String()); err != nil {
			return explain("lock "+app.String(), err)
		}
		state, err := loadState(ctx, tx, app)
		if err != nil {
			return err
		}
		step := decide(state)
		written = len(step.Put) + len(step.Drop)
		if step.Empty() {
			return nil
		}
		return writeStep(ctx, tx, state, step)
	})
	return written, err
}

// writeStep writes rows in order of cluster, as every writer of several rows does, and in one round trip.
func writeStep(ctx context.Context, tx pgx.Tx, state rollout.State, step rollout.Step) error {
	var batch pgx.Batch
	var topics []string
	for _, cluster := range state.Clusters {
		put, wanted := step.Put[cluster.ID]
		switch {
		case wanted:
			if err := putAssignment(&batch, cluster.ID, state.Rows[cluster.ID].Assignment, put); err != nil {
				return err
			}
		case slices.Contains(step.Drop, cluster.ID):
			dropAssignment(&batch, cluster.ID, state.Key)
		}
		if wanted && put.Assignment.State == fleet.Removed || slices.Contains(step.Lapse, cluster.ID) {
			endOrder(&batch, cluster.ID, state.Key)
		}
		if slices.Contains(step.Spent, cluster.ID) {
			endApproval(&batch, cluster.ID, state.Key, state.Rows[cluster.ID].Approved)
		}
		if wanted || slices.Contains(step.Drop, cluster.ID) {
			topics = append(topics, TopicCluster(cluster.ID))
		}
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return explain("write the Assignments of "+state.Key.String(), err)
	}
	return publish(ctx, tx, append(topics, TopicReports)...)
}

// loadState reads all that decides about an App.
func loadState(ctx context.Context, tx pgx.Tx, app fleet.Key) (rollout.State, error) {
	state := rollout.State{Key: app, Former: map[string]rollout.Placement{}, Rows: map[string]rollout.Row{}}
	if err := tx.QueryRow(ctx, `SELECT nextval('assignment_generation')`).Scan(&state.Generation); err != nil {
		return state, explain("number a step", err)
	}
	for _, load := range []func(context.Context, pgx.Tx, *rollout.State) error{loadApp, loadClusters, loadRows, loadPlacements} {
		if err := load(ctx, tx, &state); err != nil {
			return state, fmt.Errorf("load %s: %w", app, err)
		}
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
	state.App = &rollout.App{Controls: k.Controls(annotations)}
	if !served(annotations[withSourceAnnotation], sourceHandled) {
		state.App.Controls.RequestedAt = annotations[beforeAnnotation] // the Source is looked at first
	}
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
	const query = `SELECT c.id::text, c.name, o.labels, o.spec, o.deleting_at IS NOT NULL FROM cluster c
		JOIN object o ON o.home = 'hub' AND o.kind = 'Cluster' AND o.namespace = '' AND o.name = c.name AND o.deleted_at IS NULL
		ORDER BY c.id`
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return explain("read the clusters", err)
	}
	state.Clusters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c rollout.Cluster, err error) {
		return c, row.Scan(&c.ID, &c.Name, &c.Labels, &c.Spec, &c.Terminating)
	})
	return explain("read the clusters", err)
}

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
			coalesce(q.requested_at, ''), coalesce(q.force, false), coalesce(q.reset, false), q.ending, coalesce(q.confirmed, false)
		FROM known k
			JOIN cluster c ON c.id = k.cluster
			LEFT JOIN assignment a ON a.cluster = k.cluster AND a.app = $1
			LEFT JOIN report r ON r.cluster = k.cluster AND r.app = $1
			LEFT JOIN prune_approval p ON p.cluster = k.cluster AND p.app = $1
			LEFT JOIN instance_request q ON q.cluster = k.cluster AND q.app = $1`
	rows, err := tx.Query(ctx, query, state.Key.String())
	if err != nil {
		return explain("read the Assignments", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var payload, held, approval, ending []byte
		var row rollout.Row
		if err := rows.Scan(&id, &payload, &row.Placement, &row.Removed, &held, &row.Reported, &approval, &row.Outdated, &row.RequestedAt, &row.Force, &row.Reset, &ending, &row.Confirmed); err != nil {
			return explain("read the Assignments", err)
		}
		if err := decodeRow(&row, payload, held, approval, ending); err != nil {
			return fmt.Errorf("cluster %s: %w", id, err)
		}
		state.Rows[id] = row
	}
	return explain("read the Assignments", rows.Err())
}

func decodeRow(row *rollout.Row, payload, held, approval, ending []byte) (err error) {
	if payload != nil {
		assignment, err := fleet.DecodeAssignment(payload)
		if err != nil {
			return err
		}
		row.Assignment = &assignment
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
	for _, row := range state.Rows {
		named[row.Placement] = true
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
