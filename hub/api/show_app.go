package api

import (
	"context"
	"fmt"
	"strings"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

func (s *Server) addAppStatus(ctx context.Context, sel selection, objects []*resource.Object) error {
	states, err := s.Store.AppStates(ctx)
	if err != nil {
		return err
	}
	query := fleet.InstanceQuery{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name, Detail: true, Brief: true}
	instances, _, err := s.Store.Instances(ctx, query)
	if err != nil {
		return err
	}
	gone, err := s.Store.GoneInstances(ctx, query)
	if err != nil {
		return err
	}
	placements, err := s.placements(ctx, sel.namespace)
	if err != nil {
		return err
	}
	prerequisites, err := s.prerequisites(ctx, objects, states)
	if err != nil {
		return err
	}
	standings, err := s.standings(ctx, sel.namespace)
	if err != nil {
		return err
	}
	held, heldVersion, err := s.held(ctx)
	if err != nil {
		return err
	}
	underPolicy, err := s.policiesOf(ctx, placements)
	if err != nil {
		return err
	}
	byApp, versions := map[fleet.Key][]fleet.Instance{}, map[fleet.Key]uint64{}
	for _, i := range instances {
		byApp[i.Assignment.App] = append(byApp[i.Assignment.App], i)
		versions[i.Assignment.App] = max(versions[i.Assignment.App], i.Version)
	}
	for _, g := range gone {
		versions[g.App] = max(versions[g.App], g.Version)
	}
	for _, o := range objects {
		state, version := states[o.Key()], versions[o.Key()]
		var placed *placedOn
		if p, isPlaced := placements[o.Key()]; isPlaced {
			placed, version = &p.placedOn, max(version, p.version, heldVersion)
			placed.held = held
			if standing, managed := standings[o.Key()]; managed {
				placed.standing, version = &standing, max(version, standing.Version)
			}
			version = max(version, underPolicy.leaveOut(&p, state, byApp[o.Key()]))
		}
		p := prerequisites[o.Key()]
		if err := setStatus(o, statusOfApp(o, state, byApp[o.Key()], placed, p.lacks), max(version, state.Version, p.version)); err != nil {
			return err
		}
	}
	return nil
}

// standings are where the Apps of a namespace (empty: of all) stand that a RolloutPolicy is for.
func (s *Server) standings(ctx context.Context, namespace string) (map[fleet.Key]standingOf, error) {
	found, err := s.Store.Standings(ctx, namespace)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	var named []fleet.Digest
	for _, standing := range found {
		named = append(append(named, standing.Stable), standing.Kept...)
		for _, r := range []*rollout.Rollout{standing.Rollout, standing.Queued} {
			if r != nil {
				named = append(named, r.Target)
			}
		}
	}
	revisions, err := s.Store.ReleaseRevisions(ctx, named)
	if err != nil {
		return nil, err
	}
	standings := make(map[fleet.Key]standingOf, len(found))
	for key, standing := range found {
		standings[key] = standingOf{standing, revisions}
	}
	return standings, nil
}

// held says of clusters by name why nothing new goes there, and the version of that.
func (s *Server) held(ctx context.Context) (map[string]string, uint64, error) {
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return nil, 0, err
	}
	held := make(map[string]string, len(frozen.Clusters))
	if frozen.Fleet != nil {
		statuses, err := s.Store.ClusterStatuses(ctx)
		if err != nil {
			return nil, 0, err
		}
		for name := range statuses {
			held[name] = "the fleet is frozen: " + frozen.Fleet.Reason
		}
	}
	for _, f := range frozen.Clusters {
		held[f.Cluster] = f.Reason
	}
	return held, frozen.Version, nil
}

// placedApp is where an App is placed, of which clusters there are, and the versions of that and of those.
type placedApp struct {
	placedOn
	candidates        []fleet.Candidate
	version           uint64
	candidatesVersion uint64
}

// placements are where the Apps of a namespace (empty: of all) are placed.
func (s *Server) placements(ctx context.Context, namespace string) (map[fleet.Key]placedApp, error) {
	objects, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Placement.Name, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	clusters, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Cluster.Name})
	if err != nil {
		return nil, err
	}
	states, err := s.Store.PlacementStates(ctx)
	if err != nil {
		return nil, err
	}
	candidates, err := resource.Candidates(clusters)
	if err != nil {
		return nil, err
	}
	candidatesVersion := uint64(0)
	for _, o := range clusters {
		candidatesVersion = max(candidatesVersion, versionOf(o))
	}
	apps := map[fleet.Key]placedApp{}
	for _, o := range objects {
		spec, err := resource.Spec[fleet.Placement](o)
		if err != nil {
			return nil, err
		}
		m := o.Metadata
		state := states[m.Namespace+"/"+m.Name]
		on := spec.Place(candidates, nil, nil)
		placed := placedOn{clusters: on.Matched, staying: on.Staying, since: latest(*m.CreationTimestamp, state.MatchedSince)}
		if spec.RolloutPolicyRef != nil {
			placed.policy = spec.RolloutPolicyRef.Name
		}
		for _, app := range spec.Apps {
			key := fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: m.Namespace, Name: app.Name}
			apps[key] = placedApp{placed, candidates, max(state.Version, versionOf(o)), candidatesVersion}
		}
	}
	return apps, nil
}

// showInstances shows Apps in clusters: the declared object, marked with the cluster, with its status there.
func (s *Server) showInstances(ctx context.Context, sel selection) ([]*resource.Object, fleet.Horizon, error) {
	if !sel.kind.App {
		return nil, 0, fmt.Errorf("%s: %w: it has no instances in clusters; Apps have", sel.kind.Name, fleet.ErrInvalid)
	}
	instances, seen, err := s.Store.Instances(ctx, sel.instances())
	if err != nil {
		return nil, 0, err
	}
	declared, _, err := s.Store.Objects(ctx, resource.Query{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name})
	if err != nil {
		return nil, 0, err
	}
	states, err := s.Store.AppStates(ctx)
	if err != nil {
		return nil, 0, err
	}
	byKey := map[fleet.Key]*resource.Object{}
	for _, o := range declared {
		byKey[o.Key()] = o
	}
	shown := make([]*resource.Object, 0, len(instances))
	for _, i := range instances {
		o, err := instanceObject(sel.kind, i, byKey[i.Assignment.App], states[i.Assignment.App])
		if err != nil {
			return nil, 0, err
		}
		shown = append(shown, o)
	}
	return shown, seen, nil
}

// instances selects what a selection means of Apps in clusters.
func (s selection) instances() fleet.InstanceQuery {
	query := fleet.InstanceQuery{Kind: s.kind.Name, Namespace: s.namespace, Name: s.name, Detail: true}
	if s.cluster != everyCluster {
		query.Cluster = s.cluster
	}
	if query.Limit = s.limit; s.after != "" {
		id, cluster, _ := strings.Cut(s.after, "@")
		namespace, name, _ := strings.Cut(id, "/")
		query.After, query.AfterThere = fleet.Key{Home: fleet.HubHome, Kind: s.kind.Name, Namespace: namespace, Name: name}, cluster
	}
	return query
}

func instanceObject(kind resource.Kind, i fleet.Instance, declared *resource.Object, state fleet.AppState) (*resource.Object, error) {
	o := bareInstance(kind, i.Assignment.App, i.Cluster)
	created := i.CreatedAt
	o.Metadata.CreationTimestamp = &created
	version := i.Version
	if declared != nil {
		o.Spec, o.Metadata.Labels, o.Metadata.Generation, o.Metadata.UID = declared.Spec, declared.Metadata.Labels, declared.Metadata.Generation, declared.Metadata.UID
		version = max(version, versionOf(declared))
	}
	observed, err := observedIn(i, declared, state)
	if err != nil {
		return nil, err
	}
	return o, setStatus(o, statusOfInstance(i, observed), version)
}

// bareInstance names an App in a cluster.
func bareInstance(kind resource.Kind, app fleet.Key, cluster string) *resource.Object {
	o := &resource.Object{APIVersion: kind.APIVersion, Kind: kind.Name}
	o.Metadata.Namespace, o.Metadata.Name = app.Namespace, app.Name
	o.Metadata.Annotations = map[string]string{fleet.ClusterAnnotation: cluster}
	return o
}
