package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// settleImpact works out, in the transaction that made a change, what the rollout engine will do because of it, checks
// that against what a person confirmed, and records the confirmation for exactly the tombstones it covers.
func settleImpact(ctx context.Context, tx pgx.Tx, old, object *resource.Object, order fleet.Order) (fleet.Impact, error) {
	apps, err := concernedApps(ctx, tx, old, object)
	if err != nil {
		return fleet.Impact{}, err
	}
	impact := fleet.Impact{EveryCluster: meansEveryCluster(object) && (old == nil || !meansEveryCluster(old))}
	touched, deleting := map[string]bool{}, map[string]bool{}
	var confirmed []instanceID
	for _, app := range apps {
		state, err := loadState(ctx, tx, app)
		if err != nil {
			return fleet.Impact{}, err
		}
		step := rollout.Next(state)
		for _, r := range step.Rollouts {
			if begins := state.Active == nil || state.Active.ID != r.ID; begins && r.Phase.Active() {
				impact.Begins = append(impact.Begins, fleet.BeginningRollout{App: app, Clusters: len(r.Members)})
			}
		}
		if shrinking, shrinks := shrinkingRollout(state, step); shrinks {
			impact.Shrinks = append(impact.Shrinks, shrinking)
		}
		if object.Kind == app.Kind && state.Policy != nil && old != nil {
			more, err := moreThanControls(old, object)
			if err != nil {
				return fleet.Impact{}, err
			}
			if more {
				impact.Policy = state.Policy.Name
			}
		}
		for id := range step.Put {
			touched[id] = true
		}
		loses, err := losing(state, step, old, object)
		if err != nil {
			return fleet.Impact{}, err
		}
		for _, id := range loses {
			deleting[id] = true
			confirmed = append(confirmed, instanceID{cluster: id, app: app})
		}
		if err := lapse(ctx, tx, app, step.Lapse); err != nil {
			return fleet.Impact{}, err
		}
		if impact.EveryCluster {
			for _, cluster := range state.Clusters {
				touched[cluster.ID] = true
			}
		}
	}
	if impact.Users, err = policyUsers(ctx, tx, object); err != nil {
		return fleet.Impact{}, err
	}
	impact.Clusters, impact.Deletes = len(touched), len(deleting)
	if impact.Deletes > 0 && !impact.EveryCluster {
		impact.Clusters = impact.Deletes
	}
	if order.Confirm == nil {
		return impact, nil
	}
	if int(*order.Confirm) != impact.Clusters {
		return impact, fmt.Errorf("%s: %w: %d clusters were confirmed and the change concerns %d: look again", object, fleet.ErrConflict, *order.Confirm, impact.Clusters)
	}
	return impact, confirmTombstones(ctx, tx, confirmed)
}

// shrinkingRollout is what a step of an App takes from its Rollout under way.
func shrinkingRollout(state rollout.State, step rollout.Step) (shrinking fleet.ShrinkingRollout, shrinks bool) {
	if state.Active == nil {
		return shrinking, false
	}
	i := slices.IndexFunc(step.Rollouts, func(r *rollout.Rollout) bool { return r.ID == state.Active.ID })
	if i < 0 {
		return shrinking, false
	}
	counted := func(r *rollout.Rollout) (n int) {
		for _, m := range r.Members {
			if m.Phase != rollout.MemberRemoved {
				n++
			}
		}
		return n
	}
	after, before := step.Rollouts[i], counted(state.Active)
	lost := before - counted(after)
	if after.Phase == rollout.Cancelled || after.Phase.Final() && lost > 0 {
		lost = before
	}
	shrinking = fleet.ShrinkingRollout{ID: after.ID, App: state.Key, Phase: string(state.Active.Phase), Clusters: before, Lost: lost}
	return shrinking, lost > 0
}

// losing are the clusters in which a change of an object has the App's objects deleted, now or once their turn has come. Those
// that wait for that, or are at it, by what was declared before are none: that was there to be confirmed then.
func losing(state rollout.State, step rollout.Step, old, object *resource.Object) ([]string, error) {
	ids := slices.Concat(step.Deletes(), step.Later)
	if len(ids) == 0 {
		return nil, nil
	}
	before, err := beforeChange(state, old, object)
	if err != nil {
		return nil, err
	}
	was, is := before.Unmatched(), state.Unmatched()
	ids = slices.DeleteFunc(ids, func(id string) bool { return was[id] && is[id] })
	slices.Sort(ids)
	return ids, nil
}

// beforeChange is the State, as far as it says which clusters are to have the App, without the change of an object; old is what
// that was, nil: it is new.
func beforeChange(state rollout.State, old, object *resource.Object) (rollout.State, error) {
	name := object.Metadata.Name
	switch object.Kind {
	case state.Key.Kind:
		if old == nil {
			state.App = nil
		}
	case resource.Placement.Name:
		if state.Placement != nil && state.Placement.Name == name {
			state.Placement = nil
		}
		if old == nil {
			return state, nil
		}
		spec, err := resource.Spec[fleet.Placement](old)
		if err != nil {
			return state, err
		}
		was := rollout.Placement{Name: name, Placement: spec}
		state.Former = maps.Clone(state.Former)
		state.Former[name] = was
		if slices.Contains(spec.Apps, fleet.AppRef{Kind: state.Key.Kind, Name: state.Key.Name}) {
			state.Placement = &was
		}
	case resource.Cluster.Name:
		state.Clusters = slices.Clone(state.Clusters)
		i := slices.IndexFunc(state.Clusters, func(c rollout.Cluster) bool { return c.Name == name })
		if i < 0 || old == nil {
			return state, nil
		}
		spec, err := resource.Spec[fleet.Cluster](old)
		if err != nil {
			return state, err
		}
		c := &state.Clusters[i]
		c.Labels, c.Spec, c.Terminating = old.Metadata.Labels, spec, old.Metadata.DeletionTimestamp != nil
	}
	return state, nil
}

// instanceID names an App in a cluster.
type instanceID struct {
	cluster string
	app     fleet.Key
}

// confirmTombstones records that a person confirmed what the next tombstones of instances delete, however long those wait.
func confirmTombstones(ctx context.Context, tx pgx.Tx, instances []instanceID) error {
	const upsert = `INSERT INTO instance_request (cluster, app, confirmed)
			SELECT cluster, app, true FROM unnest($1::uuid[], $2::text[]) AS g (cluster, app) ORDER BY cluster, app
		ON CONFLICT (cluster, app) DO UPDATE SET confirmed = true, at = now()`
	clusters, apps := make([]string, len(instances)), make([]string, len(instances))
	for n, i := range instances {
		clusters[n], apps[n] = i.cluster, i.app.String()
	}
	_, err := tx.Exec(ctx, upsert, clusters, apps)
	return explain("confirm deletions", err)
}

// lapse ends persons' orders and confirmations where a change has the App stay, at once: what another one deletes there before
// the next step needs one of its own.
func lapse(ctx context.Context, tx pgx.Tx, app fleet.Key, clusters []string) error {
	if len(clusters) == 0 {
		return nil
	}
	var batch pgx.Batch
	endOrders(&batch, clusters, app)
	return explain("end the orders of "+app.Words(), tx.SendBatch(ctx, &batch).Close())
}

// concernedApps are the Apps whose Assignments a change of an object may change.
func concernedApps(ctx context.Context, tx pgx.Tx, old, object *resource.Object) ([]fleet.Key, error) {
	switch object.Kind {
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		return []fleet.Key{object.Key()}, nil
	case resource.Placement.Name:
		var apps []fleet.Key
		for _, o := range []*resource.Object{old, object} {
			if o == nil {
				continue
			}
			spec, err := resource.Spec[fleet.Placement](o)
			if err != nil {
				return nil, err
			}
			for _, app := range spec.Apps {
				key := fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: o.Metadata.Namespace, Name: app.Name}
				if !slices.Contains(apps, key) {
					apps = append(apps, key)
				}
			}
		}
		return apps, nil
	case resource.Cluster.Name:
		const query = `SELECT app FROM assignment WHERE cluster = (SELECT id FROM cluster WHERE name = $1)
			UNION SELECT r.app FROM rollout r JOIN rollout_member m ON m.rollout = r.id WHERE r.phase IN ` + activePhases + ` AND m.name = $1`
		rows, err := tx.Query(ctx, query, object.Metadata.Name)
		if err != nil {
			return nil, explain("find the Apps of "+object.String(), err)
		}
		apps, err := pgx.CollectRows(rows, scanKey)
		return apps, explain("find the Apps of "+object.String(), err)
	}
	return nil, nil
}

// moreThanControls reports whether a change of an App is of fields that a new Release may come of.
func moreThanControls(old, object *resource.Object) (bool, error) {
	fields := flux.KustomizationFields
	if object.Kind == flux.HelmReleaseKind {
		fields = flux.HelmReleaseFields
	}
	specs := [2]map[string]json.RawMessage{}
	for i, o := range []*resource.Object{old, object} {
		if err := json.Unmarshal(o.Spec, &specs[i]); err != nil {
			return false, fmt.Errorf("%s: spec: %w", o, err)
		}
		for _, f := range fields {
			if f.Place == flux.Control {
				delete(specs[i], f.Path)
			}
		}
	}
	return !maps.EqualFunc(specs[0], specs[1], func(a, b json.RawMessage) bool { return string(a) == string(b) }), nil
}

// policyUsers are the Apps that a RolloutPolicy is for. What it means for each is not worked out: a Rollout under way goes on
// as it began, and the Apps of a fleet may be many.
func policyUsers(ctx context.Context, tx pgx.Tx, object *resource.Object) ([]string, error) {
	if object.Kind != resource.RolloutPolicy.Name {
		return nil, nil
	}
	placements, err := listObjects(ctx, tx, resource.Query{Kind: resource.Placement.Name})
	if err != nil {
		return nil, err
	}
	var users []string
	for _, p := range placements {
		spec, err := resource.Spec[fleet.Placement](p)
		if err != nil {
			return nil, err
		}
		if spec.RolloutPolicyRef == nil || spec.RolloutPolicyRef.Name != object.Metadata.Name {
			continue
		}
		for _, app := range spec.Apps {
			users = append(users, app.Kind+"/"+p.Metadata.Namespace+"/"+app.Name)
		}
	}
	return users, nil
}

func meansEveryCluster(object *resource.Object) bool {
	if object.Kind != resource.Placement.Name {
		return false
	}
	spec, err := resource.Spec[fleet.Placement](object)
	return err == nil && spec.Clusters.EveryCluster()
}
