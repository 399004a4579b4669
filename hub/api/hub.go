package api

import (
	"context"
	"encoding/json"
	"maps"
	"runtime"
	"slices"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// hub is about the hub as a whole.
type hub struct {
	adminv1.UnimplementedHubServiceServer
	*Server
}

// Version says what the hub is.
func (s *hub) Version(ctx context.Context, _ *adminv1.VersionRequest) (*adminv1.VersionResponse, error) {
	statuses, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.VersionResponse{Version: s.Config.Version, GoVersion: runtime.Version(), Schema: uint32(s.Schema), Spokes: map[string]uint32{}}
	for _, c := range statuses {
		if c.Facts.SpokeVersion != "" {
			resp.Spokes[c.Facts.SpokeVersion]++
		}
	}
	return resp, nil
}

// Status is the fleet on one screen.
func (s *hub) Status(ctx context.Context, _ *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	resp := &adminv1.StatusResponse{HubVersion: s.Config.Version}
	var resting []*adminv1.Trouble
	for _, part := range []struct {
		kinds  []resource.Kind
		counts **adminv1.Counts
	}{{[]resource.Kind{resource.Cluster}, &resp.Clusters}, {resource.FindKinds(resource.Sources), &resp.Sources}, {resource.AppKinds(), &resp.Apps}} {
		var all []*resource.Object
		for _, kind := range part.kinds {
			objects, _, err := s.show(ctx, selection{kind: kind})
			if err != nil {
				return nil, err
			}
			objects = slices.DeleteFunc(objects, isStatic) // of which there is nothing to say
			all = append(all, objects...)
			if kind.Category == resource.Sources {
				resp.Troubles = append(resp.Troubles, notReady(objects)...)
			}
			if kind.App {
				resting = append(resting, atRest(objects)...)
			}
		}
		var err error
		if *part.counts, err = countReady(all); err != nil {
			return nil, err
		}
	}
	for _, kind := range []resource.Kind{resource.Receiver, resource.Placement} {
		objects, _, err := s.show(ctx, selection{kind: kind})
		if err != nil {
			return nil, err
		}
		resp.Troubles = append(resp.Troubles, notReady(objects)...)
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{})
	if err != nil {
		return nil, err
	}
	troubles, err := s.troubles(ctx, instances)
	if err != nil {
		return nil, err
	}
	resp.Troubles, resp.Held = append(append(resp.Troubles, resting...), troubles...), held(instances)
	statuses, err := s.Store.ClusterStatuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		if statuses[name].SafeMode != "" {
			resp.SafeMode = append(resp.SafeMode, name)
		}
	}
	return resp, nil
}

// atRest are the Apps whose Rollouts do nothing more for their newest Release until somebody acts.
func atRest(apps []*resource.Object) []*adminv1.Trouble {
	var troubles []*adminv1.Trouble
	for _, o := range apps {
		if c := conditionOf(o, stalled); c.Status == fleet.True && isRest(c.Reason) {
			troubles = append(troubles, &adminv1.Trouble{Object: o.String(), Message: c.Message})
		}
	}
	return troubles
}

// notReady are the objects that cannot be what they should.
func notReady(objects []*resource.Object) []*adminv1.Trouble {
	var troubles []*adminv1.Trouble
	for _, o := range objects {
		if c := readyCondition(o); c.Status == fleet.False {
			troubles = append(troubles, &adminv1.Trouble{Object: o.String(), Message: c.Message})
		}
	}
	return troubles
}

func readyCondition(o *resource.Object) condition { return conditionOf(o, ready) }

// conditionOf is the condition of that type; one that is not there is Unknown.
func conditionOf(o *resource.Object, kind string) condition {
	var status struct {
		Conditions []condition `json:"conditions"`
	}
	if err := json.Unmarshal(o.Status, &status); err == nil {
		for _, c := range status.Conditions {
			if c.Type == kind {
				return c
			}
		}
	}
	return condition{Status: fleet.Unknown}
}

// idle are the reasons of what is neither ready nor failed, and not under way either.
var idle = []string{fleet.ReasonUnreachable, fleet.ReasonSuspended, reasonNotEnrolled, reasonNotPlaced, reasonNoClusters}

func countReady(objects []*resource.Object) (*adminv1.Counts, error) {
	counts := &adminv1.Counts{Total: uint32(len(objects))}
	for _, o := range objects {
		spec, err := resource.Spec[struct {
			Suspend bool `json:"suspend"`
		}](o)
		if err != nil && len(o.Spec) > 0 {
			return nil, err
		}
		if spec.Suspend {
			counts.Suspended++
		}
		switch c := readyCondition(o); {
		case c.Status == fleet.True:
			counts.Ready++
		case c.Status == fleet.False:
			counts.Failed++
		case slices.Contains(idle, c.Reason):
			counts.Unknown++
		default:
			counts.Progressing++
		}
	}
	return counts, nil
}

// troubles are the Apps that are not ready, the same trouble in several clusters being one; most clusters first.
func (s *hub) troubles(ctx context.Context, instances []fleet.Instance) ([]*adminv1.Trouble, error) {
	apps, err := s.Store.AppStates(ctx)
	if err != nil {
		return nil, err
	}
	var troubles []*adminv1.Trouble
	for _, key := range slices.SortedFunc(maps.Keys(apps), fleet.Key.Compare) {
		if apps[key].Reason != "" {
			troubles = append(troubles, &adminv1.Trouble{Object: key.Words(), Message: apps[key].Message})
		}
	}
	var inClusters gathered
	for _, i := range instances {
		if c := readyOf(i); c.Status == fleet.False {
			inClusters.add(i, c.Message)
		}
	}
	troubles = append(troubles, inClusters.troubles...)
	mostClustersFirst(troubles)
	return troubles, nil
}

// held are the deletions that the prune guard holds, the same of an App in several clusters being one.
func held(instances []fleet.Instance) []*adminv1.Trouble {
	var held gathered
	for _, i := range instances {
		if i.Report != nil && i.Report.HeldPrune != nil {
			held.add(i, plural(i.Report.HeldPrune.Count, "deletion")+": "+i.Report.HeldPrune.Reason)
		}
	}
	mostClustersFirst(held.troubles)
	return held.troubles
}

// gathered are troubles of instances, the same of an App in several clusters being one.
type gathered struct {
	troubles []*adminv1.Trouble
	of       map[string]*adminv1.Trouble // by App and trouble
}

func (g *gathered) add(i fleet.Instance, message string) {
	app := i.Assignment.App.Words()
	id := app + " " + troubleIn(message)
	if g.of[id] == nil {
		if g.of == nil {
			g.of = map[string]*adminv1.Trouble{}
		}
		g.of[id] = &adminv1.Trouble{Object: app, Message: message}
		g.troubles = append(g.troubles, g.of[id])
	}
	g.of[id].Clusters = append(g.of[id].Clusters, i.Cluster)
}

func mostClustersFirst(troubles []*adminv1.Trouble) {
	slices.SortStableFunc(troubles, func(a, b *adminv1.Trouble) int { return len(b.GetClusters()) - len(a.GetClusters()) })
}
