package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// events tells what happened.
type events struct {
	adminv1.UnimplementedEventsServiceServer
	*Server
}

// defaultEvents is how many events a List returns that does not say, and maxEvents how many at most.
const (
	defaultEvents = 200
	maxEvents     = 500
)

// List returns the newest events that match, oldest first. A cluster that neither is there nor has events left is not
// found.
func (s *events) List(ctx context.Context, req *adminv1.EventsServiceListRequest) (*adminv1.EventsServiceListResponse, error) {
	query := eventQuery(req.GetFilter())
	query.Limit = cmp.Or(int(req.GetLimit()), defaultEvents)
	if query.Limit > maxEvents {
		return nil, fmt.Errorf("limit %d: %w: at most %d events are listed at once; a filter says which", query.Limit, fleet.ErrInvalid, maxEvents)
	}
	found, seen, err := s.Store.Events(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		if err := s.findClusterOrTraces(ctx, query.Cluster); err != nil {
			return nil, err
		}
	}
	resp := &adminv1.EventsServiceListResponse{WatchToken: s.Store.WatchToken(seen)}
	for _, e := range found {
		resp.Events = append(resp.Events, eventMessage(e))
	}
	return resp, nil
}

// findClusterOrTraces refuses a cluster that nobody knows and of which nothing was told.
func (s *events) findClusterOrTraces(ctx context.Context, name string) error {
	unknown := s.findCluster(ctx, name)
	if !errors.Is(unknown, fleet.ErrNotFound) {
		return unknown
	}
	traces, _, err := s.Store.Events(ctx, fleet.EventQuery{Cluster: name, Limit: 1})
	if err != nil || len(traces) > 0 {
		return err
	}
	return unknown
}

// Watch follows from a List: each event once. The token is that of before until all events of a read are sent: a client
// whose stream breaks amid them has to be told the rest.
func (s *events) Watch(req *adminv1.EventsServiceWatchRequest, stream grpc.ServerStreamingServer[adminv1.EventsServiceWatchResponse]) error {
	query := eventQuery(req.GetFilter())
	var err error
	if query.Since, err = s.Store.ParseWatchToken(req.GetWatchToken()); err != nil {
		return status.Error(codes.OutOfRange, "the watch token is of another database: list again")
	}
	wake, stop := s.WatchEvents()
	defer stop()
	sent := map[int64]bool{}
	for {
		found, seen, err := s.Store.Events(stream.Context(), query)
		if err != nil {
			return err
		}
		repeated := map[int64]bool{} // what the next read may show again
		for _, e := range found {
			repeated[e.ID] = true
			if sent[e.ID] {
				continue
			}
			if err := stream.Send(&adminv1.EventsServiceWatchResponse{Event: eventMessage(e), WatchToken: s.Store.WatchToken(query.Since)}); err != nil {
				return err
			}
		}
		sent, query.Since = repeated, seen
		if err := stream.Send(&adminv1.EventsServiceWatchResponse{WatchToken: s.Store.WatchToken(seen)}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the hub is stopping")
		case <-wake:
		}
	}
}

func eventQuery(f *adminv1.EventFilter) fleet.EventQuery {
	query := fleet.EventQuery{Kind: f.GetKind(), Namespace: f.GetNamespace(), Name: f.GetName(), Cluster: f.GetCluster(), Warnings: f.GetWarnings()}
	if f.GetSince() != nil {
		query.NotBefore = f.GetSince().AsTime()
	}
	return query
}

func eventMessage(e fleet.FleetEvent) *adminv1.Event {
	return &adminv1.Event{At: timestamppb.New(e.At), Warning: e.Warning, Reason: e.Reason, Message: e.Message,
		Kind: e.Kind, Namespace: e.Namespace, Name: e.Name, Cluster: e.Cluster, Object: e.Object}
}
