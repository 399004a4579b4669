package api

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// History returns the revisions of an App, or what became of its releases in one cluster.
func (s *apps) History(ctx context.Context, req *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return nil, err
	}
	if !kind.App {
		return nil, fmt.Errorf("%w: a %s has no releases", fleet.ErrInvalid, kind.Name)
	}
	if err := s.findCluster(ctx, req.GetCluster()); err != nil {
		return nil, err
	}
	app := fleet.Key{Home: fleet.HubHome, Kind: kind.Name, Namespace: req.GetNamespace(), Name: req.GetName()}
	var entries []fleet.HistoryEntry
	if req.GetCluster() == "" {
		entries, err = s.Store.AppHistory(ctx, app)
	} else {
		entries, err = s.Store.InstanceHistory(ctx, app, req.GetCluster())
	}
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 { // is there such an App at all?
		if _, err := s.Store.Object(ctx, kind.Name, req.GetNamespace(), req.GetName()); err != nil {
			return nil, err
		}
	}
	resp := &adminv1.HistoryResponse{}
	for _, e := range entries {
		entry := &adminv1.HistoryEntry{
			Revision: string(e.Revision), FirstAt: moment(e.FirstAt), LastAt: moment(e.LastAt), Current: e.Current, Clusters: uint32(e.Clusters),
			Ready: string(e.Ready.Status), Reason: e.Ready.Reason, Message: e.Ready.Message,
		}
		if !e.Release.IsZero() {
			entry.Release = e.Release.String()
		}
		resp.Entries = append(resp.Entries, entry)
	}
	return resp, nil
}

// moment is a time on the wire; none where it is not known.
func moment(at time.Time) *timestamppb.Timestamp {
	if at.Unix() <= 0 {
		return nil
	}
	return timestamppb.New(at)
}
