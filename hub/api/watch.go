package api

import (
	"encoding/json"
	"slices"

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
	steady fleet.Digest
}

// look sends what changed since the last look, and then that this was all. Until then the token is that of before: a
// client whose stream breaks amid the news has to be told the rest.
func (w *watch) look() error {
	ctx := w.stream.Context()
	all, seen, err := w.show(ctx, w.selection)
	if err != nil {
		return err
	}
	found, err := matchLabels(slices.Clone(all), w.labels)
	if err != nil {
		return err
	}
	gone, err := w.gone(all, found)
	if err != nil {
		return err
	}
	token := w.Store.WatchToken(w.since)
	for _, o := range found {
		steady, err := steadyDigest(o)
		if err != nil {
			return err
		}
		before, known := w.sent[idOf(o)]
		w.sent[idOf(o)] = seenObject{object: o, steady: steady}
		if known && before.steady == steady || w.first && fleet.Horizon(versionOf(o)) < w.since {
			continue
		}
		if err := w.send(adminv1.WatchEvent_WATCH_EVENT_CHANGED, o, token); err != nil {
			return err
		}
	}
	for _, o := range gone {
		delete(w.sent, idOf(o))
		last := *o
		last.Status = nil
		if err := w.send(adminv1.WatchEvent_WATCH_EVENT_DELETED, &last, token); err != nil {
			return err
		}
	}
	w.first, w.since = false, seen
	return w.send(adminv1.WatchEvent_WATCH_EVENT_BOOKMARK, nil, w.Store.WatchToken(seen))
}

// steadyDigest is that of the object without what moves while nothing changes: a client that was told the object need
// not be told again.
func steadyDigest(o *resource.Object) (fleet.Digest, error) {
	steady := *o
	steady.Metadata.ResourceVersion = ""
	if o.Kind == resource.Cluster.Name {
		var status clusterStatus
		if err := json.Unmarshal(o.Status, &status); err != nil {
			return fleet.Digest{}, err
		}
		status.LastSeen = nil
		raw, err := json.Marshal(status)
		if err != nil {
			return fleet.Digest{}, err
		}
		steady.Status = raw
	}
	raw, err := json.Marshal(&steady)
	return fleet.DigestOf(raw), err
}

// gone are the objects that the watcher knows and that are no longer there, or no longer selected by their labels. At
// the first look it knows what was there at its token, so what went since then counts too; an instance lost its labels with
// its App's declaration, and nothing of its own says when.
func (w *watch) gone(all, found []*resource.Object) ([]*resource.Object, error) {
	selected := map[string]bool{}
	for _, o := range found {
		selected[idOf(o)] = true
	}
	var gone []*resource.Object
	for id, seen := range w.sent {
		if !selected[id] {
			gone = append(gone, seen.object)
		}
	}
	if !w.first {
		return gone, nil
	}
	for _, o := range all {
		undeclared := w.cluster != "" && o.Spec == nil
		if !selected[idOf(o)] && (undeclared || fleet.Horizon(versionOf(o)) >= w.since) {
			gone = append(gone, o)
		}
	}
	deleted, err := w.deleted()
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, o := range all {
		there[idOf(o)] = true
	}
	for _, o := range deleted {
		if !there[idOf(o)] {
			gone = append(gone, o)
		}
	}
	remembers, err := w.Store.Remembers(w.stream.Context(), w.since) // after the reads: what they saw was all there was
	if err == nil && !remembers {
		err = status.Error(codes.OutOfRange, "the watch token is older than what is remembered of deletions: list again")
	}
	return gone, err
}

// deleted are the last states of what was deleted since the watcher's token.
func (w *watch) deleted() ([]*resource.Object, error) {
	ctx := w.stream.Context()
	if w.cluster == "" {
		changed, _, err := w.Store.Objects(ctx, resource.Query{Kind: w.kind.Name, Namespace: w.namespace, Name: w.name, Since: max(w.since, 1)})
		return slices.DeleteFunc(changed, func(o *resource.Object) bool { return !o.Gone }), err
	}
	query := w.instances()
	query.Since = w.since
	left, err := w.Store.GoneInstances(ctx, query)
	if err != nil {
		return nil, err
	}
	objects := make([]*resource.Object, len(left))
	for n, g := range left {
		objects[n] = bareInstance(w.kind, g.App, g.Cluster)
	}
	return objects, nil
}

// send sends an event, of no object when it is a bookmark.
func (w *watch) send(event adminv1.WatchEvent, o *resource.Object, token string) error {
	resp := &adminv1.WatchResponse{Event: event, WatchToken: token}
	if o != nil {
		raw, err := json.Marshal(o)
		if err != nil {
			return err
		}
		resp.Object = raw
	}
	return w.stream.Send(resp)
}
