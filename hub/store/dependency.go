package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// hasDependencies is true of declared Apps, in a query that calls one b, that depend on others; an index has them.
const hasDependencies = `(b.spec ? 'dependsOn' OR b.annotations ? 'fleet.flotilla.dev/depends-on')`

// dependenciesOf are the keys of what b depends on, each with its readyExpr, which is null where there is none. A field
// with nothing behind it is stored as it was given: null.
const dependenciesOf = `LATERAL (
	SELECT b.home || '/' || b.kind || '/' || coalesce(nullif(d ->> 'namespace', ''), b.namespace) || '/' || (d ->> 'name') AS key, nullif(d ->> 'readyExpr', '') AS ready_expr
		FROM jsonb_array_elements(CASE WHEN jsonb_typeof(b.spec -> 'dependsOn') = 'array' THEN b.spec -> 'dependsOn' ELSE '[]' END) d
	UNION ALL SELECT b.home || '/' || btrim(d, E' \t\n\v\f\r'), NULL FROM unnest(string_to_array(b.annotations ->> 'fleet.flotilla.dev/depends-on', ',')) d)`

// appsBesideChanged are the Apps that depend on one that was declared, built or assigned anew since the horizon $1, and
// those that an App declared since then looks at.
const appsBesideChanged = `SELECT b.key FROM object b, ` + dependenciesOf + ` d
	WHERE ` + hasDependencies + ` AND b.deleted_at IS NULL AND (
		EXISTS (SELECT FROM object o WHERE o.key = d.key AND o.written >= $1::text::xid8) OR
		EXISTS (SELECT FROM app a WHERE a.key = d.key AND a.written >= $1::text::xid8) OR
		EXISTS (SELECT FROM assignment a WHERE a.app = d.key AND a.written >= $1::text::xid8))
	UNION SELECT d.key FROM object b, ` + dependenciesOf + ` d
	WHERE ` + hasDependencies + ` AND b.written >= $1::text::xid8 AND d.ready_expr IS NOT NULL`

// isLookedAt is true of the object o when an App's expression looks at it.
const isLookedAt = `EXISTS (SELECT FROM object b, ` + dependenciesOf + ` d
	WHERE ` + hasDependencies + ` AND b.deleted_at IS NULL AND d.key = o.key AND d.ready_expr IS NOT NULL)`

// loadPrerequisites reads what an App of that spec and status waits for, of its dependencies.
func loadPrerequisites(ctx context.Context, tx pgx.Tx, state *rollout.State, app flux.App, dependencies []fleet.Dependency, status fleet.AppStatus) error {
	if len(dependencies) == 0 {
		return nil
	}
	byKey := make(map[string]fleet.Dependency, len(dependencies))
	for _, d := range dependencies {
		byKey[d.App(state.Key.Home).String()] = d
	}
	const query = `SELECT o.key, o.spec, o.generation, coalesce(a.observed_generation, 0), coalesce(a.attempted, ''), coalesce(a.revision, ''),
			a.release, coalesce(a.reason, ''), coalesce(a.message, '')
		FROM object o LEFT JOIN app a ON a.key = o.key WHERE o.key = ANY($1) AND o.deleted_at IS NULL ORDER BY o.key`
	rows, err := tx.Query(ctx, query, slices.Collect(maps.Keys(byKey)))
	if err != nil {
		return explain("read the dependencies", err)
	}
	defer rows.Close()
	index := map[string]int{}
	for rows.Next() {
		var text string
		var declared, release []byte
		var p fleet.Prerequisite
		err := rows.Scan(&text, &declared, &p.Generation, &p.ObservedGeneration, &p.Attempted, &p.Revision, &release, &p.Reason, &p.Message)
		if err != nil {
			return explain("read the dependencies", err)
		}
		if p.App, err = fleet.ParseKey(text); err != nil {
			return err
		}
		on, err := flux.DecodeApp(p.App.Kind, declared)
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		if p.Release, err = fleet.DigestFromBytes(release); err != nil {
			return err
		}
		if p.Suspended = on.Suspended(); !flux.WaitsFor(state.Key, app, byKey[text], on) {
			continue
		}
		index[text] = len(state.App.Prerequisites)
		state.App.Prerequisites = append(state.App.Prerequisites, rollout.Prerequisite{Lacks: p.Lacks(status), Release: p.Release, Rows: map[string]fleet.Digest{}})
	}
	if err := rows.Err(); err != nil {
		return explain("read the dependencies", err)
	}
	return loadPrerequisiteRows(ctx, tx, state.App.Prerequisites, index)
}

func loadPrerequisiteRows(ctx context.Context, tx pgx.Tx, prerequisites []rollout.Prerequisite, index map[string]int) error {
	if len(index) == 0 {
		return nil
	}
	var keys []string
	for key := range index {
		keys = append(keys, key)
	}
	const query = `SELECT app, cluster::text, coalesce(release, '') FROM assignment WHERE app = ANY($1) AND state = 'Active'`
	rows, err := tx.Query(ctx, query, keys)
	if err != nil {
		return explain("read the Assignments of the dependencies", err)
	}
	var app, cluster string
	var raw []byte
	_, err = pgx.ForEachRow(rows, []any{&app, &cluster, &raw}, func() error {
		release, err := fleet.DigestFromBytes(raw)
		prerequisites[index[app]].Rows[cluster] = release
		return err
	})
	return explain("read the Assignments of the dependencies", err)
}

// admitDependencies refuses an App that would wait for itself. The transaction holds placementLock: of two Apps that make
// a cycle, the second sees the first.
func admitDependencies(ctx context.Context, tx pgx.Tx, object *resource.Object) error {
	app, err := resource.App(object)
	if err != nil {
		return err
	}
	own := app.Dependencies(object.Metadata.Namespace, object.Metadata.Annotations)
	if len(own) == 0 {
		return nil
	}
	const query = `SELECT b.key, d.key FROM object b, ` + dependenciesOf + ` d
		WHERE ` + hasDependencies + ` AND b.deleted_at IS NULL AND b.key <> $1`
	rows, err := tx.Query(ctx, query, object.Key().String())
	if err != nil {
		return explain("read the dependencies", err)
	}
	edges := map[string][]string{}
	var from, to string
	_, err = pgx.ForEachRow(rows, []any{&from, &to}, func() error {
		edges[from] = append(edges[from], to)
		return nil
	})
	if err != nil {
		return explain("read the dependencies", err)
	}
	for _, d := range own {
		edges[object.Key().String()] = append(edges[object.Key().String()], d.App(fleet.HubHome).String())
	}
	cycle := cycleFrom(object.Key().String(), edges)
	if cycle == nil {
		return nil
	}
	field := "metadata.annotations[" + flux.DependsOnAnnotation + "]"
	for _, d := range app.Dependencies(object.Metadata.Namespace, nil) {
		if d.App(fleet.HubHome).String() == cycle[1] {
			field = "spec.dependsOn"
		}
	}
	var fields fleet.Fields
	fields.Refuse(field, "each of these would wait for the next, for ever: %s", strings.Join(shownCycle(cycle, object.Kind), " -> "))
	return fmt.Errorf("%s: %w", object, fields.Err())
}

// shownCycle are the keys of a cycle for people: with their kinds, unless all are of the same.
func shownCycle(cycle []string, kind string) []string {
	prefix := fleet.HubHome + "/"
	if own := prefix + kind + "/"; !slices.ContainsFunc(cycle, func(key string) bool { return !strings.HasPrefix(key, own) }) {
		prefix = own
	}
	shown := make([]string, len(cycle))
	for i, key := range cycle {
		shown[i] = strings.TrimPrefix(key, prefix)
	}
	return shown
}

// cycleFrom returns a shortest way from one node back to itself; nil: there is none.
func cycleFrom(start string, edges map[string][]string) []string {
	before := map[string]string{} // on the way from start
	for line := []string{start}; len(line) > 0; line = line[1:] {
		for _, next := range edges[line[0]] {
			if next == start {
				way := []string{start}
				for at := line[0]; at != start; at = before[at] {
					way = append(way, at)
				}
				way = append(way, start)
				slices.Reverse(way)
				return way
			}
			if _, seen := before[next]; !seen {
				before[next] = line[0]
				line = append(line, next)
			}
		}
	}
	return nil
}
