package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/patch"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// objects serves every declared kind as Kubernetes JSON.
type objects struct {
	adminv1.UnimplementedObjectsServiceServer
	*Server
}

var changes = map[resource.Change]adminv1.Change{
	resource.Created:    adminv1.Change_CHANGE_CREATED,
	resource.Configured: adminv1.Change_CHANGE_CONFIGURED,
	resource.Unchanged:  adminv1.Change_CHANGE_UNCHANGED,
}

// Apply declares an object.
func (s *objects) Apply(ctx context.Context, req *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	object, err := resource.Decode(req.GetObject())
	if err != nil {
		return nil, err
	}
	if err := checkExpressions(object); err != nil {
		return nil, err
	}
	if err := checkPatches(object); err != nil {
		return nil, err
	}
	order := fleet.Order{DryRun: req.GetDryRun(), Confirm: req.Confirm}
	stored, change, impact, err := s.Store.ApplyObject(ctx, s.Caller(ctx), object, order)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	return &adminv1.ApplyResponse{Object: raw, Change: changes[change], Impact: impactMessage(impact)}, nil
}

// checkPatches refuses a Placement with patches that are none: fleetctl, which checks the rest of an object too, has no
// kustomize to know them by.
func checkPatches(object *resource.Object) error {
	if object.Kind != resource.Placement.Name {
		return nil
	}
	placement, err := resource.Spec[fleet.Placement](object)
	if err != nil {
		return err
	}
	if err := patch.Check(placement); err != nil {
		return fmt.Errorf("%s: %w", object, err)
	}
	return nil
}

// Get returns an object, or an App's instance in a cluster.
func (s *objects) Get(ctx context.Context, req *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	sel := selection{kind: kind, namespace: req.GetNamespace(), name: req.GetName(), cluster: req.GetCluster()}
	if err := s.findCluster(ctx, sel.cluster); err != nil {
		return nil, err
	}
	found, _, err := s.show(ctx, sel)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || sel.name == "" {
		return nil, fmt.Errorf("%s: %w", sel, fleet.ErrNotFound)
	}
	raw, err := json.Marshal(found[0])
	return &adminv1.GetResponse{Object: raw}, err
}

// findCluster refuses a cluster that nobody knows, as when its name is misspelt. One that was deleted has no instances,
// as long as that is remembered: so whoever waits for them to go finds them gone.
func (s *Server) findCluster(ctx context.Context, name string) error {
	if name == "" || name == everyCluster {
		return nil
	}
	known, _, err := s.Store.Objects(ctx, resource.Query{Kind: resource.Cluster.Name, Name: name, Since: 1})
	if err == nil && len(known) == 0 {
		err = fmt.Errorf("%s/%s: %w", resource.Cluster.Name, name, fleet.ErrNotFound)
	}
	return err
}

// String is how a person names what is selected.
func (s selection) String() string {
	text := s.kind.Name + "/" + s.name
	if s.kind.Namespaced {
		text = s.kind.Name + "/" + s.namespace + "/" + s.name
	}
	if s.cluster != "" {
		text += "@" + s.cluster
	}
	return text
}

// maxPage is the hub's limit to a page of objects.
const maxPage = 500

// List returns a page of objects.
func (s *objects) List(ctx context.Context, req *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	sel := selection{kind: kind, namespace: req.GetNamespace(), name: req.GetName(), cluster: req.GetCluster()}
	if err := s.findCluster(ctx, sel.cluster); err != nil {
		return nil, err
	}
	limit := maxPage
	if n := int(req.GetLimit()); n > 0 {
		limit = min(limit, n)
	}
	// Instances may be very many: of those the database gives no more than the page, and one that says that there are more.
	paged := sel.cluster != "" && req.GetLabelSelector() == ""
	if paged {
		sel.after, sel.limit = req.GetPageToken(), limit+1
	}
	found, seen, err := s.show(ctx, sel)
	if err != nil {
		return nil, err
	}
	if !paged {
		if found, err = pageOf(found, req); err != nil {
			return nil, err
		}
	}
	resp := &adminv1.ListResponse{WatchToken: s.Store.WatchToken(seen)}
	taken := page{limit: limit}
	for n, o := range found {
		raw, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		if !taken.takes(len(raw)) {
			resp.NextPageToken = idOf(found[n-1])
			break
		}
		resp.Objects = append(resp.Objects, raw)
	}
	return resp, nil
}

// pageOf are those of the objects that a request selects by labels and that come after the page before, in order.
func pageOf(found []*resource.Object, req *adminv1.ListRequest) ([]*resource.Object, error) {
	found, err := matchLabels(found, req.GetLabelSelector())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b *resource.Object) int { return strings.Compare(idOf(a), idOf(b)) })
	return slices.DeleteFunc(found, func(o *resource.Object) bool {
		return req.GetPageToken() != "" && idOf(o) <= req.GetPageToken()
	}), nil
}

// Delete ends an object, or what only a cluster's spoke knows of.
func (s *objects) Delete(ctx context.Context, req *adminv1.DeleteRequest) (*adminv1.DeleteResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	if err := checkDelete(kind, req); err != nil {
		return nil, err
	}
	order := fleet.Order{DryRun: req.GetDryRun(), Confirm: req.Confirm}
	var impact fleet.Impact
	if req.GetCluster() != "" {
		impact, err = s.endInstance(ctx, kind, req, order)
	} else {
		impact, err = s.Store.DeleteObject(ctx, s.Caller(ctx), resource.Deletion{Order: order, Kind: kind.Name,
			Namespace: req.GetNamespace(), Name: req.GetName(), Policy: policies[req.GetPolicy()], Now: req.GetNow()})
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.DeleteResponse{Impact: deletionMessage(impact)}, nil
}

// checkDelete refuses what the kind has no use for: ignored, it would seem to have been heeded.
func checkDelete(kind resource.Kind, req *adminv1.DeleteRequest) error {
	_, known := policies[req.GetPolicy()]
	switch {
	case !known:
		return fmt.Errorf("policy %d: %w: there is no such", req.GetPolicy(), fleet.ErrInvalid)
	case policies[req.GetPolicy()] != "" && !kind.App:
		return fmt.Errorf("policy: %w: it is for Apps, and %s is none", fleet.ErrInvalid, kind.Name)
	case req.GetNow() && kind.Name != resource.Cluster.Name:
		return fmt.Errorf("now: %w: it is for Clusters, and %s is none", fleet.ErrInvalid, kind.Name)
	}
	return nil
}

var policies = map[adminv1.DeletePolicy]fleet.DeletionPolicy{
	adminv1.DeletePolicy_DELETE_POLICY_UNSPECIFIED: "",
	adminv1.DeletePolicy_DELETE_POLICY_DELETE:      fleet.DeleteObjects,
	adminv1.DeletePolicy_DELETE_POLICY_ORPHAN:      fleet.OrphanObjects,
}

func (s *objects) endInstance(ctx context.Context, kind resource.Kind, req *adminv1.DeleteRequest, order fleet.Order) (fleet.Impact, error) {
	if !kind.App || req.GetPolicy() == adminv1.DeletePolicy_DELETE_POLICY_UNSPECIFIED {
		return fleet.Impact{}, fmt.Errorf("%w: to end an App that only the spoke of %s knows, say what becomes of its objects: --policy delete or --policy orphan", fleet.ErrInvalid, req.GetCluster())
	}
	key := fleet.Key{Home: fleet.HubHome, Kind: kind.Name, Namespace: req.GetNamespace(), Name: req.GetName()}
	remove := req.GetPolicy() == adminv1.DeletePolicy_DELETE_POLICY_DELETE
	return s.Store.EndInstance(ctx, s.Caller(ctx), key, req.GetCluster(), remove, order)
}

func impactMessage(i fleet.Impact) *adminv1.Impact {
	return messageOf(i, "it touches "+plural(i.Clusters, "cluster"))
}

// deletionMessage is impactMessage of a deletion, which leaves where it is what it does not delete.
func deletionMessage(i fleet.Impact) *adminv1.Impact {
	return messageOf(i, "it lets go of "+plural(i.Clusters, "cluster")+": what is there stays as it is")
}

// messageOf is an Impact in words, with touches where nothing graver is to be said of its clusters.
func messageOf(i fleet.Impact, touches string) *adminv1.Impact {
	m := &adminv1.Impact{Clusters: uint32(i.Clusters), Deletes: i.Deletes > 0, EveryCluster: i.EveryCluster, Rollouts: uint32(len(i.Shrinks))}
	var parts []string
	if i.Deletes > 0 {
		parts = append(parts, "objects may be deleted in "+plural(i.Deletes, "cluster"))
	}
	if i.EveryCluster {
		parts = append(parts, "it means every cluster, "+itoa(i.Clusters)+" now, and those to come")
	}
	if len(parts) == 0 && i.Clusters > 0 {
		parts = append(parts, touches)
	}
	parts = append(parts, rolloutWords(i)...)
	m.Summary = strings.Join(parts, "; ")
	return m
}

// rolloutWords say what becomes of new Releases.
func rolloutWords(i fleet.Impact) (words []string) {
	for n, b := range i.Begins {
		if n == maxNames {
			words = append(words, plural(len(i.Begins)-n, "more rollout")+" begin")
			break
		}
		words = append(words, "a rollout of "+b.App.Words()+" over "+plural(b.Clusters, "cluster")+" begins")
	}
	for n, r := range i.Shrinks {
		if n == maxNames {
			words = append(words, "it ends "+plural(len(i.Shrinks)-n, "more rollout")+", or takes clusters out of them")
			break
		}
		words = append(words, shrinkingWords(r))
	}
	if i.Policy != "" {
		words = append(words, "a new Release that comes of it goes through the clusters by "+resource.RolloutPolicy.Name+"/"+i.Policy)
	}
	if len(i.Users) > 0 {
		words = append(words, "the next rollouts of "+listed(i.Users)+" go by it")
	}
	return words
}

// shrinkingWords say what becomes of a Rollout under way.
func shrinkingWords(r fleet.ShrinkingRollout) string {
	named := "rollout " + r.ID + " of " + r.App.Words() + ", which is " + r.Phase
	if r.Lost == r.Clusters {
		return "it ends " + named
	}
	return "it takes " + itoa(r.Lost) + " of " + plural(r.Clusters, "cluster") + " out of " + named
}
