package main

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// watchingEvents is the state of a follow between its connections.
type watchingEvents struct {
	hub     *hub
	request *adminv1.EventsServiceListRequest
	token   string
	print   func([]*adminv1.Event) error
	// told are the events since the token: after a break they come again.
	told []*adminv1.Event
	// last are the events of the newest moment that was seen, so that a new list is told from there on.
	last []*adminv1.Event
}

func (w *watchingEvents) round(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := w.hub.events.Watch(ctx, &adminv1.EventsServiceWatchRequest{Filter: w.request.GetFilter(), WatchToken: w.token})
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
		w.token = response.GetWatchToken()
		event := response.GetEvent()
		switch {
		case event == nil:
			w.told = nil
			continue
		case contains(w.told, event):
			continue
		}
		w.told = append(w.told, event)
		if err := w.tell([]*adminv1.Event{event}); err != nil {
			return heard, err
		}
	}
}

// again lists anew after the hub no longer knew the token, and tells what is new.
func (w *watchingEvents) again(ctx context.Context) error {
	response, err := w.hub.events.List(ctx, w.request)
	if err != nil {
		return err
	}
	w.token, w.told = response.GetWatchToken(), nil
	var fresh []*adminv1.Event
	for _, event := range response.GetEvents() {
		if w.isNew(event) {
			fresh = append(fresh, event)
		}
	}
	return w.tell(fresh)
}

func (w *watchingEvents) tell(events []*adminv1.Event) error {
	w.saw(events)
	if err := w.print(events); err != nil {
		return stop{err}
	}
	return nil
}

func (w *watchingEvents) saw(events []*adminv1.Event) {
	for _, event := range events {
		if len(w.last) > 0 && !event.GetAt().AsTime().Equal(w.last[0].GetAt().AsTime()) {
			w.last = nil
		}
		w.last = append(w.last, event)
	}
}

func (w *watchingEvents) isNew(event *adminv1.Event) bool {
	if len(w.last) == 0 {
		return true
	}
	at, newest := event.GetAt().AsTime(), w.last[0].GetAt().AsTime()
	if !at.Equal(newest) {
		return at.After(newest)
	}
	return !contains(w.last, event)
}

func contains(events []*adminv1.Event, event *adminv1.Event) bool {
	return slices.ContainsFunc(events, func(e *adminv1.Event) bool { return proto.Equal(e, event) })
}
