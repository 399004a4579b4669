package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// screenContent is what `status` shows.
type screenContent struct {
	*adminv1.StatusResponse
	rollouts []*adminv1.Rollout
	more     bool
	frozen   frozen
}

// maxInFlight bounds the Rollouts on the screen.
const maxInFlight = 20

// look reads what `status` shows. A hub that is older has no Rollouts.
func (h *hub) look(ctx context.Context) (screenContent, error) {
	response, err := h.admin.Status(ctx, &adminv1.StatusRequest{})
	s := screenContent{StatusResponse: response, frozen: &adminv1.GetFreezeResponse{}}
	if err != nil {
		return s, err
	}
	s.rollouts, s.more, err = h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Phases: inFlight}, maxInFlight, nil)
	if err != nil {
		return s, orOlder(err)
	}
	frozen, err := h.allFrozen(ctx)
	if err != nil {
		return s, orOlder(err)
	}
	s.frozen = frozen
	return s, nil
}

// orOlder is err, unless a hub says so that does not know what is asked.
func orOlder(err error) error {
	if status.Code(err) == codes.Unimplemented {
		return nil
	}
	return err
}

// rolloutSummaryDoc is a Rollout in flight for programs.
type rolloutSummaryDoc struct {
	ID       string      `json:"id"`
	App      appDocument `json:"app"`
	Revision string      `json:"revision,omitempty"`
	Phase    string      `json:"phase"`
	Reason   string      `json:"reason,omitempty"`
	Message  string      `json:"message,omitempty"`
	Cause    string      `json:"changeCause,omitempty"`
	Awaits   string      `json:"awaits,omitempty"`
	Wave     int32       `json:"wave"`
	Waves    int         `json:"waves"`
	Totals   totalsDoc   `json:"totals"`
}

func newRolloutSummaries(rollouts []*adminv1.Rollout) []rolloutSummaryDoc {
	all := []rolloutSummaryDoc{}
	for _, ro := range rollouts {
		all = append(all, rolloutSummaryDoc{
			ID: ro.GetId(), App: appDocument{ro.GetAppKind(), ro.GetAppNamespace(), ro.GetAppName()}, Revision: ro.GetRevision(), Phase: ro.GetPhase(),
			Reason: ro.GetReason(), Message: ro.GetMessage(), Cause: ro.GetChangeCause(), Awaits: awaited(ro), Wave: ro.GetWave(), Waves: len(ro.GetWaves()), Totals: newTotals(ro.GetTotals()),
		})
	}
	return all
}

// drawRollouts draws a line for each Rollout in flight, and what is frozen.
func (a *app) drawRollouts(out *bytes.Buffer, s screenContent) {
	for i, ro := range s.rollouts {
		if i == 0 {
			fmt.Fprintln(out, "ROLLOUTS")
		}
		fmt.Fprintln(out, "  "+a.rolloutLine(ro))
	}
	if s.more {
		fmt.Fprintln(out, "  and more: fleetctl get rollouts -A")
	}
	if f := s.frozen.GetFleet(); f != nil {
		fmt.Fprintf(out, "FROZEN     the fleet, by %s for %s: %s   %s fleetctl unfreeze\n", f.GetActor(), age(f.GetAt(), a.now()), printer.Fold(f.GetReason()), a.mark(symbolNext, false))
	}
	if clusters := s.frozen.GetClusters(); len(clusters) > 0 {
		var names []string
		for _, f := range clusters {
			names = append(names, f.GetCluster())
		}
		fmt.Fprintf(out, "FROZEN    %s   %s fleetctl freeze --show\n", strings.TrimPrefix(inClustersText(names), " in"), a.mark(symbolNext, false))
	}
}

// rolloutLine is a Rollout on one line of a screen, with the command that tells more or is waited for.
func (a *app) rolloutLine(ro *adminv1.Rollout) string {
	parts := []string{a.phaseMark(ro), ro.GetId() + " " + appOf(ro).pasted(), printer.Revision(ro.GetRevision())}
	if wave := waveText(ro); wave != "" {
		parts = append(parts, "wave "+wave, a.bar(ro.GetTotals())+" "+doneText(ro.GetTotals()))
	}
	parts = append(parts, troubles(ro.GetTotals())...)
	if why := whyText(ro); why != "" {
		parts = append(parts, why)
	}
	next := awaited(ro)
	if next == "" {
		next = "fleetctl rollout status " + ro.GetId()
	}
	return strings.Join(append(parts, a.mark(symbolNext, false)+" "+next), "   ")
}
