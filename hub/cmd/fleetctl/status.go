package main

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// statusPeriod is how often `status -w` looks: the counts are of everything, so there is no list to follow.
const statusPeriod = 2 * time.Second

func newStatusCommand(a *app) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:         "status",
		Short:       "Show the fleet on one screen",
		Annotations: outputs("json", "yaml"),
		Args:        between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runStatus(cmd.Context(), watch)
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep it up to date")
	return cmd
}

func (a *app) runStatus(ctx context.Context, watch bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	if !watch {
		ctx, cancel := a.bounded(ctx, callTimeout)
		defer cancel()
		response, err := h.look(ctx)
		if err != nil {
			return a.explain("status", err)
		}
		if written, err := a.emit(a.newStatusDocument(response)); written {
			return err
		}
		return a.drawStatus(response, "")
	}
	ctx, cancel := a.bounded(ctx, 0)
	defer cancel()
	return a.watchStatus(ctx, h)
}

// watchStatus draws the screen anew on a terminal, and elsewhere adds one whenever it differs.
func (a *app) watchStatus(ctx context.Context, h *hub) error {
	var before statusDocument
	for first := true; ; first = false {
		response, err := h.look(ctx)
		document := a.newStatusDocument(response)
		switch {
		case ctx.Err() != nil:
			return a.stoppedFollowing(ctx.Err(), err)
		case err != nil && (first || status.Code(err) != codes.Unavailable):
			return a.explain("status", err)
		case err != nil:
			a.say(symbolWarn, "the connection to the hub is lost; trying again until it is back")
		case !reflect.DeepEqual(document, before):
			before = document
			if err := a.drawNextStatus(response, document); err != nil {
				return err
			}
		}
		_ = a.pause(ctx, statusPeriod) // the end of ctx is seen above
	}
}

// drawNextStatus draws one screen of several.
func (a *app) drawNextStatus(s screenContent, document statusDocument) error {
	if written, err := a.emitNext(document); written {
		return err
	}
	wipe := ""
	if a.stdoutTTY {
		wipe = "\x1b[H\x1b[2J"
	}
	return a.drawStatus(s, wipe)
}

// statusDocument is the screen for programs.
type statusDocument struct {
	Hub      string            `json:"hub"`
	Version  string            `json:"hubVersion"`
	Clusters countsDocument    `json:"clusters"`
	Sources  countsDocument    `json:"sources"`
	Apps     countsDocument    `json:"apps"`
	SafeMode []string          `json:"safeMode"`
	Held     []troubleDocument `json:"held"`
	Troubles []troubleDocument `json:"troubles"`
	// Rollouts in flight.
	Rollouts []rolloutSummaryDoc `json:"rollouts"`
	Frozen   freezeDocument      `json:"frozen"`
}

type countsDocument struct {
	Total       uint32 `json:"total"`
	Ready       uint32 `json:"ready"`
	Progressing uint32 `json:"progressing"`
	Failed      uint32 `json:"failed"`
	Unknown     uint32 `json:"unknown"`
	Suspended   uint32 `json:"suspended"`
}

type troubleDocument struct {
	Object   string   `json:"object"`
	Clusters []string `json:"clusters"`
	Message  string   `json:"message"`
}

func newCounts(c *adminv1.Counts) countsDocument {
	return countsDocument{
		Total: c.GetTotal(), Ready: c.GetReady(), Progressing: c.GetProgressing(), Failed: c.GetFailed(),
		Unknown: c.GetUnknown(), Suspended: c.GetSuspended(),
	}
}

func (a *app) newStatusDocument(s screenContent) statusDocument {
	return statusDocument{
		Hub: a.address(), Version: s.GetHubVersion(), Clusters: newCounts(s.GetClusters()), Sources: newCounts(s.GetSources()),
		Apps: newCounts(s.GetApps()), SafeMode: append([]string{}, s.GetSafeMode()...),
		Held: newTroubles(s.GetHeld()), Troubles: newTroubles(s.GetTroubles()),
		Rollouts: newRolloutSummaries(s.rollouts), Frozen: newFreezeDocument(s.frozen),
	}
}

func newTroubles(troubles []*adminv1.Trouble) []troubleDocument {
	documents := []troubleDocument{}
	for _, t := range troubles {
		documents = append(documents, troubleDocument{
			Object: t.GetObject(), Clusters: append([]string{}, t.GetClusters()...), Message: t.GetMessage(),
		})
	}
	return documents
}

// drawStatus draws the screen behind wipe, which takes the one before away: in one write, so that it does not flicker.
func (a *app) drawStatus(s screenContent, wipe string) error {
	out := bytes.NewBufferString(wipe)
	name := a.context.Name
	if name == "" || a.flags.hub != "" {
		name = a.address()
	}
	fmt.Fprintf(out, "FLEET %s   hub %s\n", name, s.GetHubVersion())
	a.drawCounts(out, "CLUSTERS", s.GetClusters())
	a.drawCounts(out, "SOURCES", s.GetSources())
	a.drawCounts(out, "APPS", s.GetApps())
	a.drawRollouts(out, s)
	if safe := s.GetSafeMode(); len(safe) > 0 {
		fmt.Fprintf(out, "SAFE MODE  %s: nothing is sent there   %s fleetctl hub recover\n", strings.Join(safe, ", "), a.mark(symbolNext, false))
	}
	a.drawTroubles(out, "PRUNES HELD", symbolWarn, s.GetHeld(), func(t *adminv1.Trouble) string { return "prune show " + t.GetObject() })
	a.drawTroubles(out, "TROUBLES", symbolFail, s.GetTroubles(), func(t *adminv1.Trouble) string { return "describe " + troubleRef(t) })
	_, err := a.stdout.Write(out.Bytes())
	return err
}

// drawTroubles draws a line for each trouble, with the command that tells more of it.
func (a *app) drawTroubles(out *bytes.Buffer, title string, s symbol, troubles []*adminv1.Trouble, more func(*adminv1.Trouble) string) {
	for i, t := range troubles {
		if i == 0 {
			fmt.Fprintln(out, title)
		}
		fmt.Fprintf(out, "  %s %s%s: %s   %s fleetctl %s\n", a.mark(s, a.colours(a.stdoutTTY)),
			t.GetObject(), inClustersText(t.GetClusters()), printer.Fold(t.GetMessage()), a.mark(symbolNext, false), more(t))
	}
}

func (a *app) drawCounts(out *bytes.Buffer, title string, c *adminv1.Counts) {
	coloured := a.colours(a.stdoutTTY)
	fmt.Fprintf(out, "%-10s %d", title, c.GetTotal())
	for _, part := range []struct {
		symbol symbol
		n      uint32
		word   string
	}{
		{symbolDone, c.GetReady(), "ready"}, {symbolWait, c.GetProgressing(), "progressing"}, {symbolFail, c.GetFailed(), "failed"},
		{symbolWarn, c.GetUnknown(), "unknown"}, {symbolDo, c.GetSuspended(), "suspended"},
	} {
		if part.n > 0 || part.word == "ready" {
			fmt.Fprintf(out, "   %s %d %s", a.mark(part.symbol, coloured), part.n, part.word)
		}
	}
	fmt.Fprintln(out)
}

// inClustersText names the clusters where they are few, and counts them otherwise.
func inClustersText(clusters []string) string {
	switch {
	case len(clusters) == 0:
		return ""
	case len(clusters) <= 3:
		return " in " + strings.Join(clusters, ", ")
	}
	return fmt.Sprintf(" in %d clusters (%s, ...)", len(clusters), strings.Join(clusters[:3], ", "))
}

// troubleRef is the first place to look at: "Kustomization/apps/app@eu-1".
func troubleRef(t *adminv1.Trouble) string {
	if clusters := t.GetClusters(); len(clusters) > 0 {
		return t.GetObject() + "@" + clusters[0]
	}
	return t.GetObject()
}
