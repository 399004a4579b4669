package api

import (
	"encoding/json"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// Watch follows the selected objects from a token on.
func (s *objects) Watch(req *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	kind, err := kindOf(req.GetKind())
	if err != nil {
		return err
	}
	since, err := s.Store.ParseWatchToken(req.GetWatchToken())
	if err != nil {
		return status.Error(codes.OutOfRange, "the watch token is of another database: list again")
	}
	w := &watch{
		Server: s.Server, stream: stream, labels: req.GetLabelSelector(), since: since, first: true,
		selection: selection{kind: kind, namespace: req.GetNamespace(), name: req.GetName(), cluster: req.GetCluster()},
		sent:      map[string]seenObject{},
	}
	wake, stop := s.Server.Watch()
	defer stop()
	for {
		if err := w.look(); err != nil {
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

// watch is one call of Watch.
type watch struct {
	*Server
	selection
	labels string
	stream grpc.ServerStreamingServer[adminv1.WatchResponse]
	since  fleet.Horizon
	first  bool
	sent   map[string]seenObject
}

// seenObject is what a watcher knows of an object.
type seenObject struct {
	object *resource.Object
	digest fleet.Digest
}

// look sends what changed since the last look, and a bookmark when nothing did.
func (w *watch) look() error {
	ctx := w.stream.Context()
	found, seen, err := w.show(ctx, w.selection)
	if err != nil {
		return err
	}
	if found, err = matchLabels(found, w.labels); err != nil {
		return err
	}
	gone, err := w.gone(found)
	if err != nil {
		return err
	}
	token := w.Store.WatchToken(seen)
	news := false
	for _, o := range found {
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		before, known := w.sent[idOf(o)]
		now := seenObject{object: o, digest: fleet.DigestOf(raw)}
		w.sent[idOf(o)] = now
		if known && before.digest == now.digest || w.first && fleet.Horizon(versionOf(o)) < w.since {
			continue
		}
		news = true
		if err := w.send(adminv1.WatchEvent_WATCH_EVENT_CHANGED, raw, token); err != nil {
			return err
		}
	}
	for _, o := range gone {
		delete(w.sent, idOf(o))
		o.Status = nil
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		news = true
		if err := w.send(adminv1.WatchEvent_WATCH_EVENT_DELETED, raw, token); err != nil {
			return err
		}
	}
	w.first, w.since = false, seen
	if news {
		return nil
	}
	return w.send(adminv1.WatchEvent_WATCH_EVENT_BOOKMARK, nil, token)
}

// gone are the objects that the watcher knows and that are no longer there. At the first look it knows what was there
// at its token, so what was deleted since then counts too.
func (w *watch) gone(found []*resource.Object) ([]*resource.Object, error) {
	there := map[string]bool{}
	for _, o := range found {
		there[idOf(o)] = true
	}
	var gone []*resource.Object
	for id, seen := range w.sent {
		if !there[id] {
			gone = append(gone, seen.object)
		}
	}
	if !w.first || w.cluster != "" {
		return gone, nil
	}
	changed, _, err := w.Store.Objects(w.stream.Context(), resource.Query{Kind: w.kind.Name, Namespace: w.namespace, Name: w.name, Since: max(w.since, 1)})
	for _, o := range changed {
		if o.Gone && !there[idOf(o)] {
			gone = append(gone, o)
		}
	}
	return gone, err
}

func (w *watch) send(event adminv1.WatchEvent, object []byte, token string) error {
	return w.stream.Send(&adminv1.WatchResponse{Event: event, Object: object, WatchToken: token})
}
