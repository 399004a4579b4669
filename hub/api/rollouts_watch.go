package api

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// maxRolloutEvents is how many events one answer of a Watch has.
const maxRolloutEvents = 500

// WatchRollout streams one Rollout, first as it is, then as it changes, with its events after a number, each once. It
// goes on when the Rollout is over, until the client ends it: a cluster may succeed late, and history be looked at.
func (s *rollouts) WatchRollout(req *adminv1.WatchRolloutRequest, stream grpc.ServerStreamingServer[adminv1.WatchRolloutResponse]) error {
	ctx := stream.Context()
	wake, stop := s.WatchRollouts()
	defer stop()
	found, err := s.find(ctx, req.GetApp())
	if err != nil {
		return err
	}
	w := rolloutWatch{rollouts: s, stream: stream, after: req.GetAfter()}
	for {
		if err := w.tell(found); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the hub is stopping")
		case <-wake:
		}
		if found, err = s.Store.RolloutHead(ctx, fleet.Key{}, found.ID); err != nil {
			return err
		}
	}
}

// rolloutWatch is one call of WatchRollout.
type rolloutWatch struct {
	*rollouts
	stream grpc.ServerStreamingServer[adminv1.WatchRolloutResponse]
	// after is the number of the last event that was sent, version that of the Rollout.
	after, version uint64
	begun          bool
}

// tell sends what the client does not know yet, the Rollout with each part of the events.
func (w *rolloutWatch) tell(r rollout.Rollout) error {
	ctx := w.stream.Context()
	for {
		events, err := w.Store.RolloutEvents(ctx, r.ID, w.after, maxRolloutEvents)
		if err != nil {
			return err
		}
		if w.begun && len(events) == 0 && r.Version == w.version {
			return nil
		}
		resp := &adminv1.WatchRolloutResponse{}
		if resp.Rollout, err = w.message(ctx, r); err != nil {
			return err
		}
		taken := page{limit: maxRolloutEvents, size: proto.Size(resp)}
		for _, e := range events {
			event := &adminv1.RolloutEvent{Number: e.Number, At: timeMessage(e.At), Actor: e.Actor, Type: e.Type,
				Cluster: e.Cluster, Wave: e.Wave, Gate: e.Gate, Reason: e.Reason, Message: e.Message}
			if !taken.takes(proto.Size(event)) {
				break
			}
			resp.Events, w.after = append(resp.Events, event), e.Number
		}
		if err := w.stream.Send(resp); err != nil {
			return err
		}
		w.begun, w.version = true, r.Version
		if len(resp.GetEvents()) == len(events) && len(events) < maxRolloutEvents {
			return nil
		}
	}
}
