package store

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// placementLock serialises what changes what Placements come to: each must see the changes before it.
const placementLock = 0x706c6163 // "plac"

// isPlacing reports whether what Placements come to follows from declared objects of the kind.
func isPlacing(kind string) bool {
	return slices.Contains([]string{resource.Placement.Name, resource.Kustomization.Name, resource.Cluster.Name}, kind)
}

// placing makes change note what it did to what Placements come to: since when they are ready or not, since when they
// choose the clusters they do, which Apps they let go of, and for watchers, that anything of it changed.
func placing(ctx context.Context, change func(pgx.Tx) error) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, placementLock); err != nil {
			return explain("lock the Placements", err)
		}
		before, err := readPlacements(ctx, tx)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := readPlacements(ctx, tx)
		if err != nil {
			return err
		}
		if err := notePlacements(ctx, tx, before, after); err != nil {
			return err
		}
		return noteUnplaced(ctx, tx, before, after)
	}
}

// placement is a declared Placement and what it comes to.
type placement struct {
	namespace, name string
	apps            []fleet.AppRef
	placed          fleet.Placed
}

// readPlacements works out what every Placement comes to, by "namespace/name".
func readPlacements(ctx context.Context, tx pgx.Tx) (map[string]placement, error) {
	declared, err := declaredApps(ctx, tx)
	if err != nil {
		return nil, err
	}
	clusters, err := listObjects(ctx, tx, resource.Query{Kind: resource.Cluster.Name})
	if err != nil {
		return nil, err
	}
	objects, err := listObjects(ctx, tx, resource.Query{Kind: resource.Placement.Name})
	if err != nil {
		return nil, err
	}
	candidates := resource.Candidates(clusters)
	placements := make(map[string]placement, len(objects))
	for _, o := range objects {
		spec, err := resource.Spec[fleet.Placement](o)
		if err != nil {
			return nil, err
		}
		m := o.Metadata
		placements[m.Namespace+"/"+m.Name] = placement{m.Namespace, m.Name, spec.Apps, spec.Place(candidates, declared[m.Namespace])}
	}
	return placements, nil
}

// declaredApps are the Apps there are, by namespace.
func declaredApps(ctx context.Context, tx pgx.Tx) (map[string]map[fleet.AppRef]bool, error) {
	const query = `SELECT namespace, kind, name FROM object WHERE home = $1 AND kind = $2 AND deleted_at IS NULL`
	rows, err := tx.Query(ctx, query, fleet.HubHome, resource.Kustomization.Name)
	if err != nil {
		return nil, explain("read the declared Apps", err)
	}
	declared := map[string]map[fleet.AppRef]bool{}
	var namespace string
	var app fleet.AppRef
	_, err = pgx.ForEachRow(rows, []any{&namespace, &app.Kind, &app.Name}, func() error {
		if declared[namespace] == nil {
			declared[namespace] = map[fleet.AppRef]bool{}
		}
		declared[namespace][app] = true
		return nil
	})
	return declared, explain("read the declared Apps", err)
}

// notePlacements stores of each Placement what changed.
func notePlacements(ctx context.Context, tx pgx.Tx, before, after map[string]placement) error {
	const upsert = `INSERT INTO placement AS p (namespace, name) VALUES ($1, $2) ON CONFLICT (namespace, name) DO UPDATE SET
		ready_since = CASE WHEN $3 THEN now() ELSE p.ready_since END, matched_since = CASE WHEN $4 THEN now() ELSE p.matched_since END`
	for _, key := range slices.Sorted(maps.Keys(after)) {
		was, had := before[key]
		now := after[key]
		if had && reflect.DeepEqual(was.placed, now.placed) {
			continue
		}
		ready := !had || was.placed.Ready() != now.placed.Ready()
		matched := !had || !slices.Equal(was.placed.Matched, now.placed.Matched)
		if _, err := tx.Exec(ctx, upsert, now.namespace, now.name, ready, matched); err != nil {
			return explain("note what Placement/"+key+" comes to", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, still := after[key]; still {
			continue
		}
		if _, err := tx.Exec(ctx, `DELETE FROM placement WHERE namespace = $1 AND name = $2`, before[key].namespace, before[key].name); err != nil {
			return explain("forget what Placement/"+key+" comes to", err)
		}
	}
	return nil
}

// noteUnplaced stores which Apps no Placement names any more.
func noteUnplaced(ctx context.Context, tx pgx.Tx, before, after map[string]placement) error {
	still := named(after)
	var gone []string
	for app := range named(before) {
		if !still[app] {
			gone = append(gone, app)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	const update = `UPDATE object SET unplaced_at = now() WHERE home || '/' || kind || '/' || namespace || '/' || name = ANY($1) AND deleted_at IS NULL`
	_, err := tx.Exec(ctx, update, gone)
	return explain("note which Apps are not placed", err)
}

// named are the keys of the Apps that Placements name.
func named(placements map[string]placement) map[string]bool {
	apps := map[string]bool{}
	for _, p := range placements {
		for _, app := range p.apps {
			apps[fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: p.namespace, Name: app.Name}.String()] = true
		}
	}
	return apps
}

// PlacementStates returns what is stored of what Placements come to, by "namespace/name".
func (s *Store) PlacementStates(ctx context.Context) (map[string]fleet.PlacementState, error) {
	const query = `SELECT namespace || '/' || name, ready_since, matched_since, written::text::bigint FROM placement`
	rows, err := s.pool.Query(ctx, query)
	if err != nil {
		return nil, explain("read the Placements", err)
	}
	states := map[string]fleet.PlacementState{}
	var key string
	var state fleet.PlacementState
	_, err = pgx.ForEachRow(rows, []any{&key, &state.ReadySince, &state.MatchedSince, &state.Version}, func() error {
		states[key] = state
		return nil
	})
	return states, explain("read the Placements", err)
}
