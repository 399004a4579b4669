package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// prunes shows and approves deletions that the prune guard holds.
type prunes struct {
	adminv1.UnimplementedPrunesServiceServer
	*Server
}

// heldTimeout bounds the wait for a spoke that is asked which objects it holds.
const heldTimeout = 5 * time.Second

// Show returns the held sets of an App, equal sets of several clusters as one.
func (s *prunes) Show(ctx context.Context, req *adminv1.ShowRequest) (*adminv1.ShowResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	if err := s.findCluster(ctx, req.GetCluster()); err != nil {
		return nil, err
	}
	instances, _, err := s.Store.Instances(ctx, fleet.InstanceQuery{Kind: kind.Name, Namespace: req.GetNamespace(), Name: req.GetName(), Cluster: req.GetCluster()})
	if err != nil {
		return nil, err
	}
	if len(instances) == 0 {
		if _, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName()); err != nil {
			return nil, err
		}
	}
	var order []fleet.Digest
	holders := map[fleet.Digest][]fleet.Instance{}
	for _, i := range instances {
		if i.Report == nil || i.Report.HeldPrune == nil {
			continue
		}
		digest := i.Report.HeldPrune.Digest
		if !slices.Contains(order, digest) {
			order = append(order, digest)
		}
		holders[digest] = append(holders[digest], i)
	}
	resp := &adminv1.ShowResponse{}
	for _, digest := range order {
		resp.Sets = append(resp.Sets, s.heldSet(ctx, holders[digest]))
	}
	return resp, nil
}

// heldSet describes a set that several clusters hold, asking one that is connected for the objects.
func (s *prunes) heldSet(ctx context.Context, holders []fleet.Instance) *adminv1.HeldSet {
	held := holders[0].Report.HeldPrune
	set := &adminv1.HeldSet{Digest: held.Digest.String(), Reason: held.Reason, Count: uint32(held.Count)}
	set.ObjectsUnknown = "no cluster that holds them is connected"
	for _, i := range holders {
		set.Clusters = append(set.Clusters, i.Cluster)
		if !i.Connected || set.ObjectsUnknown == "" {
			continue
		}
		objects, err := s.askHeld(ctx, i)
		if err != nil {
			set.ObjectsUnknown = i.Cluster + ": " + err.Error()
			continue
		}
		set.Objects, set.ObjectsUnknown = objects, ""
	}
	return set
}

func (s *prunes) askHeld(ctx context.Context, i fleet.Instance) ([]string, error) {
	answer, err := s.ask(ctx, i.Cluster, fleet.Ask{What: fleet.AskHeldPrune, App: i.Assignment.App}, heldTimeout)
	if err != nil {
		return nil, err
	}
	var refs []fleet.ObjectRef
	if err := json.Unmarshal(answer, &refs); err != nil {
		return nil, err
	}
	objects := make([]string, len(refs))
	for n, ref := range refs {
		objects[n] = strings.ToValidUTF8(ref.String(), "")
	}
	slices.Sort(objects)
	return objects, nil
}

// Approve lets exactly one set be deleted, in every cluster that holds it or in one.
func (s *prunes) Approve(ctx context.Context, req *adminv1.ApproveRequest) (*adminv1.ApproveResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	digest, err := fleet.ParseDigest(req.GetDigest())
	if err != nil {
		return nil, err
	}
	key := fleet.Key{Home: fleet.HubHome, Kind: kind.Name, Namespace: req.GetNamespace(), Name: req.GetName()}
	order := fleet.Order{DryRun: req.GetDryRun()}
	if confirm := req.GetConfirm(); confirm > 0 || !order.DryRun {
		order.Confirm = &confirm
	}
	names, err := s.Store.ApprovePrune(ctx, s.Caller(ctx), key, req.GetCluster(), digest, order)
	if err != nil {
		return nil, err
	}
	return &adminv1.ApproveResponse{Clusters: names}, nil
}
