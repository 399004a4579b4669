package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newHistoryCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "history KIND/NAME[@CLUSTER]",
		Short: "List the revisions and releases of an app, newest first",
		Long: "List the revisions that an app was built from, with the release that each came to and in how many clusters that is\n" +
			"applied; of an app in one cluster, the releases and what became of them there. The newest come first.\n\n" +
			"Of a HelmRelease in one cluster it lists the revisions of the Helm release there, as helm history does: what Helm has\n" +
			"stored, and what is recorded beside it. Of a cluster that does not answer, it lists what was last reported.",
		Example: `  fleetctl history ks/podinfo
  fleetctl history ks/podinfo@eu-1 -o json
  fleetctl history hr/podinfo@eu-1`,
		Annotations: outputs("wide", "json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseInstance(cmd, args)
			if err != nil {
				return err
			}
			if r.cluster == everyCluster {
				return usagef(cmd, "%s: name one cluster, or none", r)
			}
			if r.kind.Name == resource.HelmRelease.Name && r.cluster != "" {
				return a.runReleaseHistory(cmd.Context(), r)
			}
			return a.runHistory(cmd.Context(), r)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
}

// historyDocument is an entry for programs.
type historyDocument struct {
	Revision string `json:"revision"`
	Release  string `json:"release,omitempty"`
	FirstAt  string `json:"firstAt,omitempty"`
	LastAt   string `json:"lastAt,omitempty"`
	Current  bool   `json:"current"`
	Clusters uint32 `json:"clusters"`
	Ready    string `json:"ready"`
	Reason   string `json:"reason,omitempty"`
	Message  string `json:"message,omitempty"`
}

func (a *app) runHistory(ctx context.Context, r ref) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.apps.History(ctx, &adminv1.HistoryRequest{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster})
	if err != nil {
		return a.explain("read the history of "+r.String(), err)
	}
	if a.machine() {
		list := struct {
			Items []historyDocument `json:"items"`
		}{Items: []historyDocument{}}
		for _, e := range response.GetEntries() {
			list.Items = append(list.Items, historyDocument{
				Revision: e.GetRevision(), Release: e.GetRelease(), FirstAt: stamp(e.GetFirstAt()), LastAt: stamp(e.GetLastAt()),
				Current: e.GetCurrent(), Clusters: e.GetClusters(), Ready: e.GetReady(), Reason: e.GetReason(), Message: e.GetMessage(),
			})
		}
		_, err := a.emit(list)
		return err
	}
	if len(response.GetEntries()) == 0 {
		a.say(symbolDone, "%s has no history yet", r)
		return nil
	}
	return a.printHistory(r, response.GetEntries())
}

func (a *app) printHistory(r ref, entries []*adminv1.HistoryEntry) error {
	where := "CLUSTERS"
	if r.cluster != "" {
		where = "APPLIED"
	}
	t := a.table(inColumn(5, printer.Good), "REVISION", "RELEASE", "FIRST", "LAST", where, "READY", "MESSAGE")
	shorten := printer.Revision
	if a.flags.output == "wide" {
		shorten = func(text string) string { return text }
	}
	for _, e := range entries {
		clusters := fmt.Sprint(e.GetClusters())
		if r.cluster != "" {
			clusters = map[bool]string{true: "yes", false: "no"}[e.GetClusters() > 0]
		}
		t.Add(shorten(e.GetRevision()), shorten(e.GetRelease()), age(e.GetFirstAt(), a.now()), age(e.GetLastAt(), a.now()), clusters, e.GetReady(), historyMessage(e))
	}
	return t.Flush(a.stdout)
}

func historyMessage(e *adminv1.HistoryEntry) string {
	text := e.GetMessage()
	if text == "" {
		text = e.GetReason()
	}
	if e.GetReady() == string(fleet.False) && e.GetReason() != "" && e.GetMessage() != "" {
		text = e.GetReason() + ": " + text
	}
	switch {
	case e.GetCurrent() && text == "":
		return "current"
	case e.GetCurrent():
		return "current; " + text
	}
	return text
}

func age(at *timestamppb.Timestamp, now time.Time) string {
	if !at.IsValid() {
		return printer.Age(time.Time{}, now)
	}
	return printer.Age(at.AsTime(), now)
}

func stamp(at *timestamppb.Timestamp) string {
	if !at.IsValid() {
		return ""
	}
	return at.AsTime().Format(time.RFC3339)
}
