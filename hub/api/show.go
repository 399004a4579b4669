package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// selection of objects to show.
type selection struct {
	kind      resource.Kind
	namespace string // empty: all
	name      string // empty: all
	// cluster by name, or "*" for all: instances in clusters are meant.
	cluster string
}

// show returns the selected objects with their status, by namespace, name and cluster, and the horizon of the read. An
// object's resourceVersion grows with every change of it or of its status.
func (s *Server) show(ctx context.Context, sel selection) ([]*resource.Object, fleet.Horizon, error) {
	if sel.cluster != "" {
		return s.showInstances(ctx, sel)
	}
	objects, seen, err := s.Store.Objects(ctx, resource.Query{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name})
	if err != nil {
		return nil, 0, err
	}
	switch sel.kind.Name {
	case resource.GitRepository.Name:
		err = s.addSourceStatus(ctx, objects)
	case resource.Kustomization.Name:
		err = s.addAppStatus(ctx, sel, objects)
	case resource.Cluster.Name:
		err = s.addClusterStatus(ctx, objects)
	case resource.Placement.Name:
		err = s.addPlacementStatus(ctx, objects)
	}
	return objects, seen, err
}

func (s *Server) addSourceStatus(ctx context.Context, objects []*resource.Object) error {
	states, err := s.Store.SourceStates(ctx, resource.GitRepository.Name)
	if err != nil {
		return err
	}
	for _, o := range objects {
		state := states[o.Metadata.Namespace+"/"+o.Metadata.Name]
		if err := setStatus(o, statusOfSource(o, state), state.Version); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) addAppStatus(ctx context.Context, sel selection, objects []*resource.Object) error {
	states, err := s.Store.AppStates(ctx)
	if err != nil {
		return err
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name})
	if err != nil {
		return err
	}
	placements, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Placement.Name, Namespace: sel.namespace})
	if err != nil {
		return err
	}
	placed, err := placedApps(placements)
	if err != nil {
		return err
	}
	byApp := instancesByApp(instances)
	for _, o := range objects {
		state := states[o.Key()]
		version := state.Version
		for _, i := range byApp[o.Key()] {
			version = max(version, i.Version)
		}
		_, isPlaced := slices.BinarySearchFunc(placed, o.Key(), fleet.Key.Compare)
		if err := setStatus(o, statusOfApp(o, state, byApp[o.Key()], isPlaced), version); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) addClusterStatus(ctx context.Context, objects []*resource.Object) error {
	states, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return err
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: resource.Kustomization.Name})
	if err != nil {
		return err
	}
	byCluster := map[string][]fleet.Instance{}
	for _, i := range instances {
		byCluster[i.Cluster] = append(byCluster[i.Cluster], i)
	}
	for _, o := range objects {
		state := states[o.Metadata.Name]
		version := state.Version
		for _, i := range byCluster[o.Metadata.Name] {
			version = max(version, i.Version)
		}
		if err := setStatus(o, statusOfCluster(o, state, byCluster[o.Metadata.Name]), version); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) addPlacementStatus(ctx context.Context, objects []*resource.Object) error {
	clusters, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Cluster.Name})
	if err != nil {
		return err
	}
	apps, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Kustomization.Name})
	if err != nil {
		return err
	}
	declared := map[string]map[fleet.AppRef]bool{}
	version := uint64(0)
	for _, app := range apps {
		if declared[app.Metadata.Namespace] == nil {
			declared[app.Metadata.Namespace] = map[fleet.AppRef]bool{}
		}
		declared[app.Metadata.Namespace][fleet.AppRef{Kind: app.Kind, Name: app.Metadata.Name}] = true
	}
	for _, o := range slices.Concat(apps, clusters) {
		version = max(version, versionOf(o))
	}
	for _, o := range objects {
		spec, err := resource.Spec[fleet.Placement](o)
		if err != nil {
			return err
		}
		if err := setStatus(o, statusOfPlacement(o, spec, clusters, declared[o.Metadata.Namespace]), version); err != nil {
			return err
		}
	}
	return nil
}

// showInstances shows Apps in clusters: the declared object, marked with the cluster, with its status there.
func (s *Server) showInstances(ctx context.Context, sel selection) ([]*resource.Object, fleet.Horizon, error) {
	if !sel.kind.App {
		return nil, 0, fmt.Errorf("%s: %w: it has no instances in clusters; Apps have", sel.kind.Name, fleet.ErrInvalid)
	}
	query := fleet.InstanceQuery{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name}
	if sel.cluster != "*" {
		query.Cluster = sel.cluster
		if _, err := s.Store.Object(ctx, resource.Cluster.Name, "", sel.cluster); err != nil {
			return nil, 0, err
		}
	}
	instances, seen, err := s.Store.Instances(ctx, query)
	if err != nil {
		return nil, 0, err
	}
	declared, _, err := s.Store.Objects(ctx, resource.Query{Kind: sel.kind.Name, Namespace: sel.namespace, Name: sel.name})
	if err != nil {
		return nil, 0, err
	}
	byKey := map[fleet.Key]*resource.Object{}
	for _, o := range declared {
		byKey[o.Key()] = o
	}
	shown := make([]*resource.Object, 0, len(instances))
	for _, i := range instances {
		o, err := instanceObject(sel.kind, i, byKey[i.Assignment.App])
		if err != nil {
			return nil, 0, err
		}
		shown = append(shown, o)
	}
	return shown, seen, nil
}

func instanceObject(kind resource.Kind, i fleet.Instance, declared *resource.Object) (*resource.Object, error) {
	key := i.Assignment.App
	o := &resource.Object{APIVersion: kind.APIVersion, Kind: kind.Name}
	o.Metadata.Namespace, o.Metadata.Name = key.Namespace, key.Name
	created := i.CreatedAt
	o.Metadata.CreationTimestamp = &created
	if declared != nil {
		o.Spec, o.Metadata.Labels, o.Metadata.Generation, o.Metadata.UID = declared.Spec, declared.Metadata.Labels, declared.Metadata.Generation, declared.Metadata.UID
	}
	o.Metadata.Annotations = map[string]string{fleet.ClusterAnnotation: i.Cluster}
	return o, setStatus(o, statusOfInstance(i, o.Metadata.Generation), i.Version)
}

// setStatus sets the status and lets the resourceVersion be that of the newest part.
func setStatus(o *resource.Object, status any, version uint64) error {
	raw, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("status of %s: %w", o, err)
	}
	o.Status = raw
	o.Metadata.ResourceVersion = strconv.FormatUint(max(version, versionOf(o)), 10)
	return nil
}

// versionOf is the object's resourceVersion as a number, which the store made.
func versionOf(o *resource.Object) uint64 {
	n, err := strconv.ParseUint(o.Metadata.ResourceVersion, 10, 64)
	if err != nil {
		return 0 // an instance has none until its status is set
	}
	return n
}

// idOf tells an object of a kind from the others shown: "namespace/name" or "namespace/name@cluster".
func idOf(o *resource.Object) string {
	id := o.Metadata.Namespace + "/" + o.Metadata.Name
	if cluster := o.Metadata.Annotations[fleet.ClusterAnnotation]; cluster != "" {
		id += "@" + cluster
	}
	return id
}

// matchLabels keeps the objects that a label selector selects.
func matchLabels(objects []*resource.Object, selector string) ([]*resource.Object, error) {
	parsed, err := fleet.ParseSelector(selector)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(objects, func(o *resource.Object) bool { return !parsed.Matches(o.Metadata.Labels) }), nil
}

func kindOf(name string) (resource.Kind, error) {
	kind, found := resource.KindOf(name)
	if !found {
		var names []string
		for _, k := range resource.Kinds() {
			names = append(names, k.Name)
		}
		return kind, fmt.Errorf("kind %q: %w: it is not supported yet (%s are)", name, fleet.ErrInvalid, strings.Join(names, ", "))
	}
	return kind, nil
}
