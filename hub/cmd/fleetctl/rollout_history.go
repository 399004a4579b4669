package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newRolloutHistoryCommand(a *app) *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:   "history " + rolloutArgument,
		Short: "List the rollouts of an app, newest first",
		Long: "List the rollouts of an app, newest first: what became of each, what is known of its release by now (Good, Bad), who\n" +
			"began it, how long it took, and in the message, as its change cause, why it was begun.",
		Example:     `  fleetctl rollout history ks/podinfo`,
		Annotations: outputs("wide", "json", "yaml", "name"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseRollout(cmd, args)
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef(cmd, "--limit %d lists nothing", limit)
			}
			return a.runRolloutHistory(cmd.Context(), r, limit)
		},
		ValidArgsFunction: a.completeRollouts,
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most this many of the newest")
	return cmd
}

func (a *app) runRolloutHistory(ctx context.Context, named rolloutRef, limit int) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	r := named.app
	if named.id != "" {
		ro, err := a.rollout(ctx, h, "list the rollouts of the app of", named)
		if err != nil {
			return err
		}
		r = appOf(ro)
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	rollouts, more, err := h.rolloutList(ctx, listOf(r), limit, nil)
	if err != nil {
		return a.planFailure("list the rollouts of "+r.String(), r, err)
	}
	if len(rollouts) == 0 {
		if _, err := h.get(ctx, r); err != nil { // so that a wrong name is told
			return a.explain("list the rollouts of "+r.String(), err)
		}
	}
	if len(rollouts) == 0 && !a.machine() {
		a.say(symbolWarn, "%s has had no rollout: its Placement may name no RolloutPolicy, and then a release goes to every cluster at once", r)
		return nil
	}
	if err := a.printRollouts(rollouts, false, false); err != nil {
		return err
	}
	if more && !a.machine() {
		a.say(symbolDo, "there are older ones: --limit lists more of them")
	}
	return nil
}

// printRollouts lists Rollouts; apps: of several apps.
func (a *app) printRollouts(rollouts []*adminv1.Rollout, apps, noHeaders bool) error {
	if a.machine() {
		list := struct {
			Items []rolloutDocument `json:"items"`
		}{Items: []rolloutDocument{}}
		for _, ro := range rollouts {
			list.Items = append(list.Items, newRolloutDocument(ro, nil, nil))
		}
		_, err := a.emit(list)
		return err
	}
	if a.flags.output == "name" {
		for _, ro := range rollouts {
			if _, err := fmt.Fprintln(a.stdout, rolloutType+"/"+ro.GetId()); err != nil {
				return err
			}
		}
		return nil
	}
	headers := []string{"ID", "REVISION", "PHASE", "WAVE", "CLUSTERS", "FAILED", "VERDICT", "BEGUN", "TOOK", "BY", "MESSAGE"}
	if apps {
		headers = append([]string{"APP"}, headers...)
	}
	wide := a.flags.output == "wide"
	if wide {
		headers = append(headers, "RELEASE", "PLAN")
	}
	t := a.table(nil, headers...)
	t.NoHeaders = noHeaders
	for _, ro := range rollouts {
		failed := ro.GetTotals().GetFailed() + ro.GetTotals().GetHadFailed()
		cells := []string{ro.GetId(), printer.Revision(ro.GetRevision()), ro.GetPhase(), waveText(ro), doneText(ro.GetTotals()), fmt.Sprint(failed),
			verdictText(ro), age(begunAt(ro), a.now()), tookText(ro, a.now()), ro.GetActor(), messageText(ro)}
		if apps {
			cells = append([]string{appOf(ro).pasted()}, cells...)
		}
		if wide {
			cells = append(cells, ro.GetTarget(), ro.GetPlanDigest())
		}
		t.Add(cells...)
	}
	return t.Flush(a.stdout)
}

// messageText says why the phase is what it is, and why the Rollout was begun.
func messageText(ro *adminv1.Rollout) string {
	var parts []string
	for _, part := range []string{whyText(ro), causeText(ro)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

// waveText is where a Rollout is: "2/5 eu"; of one that is over, nothing.
func waveText(ro *adminv1.Rollout) string {
	if wave := waveUnderWay(ro); wave != nil && !over(ro) {
		return fmt.Sprintf("%d/%d %s", ro.GetWave()+1, len(ro.GetWaves()), wave.GetName())
	}
	return ""
}

// begunAt is when a Rollout began, or was queued.
func begunAt(ro *adminv1.Rollout) *timestamppb.Timestamp {
	if ro.GetStarted().IsValid() {
		return ro.GetStarted()
	}
	return ro.GetCreated()
}

func tookText(ro *adminv1.Rollout, now time.Time) string {
	switch {
	case !ro.GetStarted().IsValid():
		return ""
	case ro.GetFinished().IsValid():
		now = ro.GetFinished().AsTime()
	}
	return printer.Duration(now.Sub(ro.GetStarted().AsTime()))
}
