package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// follower is told of objects: first of all there are, then of each change.
type follower interface {
	listed([]*object) error
	changed(o *object, deleted bool) error
}

// follow reads what q selects and then follows it until ctx ends, the follower returns an error, or the hub refuses.
// A lost connection is made anew; what changed meanwhile is told.
func (a *app) follow(ctx context.Context, h *hub, q query, f follower) error {
	objects, token, err := h.list(ctx, q)
	if err != nil {
		return err
	}
	w := &watching{hub: h, query: q, follower: f, token: token, known: index(objects)}
	if err := f.listed(objects); err != nil {
		return err
	}
	return a.reconnecting(ctx, w.round)
}

// reconnecting calls round again and again, with back-off, as long as it ends in a way that a new connection may mend.
// A round reports whether it heard anything.
func (a *app) reconnecting(ctx context.Context, round func(context.Context) (heard bool, err error)) error {
	failures := 0
	for {
		heard, err := round(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if end, ok := err.(stop); ok {
			return end.error
		}
		if !passing(err) {
			return err
		}
		if heard {
			failures = 0
		}
		if failures++; failures == 2 { // a single one is how a stream ends when a hub hands over
			a.say(symbolWarn, "the connection to the hub is lost; trying again until it is back")
		}
		if err := a.pause(ctx, backoff(failures)); err != nil {
			return err
		}
	}
}

// passing reports whether a stream that ended like this is worth another try.
func passing(err error) bool {
	if err == nil || errors.Is(err, io.EOF) {
		return true
	}
	s, ok := status.FromError(err)
	if !ok {
		return false
	}
	switch s.Code() {
	case codes.Unavailable, codes.Aborted, codes.Internal, codes.Unknown, codes.ResourceExhausted, codes.Canceled, codes.DeadlineExceeded:
		return true
	}
	return false
}

func backoff(failures int) time.Duration {
	limit := min(200*time.Millisecond<<min(failures, 6), 10*time.Second)
	return limit/2 + rand.N(limit/2)
}

// watching is the state of one follow between its connections.
type watching struct {
	hub      *hub
	query    query
	follower follower
	token    string
	known    map[string]*object
}

// stop carries a follower's error through reconnecting, whatever it is.
type stop struct{ error }

func (w *watching) round(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := w.hub.objects.Watch(ctx, &adminv1.WatchRequest{
		Kind: w.query.kind.Name, Namespace: w.query.namespace, LabelSelector: w.query.selector,
		Cluster: w.query.cluster, Name: w.query.name, WatchToken: w.token,
	})
	if err != nil {
		return false, err
	}
	for {
		response, err := stream.Recv()
		if status.Code(err) == codes.OutOfRange {
			return heard, w.again(ctx)
		}
		if err != nil {
			return heard, err
		}
		heard = true
		if err := w.take(response); err != nil {
			return heard, err
		}
		w.token = response.GetWatchToken()
	}
}

func (w *watching) take(response *adminv1.WatchResponse) error {
	if response.GetEvent() != adminv1.WatchEvent_WATCH_EVENT_CHANGED && response.GetEvent() != adminv1.WatchEvent_WATCH_EVENT_DELETED {
		return nil
	}
	o, err := readObject(response.GetObject())
	if err != nil {
		return stop{err}
	}
	return w.tell(o, response.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_DELETED)
}

// tell passes a change on, unless it is known already.
func (w *watching) tell(o *object, deleted bool) error {
	before, known := w.known[o.key()]
	switch {
	case deleted && !known, !deleted && known && bytes.Equal(before.raw, o.raw):
		return nil
	case deleted:
		delete(w.known, o.key())
	default:
		w.known[o.key()] = o
	}
	if err := w.follower.changed(o, deleted); err != nil {
		return stop{err}
	}
	return nil
}

// again lists anew and tells what changed meanwhile.
func (w *watching) again(ctx context.Context) error {
	objects, token, err := w.hub.list(ctx, w.query)
	if err != nil {
		return err
	}
	now := index(objects)
	for key, o := range w.known {
		if now[key] == nil {
			if err := w.tell(o, true); err != nil {
				return err
			}
		}
	}
	for _, o := range objects {
		if err := w.tell(o, false); err != nil {
			return err
		}
	}
	w.token = token
	return nil
}

func index(objects []*object) map[string]*object {
	byKey := make(map[string]*object, len(objects))
	for _, o := range objects {
		byKey[o.key()] = o
	}
	return byKey
}
