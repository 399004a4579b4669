package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
)

// Instances returns the selected Apps in clusters, by App and cluster name, and the horizon of the read.
func (s *Store) Instances(ctx context.Context, q fleet.InstanceQuery) (instances []fleet.Instance, seen fleet.Horizon, err error) {
	err = s.snapshot(ctx, "list instances of "+q.Kind, func(tx pgx.Tx) error {
		if seen, err = horizon(ctx, tx); err != nil {
			return err
		}
		if q.Limit > 0 {
			instances, err = instancePage(ctx, tx, q)
			return err
		}
		instances, err = readInstances(ctx, tx, q, "assignment")
		return err
	})
	return instances, seen, err
}

// readInstances reads those of the Assignments that a table or a query has, whose further parameters begin at $6.
func readInstances(ctx context.Context, tx pgx.Tx, q fleet.InstanceQuery, from string, further ...any) ([]fleet.Instance, error) {
	query := `
		SELECT c.name, c.id::text, c.connected, coalesce(c.last_seen, 'epoch'), c.connected_since, c.away_since, a.payload, a.created_at, a.pinned_at,
			coalesce((SELECT v.revision FROM app_revision v WHERE v.app = a.app AND v.release = a.release ORDER BY v.at DESC, v.revision LIMIT 1), ''),
			coalesce((SELECT v.revision FROM app_revision v WHERE v.app = a.app AND v.release = r.applied ORDER BY v.at DESC, v.revision LIMIT 1), ''),
			r.app IS NOT NULL, coalesce(r.epoch, 0), coalesce(r.generation, 0), r.release, r.applied, coalesce(r.stage, ''), coalesce(r.converged, false),
			coalesce(r.available, false), coalesce(r.terminal, false), coalesce(r.waiting, ''), r.ready, r.healthy, coalesce(r.objects, 0),
			coalesce(r.objects_not_ready, 0), r.not_ready, r.held_prune, coalesce(r.handled_reconcile_at, ''), coalesce(r.observed_at, 'epoch'),
			coalesce(r.drift_corrections, 0), CASE WHEN $4 AND $5 AND r.detail #> '{history,0}' IS NOT NULL
				THEN jsonb_set(r.detail, '{history}', jsonb_build_array(jsonb_build_object('lastDeployed', r.detail #> '{history,0,lastDeployed}')))
				WHEN $4 THEN r.detail END, coalesce(r.stored_at, 'epoch'),
			r.ready_since, r.healthy_since, r.held_since, r.terminal_since, r.drifted_since,
			greatest(a.written, r.written, c.linked, p.written)::text::bigint
		FROM ` + from + ` a
			JOIN cluster c ON c.id = a.cluster
			LEFT JOIN report r ON r.cluster = a.cluster AND r.app = a.app
			LEFT JOIN app p ON p.key = a.app
		WHERE a.app LIKE $1 AND ($2 = '' OR c.name = $2)
			AND ($3::text = '0' OR a.written >= $3::text::xid8 OR r.written >= $3::text::xid8 OR c.linked >= $3::text::xid8 OR p.written >= $3::text::xid8)
		ORDER BY a.app, c.name`
	rows, err := tx.Query(ctx, query, append([]any{keysLike(q), q.Cluster, q.Since.String(), q.Detail, q.Brief}, further...)...)
	if err != nil {
		return nil, explain("list instances", err)
	}
	instances, err := pgx.CollectRows(rows, scanInstance)
	return instances, explain("list instances", err)
}

// keysLike is what the keys of the selected Apps are LIKE.
func keysLike(q fleet.InstanceQuery) string {
	return fleet.HubHome + "/" + orAny(q.Kind) + "/" + orAny(q.Namespace) + "/" + orAny(q.Name)
}

// orAny is text for LIKE, where empty matches all.
func orAny(text string) string {
	if text == "" {
		return "%"
	}
	return likeLiteral.Replace(text)
}

// likeLiteral takes from characters the meaning that LIKE gives them: anything may be asked for by name.
var likeLiteral = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func orZero(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

func scanInstance(row pgx.CollectableRow) (fleet.Instance, error) {
	var i fleet.Instance
	var r fleet.Report
	var payload, release, applied, ready, healthy, notReady, held, detail []byte
	var readySince, healthySince, heldSince, terminalSince, driftedSince *time.Time
	var reported bool
	err := row.Scan(&i.Cluster, &i.ClusterID, &i.Connected, &i.LastSeen, &i.ConnectedSince, &i.AwaySince, &payload, &i.CreatedAt, &i.PinnedAt, &i.Attempted, &i.Applied,
		&reported, &r.Epoch, &r.Generation, &release, &applied, &r.Stage, &r.Converged, &r.Available, &r.Terminal, &r.Waiting,
		&ready, &healthy, &r.Objects, &r.ObjectsNotReady, &notReady, &held, &r.HandledReconcileAt, &r.ObservedAt,
		&r.DriftCorrections, &detail, &i.ReportedAt, &readySince, &healthySince, &heldSince, &terminalSince, &driftedSince, &i.Version)
	if err != nil {
		return i, err
	}
	i.ReadySince, i.HealthySince, i.HeldSince = orZero(readySince), orZero(healthySince), orZero(heldSince)
	i.TerminalSince, i.DriftedSince = orZero(terminalSince), orZero(driftedSince)
	if i.Assignment, err = fleet.DecodeAssignment(payload); err != nil || !reported {
		return i, err
	}
	r.App, r.Detail = i.Assignment.App, detail
	if r.Release, err = fleet.DigestFromBytes(release); err != nil {
		return i, err
	}
	if r.Applied, err = fleet.DigestFromBytes(applied); err != nil {
		return i, err
	}
	for _, field := range []struct {
		raw  []byte
		into any
	}{{ready, &r.Ready}, {healthy, &r.Healthy}, {notReady, &r.NotReady}, {held, &r.HeldPrune}} {
		if field.raw == nil {
			continue
		}
		if err := json.Unmarshal(field.raw, field.into); err != nil {
			return i, fmt.Errorf("report of %s: %w", r.App, err)
		}
	}
	i.Report = &r
	return i, nil
}
