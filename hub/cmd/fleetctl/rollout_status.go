package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newRolloutStatusCommand(a *app) *cobra.Command {
	watch := true
	cmd := &cobra.Command{
		Use:   "status " + rolloutArgument,
		Short: "Show where a rollout is, and follow it",
		Long: "Show where a rollout is: of an app the one under way, or else the newest. It follows until the rollout has succeeded\n" +
			"(exit 0) or nothing more comes of it (exit 7), also through pauses and approvals; -w=false looks once, and is done\n" +
			"with exit 0 whatever it sees. On a terminal the screen is kept up to date, elsewhere there is a line for each change\n" +
			"and the screen at the end. Exit codes: fleetctl help exit-codes.",
		Example: `  fleetctl rollout status ks/podinfo
  fleetctl rollout status ro-7k2f --watch=false -o wide`,
		Annotations: outputs("wide", "json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseRollout(cmd, args)
			if err != nil {
				return err
			}
			return a.runRolloutStatus(cmd.Context(), r, watch)
		},
		ValidArgsFunction: a.completeRollouts,
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", true, "follow it until it has ended")
	return cmd
}

func (a *app) runRolloutStatus(ctx context.Context, r rolloutRef, watch bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ro, err := a.rollout(ctx, h, "show", r)
	if err != nil {
		return err
	}
	_, end := settled(ro)
	if !watch || end {
		if err := a.showRollout(ctx, h, ro, !watch); err != nil || !watch {
			return err
		}
		return a.endRollout(ctx, h, ro)
	}
	ctx, cancel := a.bounded(ctx, 0)
	defer cancel()
	if a.stdoutTTY && a.flags.output != "json" && a.flags.output != "yaml" {
		return a.redrawRollout(ctx, h, ro)
	}
	return a.logRollout(ctx, h, ro)
}

// showRollout shows a Rollout once. With mends, the screen says what may follow a halt; otherwise the failure will.
func (a *app) showRollout(ctx context.Context, h *hub, ro *adminv1.Rollout, mends bool) error {
	if err := a.drawRollout(ctx, h, ro, "", mends); err != nil {
		return a.rolloutFailure("show "+ro.GetId(), rolloutRef{id: ro.GetId()}, err)
	}
	return nil
}

// drawRollout draws the screen behind wipe, or writes a document.
func (a *app) drawRollout(ctx context.Context, h *hub, ro *adminv1.Rollout, wipe string, mends bool) error {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	all := a.flags.output != ""
	clusters, more, err := h.shownClusters(ctx, ro, all)
	if err != nil {
		return err
	}
	if ro.GetTotals().GetSkipped() > 0 && !all { // whoever passed them over may have said why
		skipped, others, err := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: []string{"Skipped"}}, maxShown)
		if err != nil {
			return err
		}
		clusters, more = append(clusters, skipped...), more || others
	}
	left, moreLeft, err := h.notTargeted(ctx, ro, all)
	if err != nil {
		return err
	}
	next, of := h.awaits(ctx, ro, clusters...)
	document := newRolloutDocument(ro, clusters, left)
	document.Awaits = next
	if written, err := a.emit(document); written {
		return err
	}
	if mends && ro.GetPhase() == phaseHalted {
		next = mending(ro)
	}
	shown := &rolloutScreen{app: a, rollout: ro, clusters: clusters, more: more, left: left, moreLeft: moreLeft, next: next}
	if of.GetId() != ro.GetId() {
		shown.behind = of
	}
	if !over(ro) && ro.GetPhase() != phaseQueued {
		request := listOf(appOf(ro))
		request.Phases = []string{phaseQueued}
		if shown.queued, _, err = h.rolloutList(ctx, request, 1, nil); err != nil {
			return err
		}
		if len(shown.queued) > 0 && shown.queued[0].GetReason() == "NewerCandidate" && next != "" && ro.GetPhase() != phaseHalted {
			shown.next += instead(ro, shown.queued[0])
		}
	}
	if all {
		shown.clusters, shown.left = nil, nil // they come below, in full
	}
	if _, err := a.stdout.Write(append([]byte(wipe), shown.draw()...)); err != nil || !all {
		return err
	}
	a.printNotTargeted(left)
	if len(clusters) == 0 {
		return nil
	}
	return a.printRolloutClusters(ro, clusters, a.now())
}

// shownClusters are the clusters of a Rollout that there is something to say of, or all.
func (h *hub) shownClusters(ctx context.Context, ro *adminv1.Rollout, all bool) (clusters []*adminv1.RolloutCluster, more bool, err error) {
	if all {
		return h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro)}, 0)
	}
	requests := []*adminv1.ListRolloutClustersRequest{{App: exactly(ro), Phases: troublePhases}}
	if !over(ro) {
		requests = append(requests, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: flightPhases})
		if wave := waveUnderWay(ro); wave != nil {
			requests = append(requests, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: []string{"Pending"}, Wave: wave.GetName()})
		}
	}
	for _, request := range requests {
		found, others, err := h.rolloutClusters(ctx, request, maxShown)
		if err != nil {
			return nil, false, err
		}
		clusters, more = append(clusters, found...), more || others
	}
	return clusters, more, nil
}

// maxLeft bounds the clusters that a screen shows of those that a Rollout is not about.
const maxLeft = 3

// notTargeted are the first clusters that a Rollout under way is not about, or all.
func (h *hub) notTargeted(ctx context.Context, ro *adminv1.Rollout, all bool) (left []*adminv1.NotTargeted, more bool, err error) {
	if over(ro) || ro.GetPhase() == phaseQueued {
		return nil, false, nil
	}
	request := &adminv1.ListNotTargetedRequest{App: exactly(ro)}
	if !all {
		request.PageSize = maxLeft
	}
	for page, err := range pages(ctx, h.rollouts.ListNotTargeted, request, &request.PageToken) {
		if err != nil {
			return nil, false, err
		}
		if left = append(left, page.GetNotTargeted()...); !all {
			return left, page.GetNextPageToken() != "", nil
		}
	}
	return left, false, nil
}

// endRollout is how a command ends that has followed a Rollout to its end.
func (a *app) endRollout(ctx context.Context, h *hub, ro *adminv1.Rollout) error {
	if code, _ := settled(ro); code == exitDone {
		return nil
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	clusters, _, _ := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: exactly(ro), Phases: troublePhases[:2]}, maxMissing) // what cannot be told now is left out
	return ended(ro, clusters)
}

// redrawRollout keeps the screen of a terminal up to date: clocks on it run, so that it is drawn anew though nothing happens.
func (a *app) redrawRollout(ctx context.Context, h *hub, ro *adminv1.Rollout) error {
	const wipe = "\x1b[H\x1b[2J"
	for away := false; ; {
		err := a.drawRollout(ctx, h, ro, wipe, false)
		if err != nil && (ctx.Err() != nil || !passing(err)) {
			return a.leftRollout(ro, ctx.Err(), err)
		}
		if _, end := settled(ro); end {
			return a.endRollout(ctx, h, ro)
		}
		if a.pause(ctx, time.Second) != nil || ctx.Err() != nil {
			return a.leftRollout(ro, ctx.Err(), nil)
		}
		response, unread := h.rollouts.GetRollout(ctx, &adminv1.GetRolloutRequest{App: exactly(ro)})
		switch {
		case ctx.Err() != nil, unread != nil && !passing(unread):
			return a.leftRollout(ro, ctx.Err(), unread)
		case unread == nil:
			ro = response.GetRollout()
		}
		lost := err != nil || unread != nil
		if lost && !away {
			a.say(symbolWarn, "the connection to the hub is lost; trying again until it is back")
		}
		away = lost
	}
}

// logRollout writes a line for each change, or a document, until the Rollout has ended.
func (a *app) logRollout(ctx context.Context, h *hub, ro *adminv1.Rollout) error {
	said, version := "", uint64(0)
	// The last document has the clusters, as that of a Rollout which was over already.
	err := a.followRollout(ctx, h, ro, func(now *adminv1.Rollout, events []*adminv1.RolloutEvent) error {
		if now != nil {
			ro = now
		}
		if a.machine() {
			if _, end := settled(ro); !end && (ro.GetVersion() != version || version == 0) {
				version = ro.GetVersion()
				document := newRolloutDocument(ro, nil, nil)
				document.Awaits, _ = h.awaits(ctx, ro)
				if _, err := a.emitNext(document); err != nil {
					return err
				}
			}
		} else if err := a.logLines(ctx, h, ro, events, &said); err != nil {
			return err
		}
		if _, end := settled(ro); end {
			return errMet
		}
		return nil
	})
	if !errors.Is(err, errMet) {
		return a.leftRollout(ro, ctx.Err(), err)
	}
	if a.machine() {
		clusters, _, err := h.shownClusters(ctx, ro, true)
		if err != nil {
			return a.rolloutFailure("list the clusters of "+ro.GetId(), rolloutRef{id: ro.GetId()}, err)
		}
		left, _, err := h.notTargeted(ctx, ro, true)
		if err != nil {
			return a.rolloutFailure("list the clusters that "+ro.GetId()+" is not about", rolloutRef{id: ro.GetId()}, err)
		}
		if _, err := a.emitNext(newRolloutDocument(ro, clusters, left)); err != nil {
			return err
		}
		return a.endRollout(ctx, h, ro)
	}
	fmt.Fprintln(a.stdout)
	if err := a.showRollout(ctx, h, ro, false); err != nil {
		return err
	}
	return a.endRollout(ctx, h, ro)
}

// logLines writes what is new since what was said last.
func (a *app) logLines(ctx context.Context, h *hub, ro *adminv1.Rollout, events []*adminv1.RolloutEvent, said *string) error {
	for _, e := range events {
		if notableEvent(e) {
			if _, err := fmt.Fprintf(a.stdout, "%s %s\n", clock(e.GetAt().AsTime()), eventLine(e)); err != nil {
				return err
			}
		}
	}
	key := summaryKey(ro)
	if key == *said {
		return nil
	}
	*said = key
	line := summary(ro)
	if next, _ := h.awaits(ctx, ro); next != "" {
		line += " " + a.mark(symbolNext, false) + " " + next
	}
	_, err := fmt.Fprintf(a.stdout, "%s %s\n", clock(a.now()), line)
	return err
}
