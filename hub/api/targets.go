package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// ListTargets returns a page of every cluster there is, and whether, and why, the Apps of a Placement are for it.
func (s *rollouts) ListTargets(ctx context.Context, req *adminv1.ListTargetsRequest) (*adminv1.ListTargetsResponse, error) {
	limit, err := pageSize(req.GetPageSize(), unlimited, unlimited)
	if err != nil {
		return nil, err
	}
	look, err := s.lookFor(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, look); err != nil {
		return nil, err
	}
	resp := &adminv1.ListTargetsResponse{}
	after := req.GetPageToken()
	if after == "" {
		resp.MissingApps, resp.MissingClusters = look.missing()
	}
	taken := page{limit: limit, size: proto.Size(resp)}
	for i, cluster := range look.candidates {
		if after != "" && cluster.Name <= after {
			continue
		}
		target := look.target(cluster)
		if !taken.takes(proto.Size(target)) {
			resp.NextPageToken = look.candidates[i-1].Name
			break
		}
		resp.Targets = append(resp.Targets, target)
	}
	return resp, nil
}

// missing are the Apps of those asked about that are not declared, and the names that no cluster has.
func (t *targets) missing() (apps, clusters []string) {
	declared := map[fleet.AppRef]bool{}
	for app := range t.declared {
		declared[app] = true
	}
	placed := t.spec.Place(t.candidates, declared, nil)
	for _, app := range placed.MissingApps {
		if slices.Contains(t.apps, app) {
			apps = append(apps, app.Kind+"/"+t.namespace+"/"+app.Name)
		}
	}
	return apps, placed.MissingClusters
}

// targets is what is looked at to say whom a Placement is for.
type targets struct {
	// name of the Placement; empty: none names the App.
	namespace, name string
	spec            fleet.Placement
	// apps are those that are asked about.
	apps []fleet.AppRef

	candidates []fleet.Candidate // by name
	statuses   map[string]fleet.ClusterStatus
	specs      map[string]fleet.Cluster
	held       map[string]string
	declared   map[fleet.AppRef]*resource.Object
	// there are the Apps' Assignments that are not tombstones, by App and cluster.
	there map[fleet.AppRef]map[string]fleet.Assignment
	// waves of the Apps' clusters, by App and cluster id.
	waves map[fleet.AppRef]map[string]string
}

// lookFor finds the Placement that a request is about: given, stored, or that of an App.
func (s *rollouts) lookFor(ctx context.Context, req *adminv1.ListTargetsRequest) (*targets, error) {
	if len(req.GetPlacement()) > 0 {
		return givenPlacement(req)
	}
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	var fields fleet.Fields
	if !kind.App && kind.Name != resource.Placement.Name {
		fields.Refuse("kind", "%s is neither an App nor a Placement", kind.Name)
	}
	fields.Require("namespace", req.GetNamespace())
	fields.Require("name", req.GetName())
	if err := fields.Err(); err != nil {
		return nil, err
	}
	object, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	look := &targets{namespace: object.Metadata.Namespace}
	if !kind.App {
		look.name = object.Metadata.Name
		look.spec, err = resource.Spec[fleet.Placement](object)
		look.apps = look.spec.Apps
		return look, err
	}
	app := fleet.AppRef{Kind: kind.Name, Name: object.Metadata.Name}
	look.apps = []fleet.AppRef{app}
	placements, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Placement.Name, Namespace: look.namespace})
	if err != nil {
		return nil, err
	}
	for _, p := range placements {
		spec, err := resource.Spec[fleet.Placement](p)
		if err != nil {
			return nil, err
		}
		if slices.Contains(spec.Apps, app) {
			look.name, look.spec = p.Metadata.Name, spec
		}
	}
	return look, nil
}

// givenPlacement reads a Placement as it would be declared.
func givenPlacement(req *adminv1.ListTargetsRequest) (*targets, error) {
	object, err := resource.Decode(req.GetPlacement())
	if err != nil {
		return nil, err
	}
	if object.Kind != resource.Placement.Name {
		return nil, invalid("placement", "%s is no Placement", object)
	}
	m := object.Metadata
	for _, given := range []struct{ field, value, its string }{
		{"kind", req.GetKind(), object.Kind}, {"namespace", req.GetNamespace(), m.Namespace}, {"name", req.GetName(), m.Name},
	} {
		if given.value != "" && given.value != given.its {
			return nil, invalid(given.field, "is %q, and that of the given Placement is %q", given.value, given.its)
		}
	}
	if err := checkPatches(object); err != nil {
		return nil, err
	}
	spec, err := resource.Spec[fleet.Placement](object)
	return &targets{namespace: m.Namespace, name: m.Name, spec: spec, apps: spec.Apps}, err
}

// fill reads what there is in the fleet.
func (s *rollouts) fill(ctx context.Context, look *targets) error {
	for _, read := range []func(context.Context, *targets) error{s.fillClusters, s.fillApps, s.fillWaves} {
		if err := read(ctx, look); err != nil {
			return err
		}
	}
	return nil
}

func (s *rollouts) fillClusters(ctx context.Context, look *targets) error {
	clusters, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Cluster.Name})
	if err != nil {
		return err
	}
	if look.candidates, err = resource.Candidates(clusters); err != nil {
		return err
	}
	slices.SortFunc(look.candidates, func(a, b fleet.Candidate) int { return strings.Compare(a.Name, b.Name) })
	if look.held, _, err = s.Server.held(ctx); err != nil {
		return err
	}
	look.specs = map[string]fleet.Cluster{}
	for _, c := range clusters {
		name := c.Metadata.Name
		if look.specs[name], err = resource.Spec[fleet.Cluster](c); err != nil && len(c.Spec) > 0 {
			return err
		}
	}
	look.statuses, err = s.Store.ClusterStatuses(ctx)
	return err
}

func (s *rollouts) fillApps(ctx context.Context, look *targets) error {
	look.declared, look.there = map[fleet.AppRef]*resource.Object{}, map[fleet.AppRef]map[string]fleet.Assignment{}
	for _, app := range look.apps {
		object, err := s.Store.Object(ctx, app.Kind, look.namespace, app.Name)
		if err != nil && !errors.Is(err, fleet.ErrNotFound) {
			return err
		}
		if err == nil {
			look.declared[app] = object
		}
		instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: app.Kind, Namespace: look.namespace, Name: app.Name})
		if err != nil {
			return err
		}
		look.there[app] = map[string]fleet.Assignment{}
		for _, i := range instances {
			if i.Assignment.State == fleet.Active {
				look.there[app][i.Cluster] = i.Assignment
			}
		}
	}
	return nil
}

// fillWaves works out the waves of each App: it is the App's newest Release that a shuffle follows from.
func (s *rollouts) fillWaves(ctx context.Context, look *targets) error {
	look.waves = map[fleet.AppRef]map[string]string{}
	if look.spec.RolloutPolicyRef == nil {
		return nil
	}
	object, err := s.Store.Object(ctx, resource.RolloutPolicy.Name, "", look.spec.RolloutPolicyRef.Name)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	policy, err := resource.Spec[fleet.RolloutPolicy](object)
	if err != nil {
		return err
	}
	states, err := s.Store.AppStates(ctx)
	if err != nil {
		return err
	}
	for _, app := range look.apps {
		var clusters []*rollout.Cluster
		for _, c := range look.candidates {
			if _, targeted := look.chosen(c, app); targeted {
				clusters = append(clusters, &rollout.Cluster{ID: look.statuses[c.Name].ID, Name: c.Name, Labels: c.Labels})
			}
		}
		key := fleet.Key{Home: fleet.HubHome, Kind: app.Kind, Namespace: look.namespace, Name: app.Name}
		look.waves[app] = rollout.WavesOf(policy, clusters, states[key].Release)
	}
	return nil
}

// target is one cluster.
func (t *targets) target(c fleet.Candidate) *adminv1.Target {
	status := t.statuses[c.Name]
	target := &adminv1.Target{Cluster: c.Name, Labels: c.Labels, Connected: status.Connected, Held: t.held[c.Name]}
	for _, app := range t.apps {
		why, targeted := t.chosen(c, app)
		if target.Why == "" || targeted && !target.Targeted {
			target.Why = why
		}
		if !targeted {
			continue
		}
		target.Targeted = true
		there, is := t.there[app][c.Name]
		values := t.spec.ValuesFor(app, c.Name, c.Labels)
		it := &adminv1.TargetApp{
			App: app.Kind + "/" + t.namespace + "/" + app.Name, Patches: int32(len(t.spec.PatchesFor(app, c.Name, c.Labels))), Values: values,
			Wave: t.waves[app][status.ID],
		}
		if is {
			it.Release = there.Release.Digest().String()
		}
		if t.takesVariables(app) {
			it.Variables = t.specs[c.Name].VariablesIn(c.Name, c.Labels)
		}
		target.Apps = append(target.Apps, it)
	}
	return target
}

// takesVariables reports whether the variables of clusters are for the App as it is declared.
func (t *targets) takesVariables(app fleet.AppRef) bool {
	object := t.declared[app]
	if object == nil {
		return false
	}
	declared, err := resource.App(object)
	return err == nil && fleet.Release{}.Under(declared.Terms(object.Metadata.Annotations)).TakesVariables()
}

// chosen says whether an App of the Placement is for a cluster, and by what, or why not.
func (t *targets) chosen(c fleet.Candidate, app fleet.AppRef) (why string, targeted bool) {
	choice := t.spec.Clusters
	switch {
	case t.name == "":
		return "no Placement names the App", false
	case c.Terminating:
		return "it is being deleted", false
	case slices.Contains(choice.Names, c.Name):
		why = "its name is given"
	case choice.EveryCluster():
		why = "every cluster is meant"
	case choice.Matches(c.Name, c.Labels):
		why = "its labels match"
	case choice.Selector == nil:
		return "its name is not given", false
	default:
		return unmatched(*choice.Selector, c.Labels), false
	}
	_, there := t.there[app][c.Name]
	if taint, kept := t.spec.KeptOffBy(c.Taints, there); kept {
		return "its taint " + taint.String() + " is not tolerated", false
	}
	if taint, kept := t.spec.KeptOffBy(c.Taints, false); kept {
		why += ", and it keeps what it has in spite of its taint " + taint.String()
	}
	return why, true
}

// unmatched says which requirement of a selector the labels of a cluster do not meet.
func unmatched(selector fleet.Selector, labels map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		wanted := selector.MatchLabels[key]
		switch value, has := labels[key]; {
		case !has:
			return "it has no label " + key + ", and " + key + "=" + wanted + " is selected"
		case value != wanted:
			return "its label " + key + " is " + value + ", and " + wanted + " is selected"
		}
	}
	for _, r := range selector.MatchExpressions {
		if !(fleet.Selector{MatchExpressions: []fleet.SelectorRequirement{r}}).Matches(labels) {
			text := r.Key + " " + r.Operator
			if len(r.Values) > 0 {
				text += " (" + strings.Join(r.Values, ", ") + ")"
			}
			return "its labels do not meet " + text
		}
	}
	return "its labels do not match"
}
