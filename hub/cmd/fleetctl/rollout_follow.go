package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// watchingRollout is the state of a follow of one Rollout between its connections.
type watchingRollout struct {
	hub *hub
	app *adminv1.AppRollout
	// after is the number of the last event that was told: after a break it goes on from there.
	after uint64
	tell  func(ro *adminv1.Rollout, events []*adminv1.RolloutEvent) error
}

// followRollout tells of a Rollout as it changes until ctx ends, tell returns an error, or the hub refuses.
func (a *app) followRollout(ctx context.Context, h *hub, ro *adminv1.Rollout, tell func(*adminv1.Rollout, []*adminv1.RolloutEvent) error) error {
	w := &watchingRollout{hub: h, app: exactly(ro), tell: tell}
	return a.reconnecting(ctx, w.round)
}

func (w *watchingRollout) round(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := w.hub.rollouts.WatchRollout(ctx, &adminv1.WatchRolloutRequest{App: w.app, After: w.after})
	if err != nil {
		return false, err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return heard, err
		}
		heard = true
		for _, e := range response.GetEvents() { // each comes once, in order
			w.after = e.GetNumber()
		}
		if err := w.tell(response.GetRollout(), response.GetEvents()); err != nil {
			return heard, stop{err}
		}
	}
}

// leftRollout is how a follow of a Rollout ended: ended is what the context said then. One who leaves is told how to come
// back.
func (a *app) leftRollout(ro *adminv1.Rollout, ended, err error) error {
	switch {
	case status.Code(err) == codes.NotFound:
		return a.rolloutFailure("follow "+ro.GetId(), rolloutRef{id: ro.GetId()}, err)
	case ended != nil && !isTimeout(ended):
		a.say(symbolDo, "%s goes on at the hub; follow it with: fleetctl rollout status %s", ro.GetId(), ro.GetId())
	}
	return a.stoppedFollowing(ended, a.explainUnlessNil("follow "+ro.GetId(), err))
}

// explainUnlessNil is explain for what may be no error.
func (a *app) explainUnlessNil(doing string, err error) error {
	if err == nil {
		return nil
	}
	return a.explain(doing, err)
}

// summary is a Rollout on one line.
func summary(ro *adminv1.Rollout) string {
	parts := []string{placeText(ro)}
	parts = append(parts, troubles(ro.GetTotals())...)
	text := fmt.Sprintf("%s %s: %s", ro.GetId(), appOf(ro), strings.Join(parts, ", "))
	if why := whyText(ro); why != "" {
		text += "; " + why
	}
	return text
}

// summaryKey tells summaries apart that say something new: how long a gate has been waited for is nothing new.
func summaryKey(ro *adminv1.Rollout) string {
	if ro.GetReason() != "WaitingGate" {
		return summary(ro)
	}
	message := ro.GetMessage()
	if i := strings.LastIndex(message, ": "); i > 0 {
		message = message[:i]
	}
	return fmt.Sprintf("%s %s %s %s %v", ro.GetPhase(), ro.GetReason(), message, doneText(ro.GetTotals()), troubles(ro.GetTotals()))
}

// notableEvent reports whether an event says what a summary does not.
func notableEvent(e *adminv1.RolloutEvent) bool {
	switch e.GetType() {
	case "ClusterFailed", "ClusterDeferred", "ClusterRollbackFailed", "Approved", "Rejected":
		return true
	case "Started", "Running", "ClusterPending", "ClusterSkipped": // a person may have said why
		return e.GetActor() != "" && e.GetActor() != "system" && e.GetMessage() != ""
	}
	return strings.HasPrefix(e.GetType(), "Gate")
}

// eventLine is an event on one line.
func eventLine(e *adminv1.RolloutEvent) string {
	var parts []string
	for _, part := range []string{e.GetType(), eventPlace(e), orBlank(e.GetActor() != "", "by "+e.GetActor()), e.GetReason()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	text := strings.Join(parts, " ")
	if e.GetMessage() != "" {
		text += ": " + printer.Fold(e.GetMessage())
	}
	return text
}

// eventPlace is what an event is about: a cluster, or a wave and its gate.
func eventPlace(e *adminv1.RolloutEvent) string {
	var parts []string
	for _, part := range []string{e.GetCluster(), e.GetWave(), e.GetGate()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

func orBlank(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// clock is a moment in a log.
func clock(at time.Time) string { return at.UTC().Format(time.RFC3339) }
