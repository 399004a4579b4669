package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

// selection of objects to show.
type selection struct {
	kind      resource.Kind
	namespace string // empty: all
	name      string // empty: all
	// cluster by name, or everyCluster: instances in clusters are meant.
	cluster string
	// after is the id of the instance before the first, and limit how many there are at most; zero: all of them.
	after string
	limit int
}

// everyCluster stands for the name of each.
const everyCluster = "*"

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
	case resource.Kustomization.Name, resource.HelmRelease.Name:
		err = s.addAppStatus(ctx, sel, objects)
	case resource.Receiver.Name:
		err = s.addReceiverStatus(ctx, sel, objects)
	case resource.Cluster.Name:
		err = s.addClusterStatus(ctx, objects)
	case resource.Placement.Name:
		err = s.addPlacementStatus(ctx, objects)
	case resource.RolloutPolicy.Name:
		err = s.addPolicyStatus(ctx, objects)
	}
	if sel.kind.Category == resource.Sources {
		err = s.addSourceStatus(ctx, sel.kind, objects)
	}
	return objects, seen, err
}

func (s *Server) addSourceStatus(ctx context.Context, kind resource.Kind, objects []*resource.Object) error {
	states, err := s.Store.SourceStates(ctx, kind.Name)
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

func (s *Server) addReceiverStatus(ctx context.Context, sel selection, objects []*resource.Object) error {
	states, err := s.Store.ReceiverStates(ctx, sel.namespace, sel.name)
	if err != nil {
		return err
	}
	for _, o := range objects {
		spec, err := resource.Spec[flux.Receiver](o)
		if err != nil {
			return err
		}
		state := states[o.Metadata.Namespace+"/"+o.Metadata.Name]
		if err := setStatus(o, statusOfReceiver(o, spec, state), state.Version); err != nil {
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
	var query fleet.InstanceQuery
	instances, _, err := s.Store.Instances(ctx, query)
	if err != nil {
		return err
	}
	gone, err := s.Store.GoneInstances(ctx, query)
	if err != nil {
		return err
	}
	frozen, err := s.Store.Frozen(ctx)
	if err != nil {
		return err
	}
	byCluster, versions := map[string][]fleet.Instance{}, map[string]uint64{}
	for _, i := range instances {
		byCluster[i.Cluster] = append(byCluster[i.Cluster], i)
		versions[i.Cluster] = max(versions[i.Cluster], i.Version)
	}
	for _, g := range gone {
		versions[g.Cluster] = max(versions[g.Cluster], g.Version)
	}
	held := make(map[string]*rollout.Freeze, len(frozen.Clusters))
	for i := range frozen.Clusters {
		held[frozen.Clusters[i].Cluster] = &frozen.Clusters[i]
	}
	for _, o := range objects {
		name := o.Metadata.Name
		if err := setStatus(o, statusOfCluster(o, states[name], byCluster[name], frozen.Fleet, held[name]), max(states[name].Version, versions[name], frozen.Version)); err != nil {
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
	apps, err := s.appObjects(ctx)
	if err != nil {
		return err
	}
	states, err := s.Store.PlacementStates(ctx)
	if err != nil {
		return err
	}
	declared := map[string]map[fleet.AppRef]bool{}
	for _, app := range apps {
		if declared[app.Metadata.Namespace] == nil {
			declared[app.Metadata.Namespace] = map[fleet.AppRef]bool{}
		}
		declared[app.Metadata.Namespace][fleet.AppRef{Kind: app.Kind, Name: app.Metadata.Name}] = true
	}
	candidates, err := resource.Candidates(clusters)
	if err != nil {
		return err
	}
	policies, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.RolloutPolicy.Name})
	if err != nil {
		return err
	}
	known := resource.Names(policies)
	for _, o := range objects {
		spec, err := resource.Spec[fleet.Placement](o)
		if err != nil {
			return err
		}
		state := states[o.Metadata.Namespace+"/"+o.Metadata.Name]
		placed := spec.Place(candidates, declared[o.Metadata.Namespace], known)
		if err := setStatus(o, statusOfPlacement(o, spec, placed, state), state.Version); err != nil {
			return err
		}
	}
	return nil
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
