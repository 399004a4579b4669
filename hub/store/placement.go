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

// concern is which Placements a change may make come to something else; nil: none.
type concern struct {
	// namespace and name of the only one; empty: any.
	namespace, name string
	// app is what the only one names, and policy the RolloutPolicy that it names; zero: anything.
	app    fleet.AppRef
	policy string
}

// anyPlacement is the concern of a Cluster.
var anyPlacement = &concern{}

// concernOf is that of a declared object.
func concernOf(kind, namespace, name string) *concern {
	switch kind {
	case resource.Placement.Name:
		return &concern{namespace: namespace, name: name}
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		return &concern{namespace: namespace, app: fleet.AppRef{Kind: kind, Name: name}}
	case resource.RolloutPolicy.Name:
		return &concern{policy: name}
	case resource.Cluster.Name:
		return anyPlacement
	}
	return nil
}

// noting makes change note what it did to what Placements come to: since when they are ready or not, since when they
// choose the clusters they do, which Apps they let go of, and for watchers, that anything of it changed.
func (c concern) noting(ctx context.Context, change func(pgx.Tx) error) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, placementLock); err != nil {
			return explain("lock the Placements", err)
		}
		before, err := c.read(ctx, tx)
		if err != nil {
			return err
		}
		if err := change(tx); err != nil {
			return err
		}
		after, err := c.read(ctx, tx)
		if err != nil {
			return err
		}
		if err := c.note(ctx, tx, before, after); err != nil {
			return err
		}
		return noteUnplaced(ctx, tx, before, after)
	}
}

// placing is all that Placements follow from, and the ones of a concern.
type placing struct {
	clusters   []fleet.Candidate                // all
	declared   map[string]map[fleet.AppRef]bool // Apps, by namespace
	policies   map[string]bool                  // RolloutPolicies
	placements map[string]placement             // by "namespace/name"
}

// placement is a declared Placement.
type placement struct {
	namespace, name string
	spec            fleet.Placement
}

func (c concern) read(ctx context.Context, tx pgx.Tx) (p placing, err error) {
	clusters, err := listObjects(ctx, tx, resource.Query{Kind: resource.Cluster.Name})
	if err != nil {
		return p, err
	}
	if p.clusters, err = resource.Candidates(clusters); err != nil {
		return p, err
	}
	if p.declared, err = declaredApps(ctx, tx, c.namespace); err != nil {
		return p, err
	}
	policies, err := listObjects(ctx, tx, resource.Query{Kind: resource.RolloutPolicy.Name})
	if err != nil {
		return p, err
	}
	p.policies = resource.Names(policies)
	objects, err := listObjects(ctx, tx, resource.Query{Kind: resource.Placement.Name, Namespace: c.namespace, Name: c.name})
	if err != nil {
		return p, err
	}
	p.placements = make(map[string]placement, len(objects))
	for _, o := range objects {
		spec, err := resource.Spec[fleet.Placement](o)
		if err != nil {
			return p, err
		}
		named := spec.RolloutPolicyRef != nil && spec.RolloutPolicyRef.Name == c.policy
		if (c.app == (fleet.AppRef{}) || slices.Contains(spec.Apps, c.app)) && (c.policy == "" || named) {
			m := o.Metadata
			p.placements[m.Namespace+"/"+m.Name] = placement{m.Namespace, m.Name, spec}
		}
	}
	return p, nil
}

// declaredApps are the Apps there are in a namespace (empty: in any), by namespace.
func declaredApps(ctx context.Context, tx pgx.Tx, within string) (map[string]map[fleet.AppRef]bool, error) {
	const query = `SELECT o.namespace, o.kind, o.name FROM object o
		WHERE o.home = $1 AND ` + isApp + ` AND ($2 = '' OR o.namespace = $2) AND o.deleted_at IS NULL`
	rows, err := tx.Query(ctx, query, fleet.HubHome, within)
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

// note stores of each Placement what changed.
func (c concern) note(ctx context.Context, tx pgx.Tx, before, after placing) error {
	const upsert = `INSERT INTO placement AS p (namespace, name) VALUES ($1, $2) ON CONFLICT (namespace, name) DO UPDATE SET
		ready_since = CASE WHEN $3 THEN now() ELSE p.ready_since END, matched_since = CASE WHEN $4 THEN now() ELSE p.matched_since END`
	changed := differing(before.clusters, after.clusters)
	for _, key := range slices.Sorted(maps.Keys(after.placements)) {
		now := after.placements[key]
		if c == *anyPlacement && !now.looksAt(changed) {
			continue // as most: to work out every Placement for every changed Cluster would take too long
		}
		_, had := before.placements[key]
		was, is := before.of(key), after.of(key)
		if had && reflect.DeepEqual(was, is) {
			continue
		}
		ready := !had || was.Ready() != is.Ready()
		matched := !had || !slices.Equal(was.Matched, is.Matched)
		if _, err := tx.Exec(ctx, upsert, now.namespace, now.name, ready, matched); err != nil {
			return explain("note what Placement/"+key+" comes to", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before.placements)) {
		if _, still := after.placements[key]; still {
			continue
		}
		gone := before.placements[key]
		if _, err := tx.Exec(ctx, `DELETE FROM placement WHERE namespace = $1 AND name = $2`, gone.namespace, gone.name); err != nil {
			return explain("forget what Placement/"+key+" comes to", err)
		}
	}
	return nil
}

// of works out what a Placement comes to.
func (p placing) of(key string) fleet.Placed {
	placement := p.placements[key]
	return placement.spec.Place(p.clusters, p.declared[placement.namespace], p.policies)
}

// looksAt reports whether the Placement chooses one of the clusters, or would.
func (p placement) looksAt(clusters []fleet.Candidate) bool {
	chosen := p.spec.Clusters.Matcher()
	return slices.ContainsFunc(clusters, func(c fleet.Candidate) bool { return chosen(c.Name, c.Labels) })
}

// differing are the Clusters of a and b that are not the same in the other.
func differing(a, b []fleet.Candidate) []fleet.Candidate {
	var found []fleet.Candidate
	for _, sides := range [2][2][]fleet.Candidate{{a, b}, {b, a}} {
		there := make(map[string]fleet.Candidate, len(sides[1]))
		for _, c := range sides[1] {
			there[c.Name] = c
		}
		for _, c := range sides[0] {
			if other, both := there[c.Name]; !both || c.Terminating != other.Terminating || !maps.Equal(c.Labels, other.Labels) || !slices.Equal(c.Taints, other.Taints) {
				found = append(found, c)
			}
		}
	}
	return found
}

// noteUnplaced stores which Apps no Placement names any more.
func noteUnplaced(ctx context.Context, tx pgx.Tx, before, after placing) error {
	still := after.named()
	var gone []string
	for app := range before.named() {
		if !still[app] {
			gone = append(gone, app)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	const update = `UPDATE object SET unplaced_at = now() WHERE key = ANY($1) AND deleted_at IS NULL`
	_, err := tx.Exec(ctx, update, gone)
	return explain("note which Apps are not placed", err)
}

// named are the keys of the Apps that the Placements name.
func (p placing) named() map[string]bool {
	apps := map[string]bool{}
	for _, placement := range p.placements {
		for _, app := range placement.spec.Apps {
			apps[fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: placement.namespace, Name: app.Name}.String()] = true
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
