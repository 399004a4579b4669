package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type eventsOptions struct {
	about         string
	cluster       string
	types         string
	since         time.Duration
	allNamespaces bool
	limit         uint32
	watch         bool
	noHeaders     bool
}

func newEventsCommand(a *app) *cobra.Command {
	var o eventsOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what happened",
		Example: `  fleetctl events --for ks/podinfo -w
  fleetctl events --for ks/podinfo@eu-1
  fleetctl events -A --types Warning --since 1h
  fleetctl events -c eu-1`,
		Annotations: outputs("json", "yaml", "wide"),
		Args:        between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := a.eventFilter(cmd, o)
			if err != nil {
				return err
			}
			return a.runEvents(cmd.Context(), filter, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.about, "for", "", "only of KIND/NAME[@CLUSTER]")
	flags.StringVarP(&o.cluster, "cluster", "c", "", "only of this cluster, in all namespaces unless -n is given")
	flags.StringVar(&o.types, "types", "", "Warning, or Normal,Warning")
	flags.DurationVar(&o.since, "since", 0, "only of this long ago or later, such as 90s or 1h")
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	flags.Uint32Var(&o.limit, "limit", 0, "at most this many of the newest (default 200)")
	flags.BoolVarP(&o.watch, "watch", "w", false, "follow what happens after the list")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "leave the header line out")
	_ = cmd.RegisterFlagCompletionFunc("for", a.completeObjects(oneRef))
	_ = cmd.RegisterFlagCompletionFunc("cluster", a.completeClusters)
	return cmd
}

func (a *app) eventFilter(cmd *cobra.Command, o eventsOptions) (*adminv1.EventFilter, error) {
	if err := a.settings(); err != nil {
		return nil, err
	}
	warnings, err := onlyWarnings(cmd, o.types)
	if err != nil {
		return nil, err
	}
	filter := &adminv1.EventFilter{Cluster: o.cluster, Warnings: warnings}
	switch {
	case o.since < 0:
		return nil, usagef(cmd, "--since %s is not in the past: give how long ago, such as 1h", o.since)
	case o.since > 0:
		filter.Since = timestamppb.New(a.now().Add(-o.since))
	}
	if o.about != "" {
		refs, err := a.parseRefs(cmd, []string{o.about})
		if err != nil {
			return nil, err
		}
		r := refs[0]
		switch {
		case o.allNamespaces:
			return nil, usagef(cmd, "--for %s and -A do not go together", r)
		case r.cluster != "" && o.cluster != "" && r.cluster != o.cluster:
			return nil, usagef(cmd, "--for %s and -c %s do not go together", r, o.cluster)
		}
		if r.kind.Name == resource.Cluster.Name {
			r.cluster, r.kind, r.name = r.name, resource.Kind{}, "" // a cluster's events are those in it
		}
		filter.Kind, filter.Namespace, filter.Name = r.kind.Name, r.namespace, r.name
		if r.cluster != everyCluster && r.cluster != "" {
			filter.Cluster = r.cluster
		}
		return filter, nil
	}
	if !o.allNamespaces && (o.cluster == "" || a.given["namespace"]) {
		filter.Namespace = a.namespace()
	}
	return filter, nil
}

// onlyWarnings reads --types.
func onlyWarnings(cmd *cobra.Command, types string) (bool, error) {
	words := map[string]bool{}
	for _, word := range strings.Split(strings.ToLower(types), ",") {
		words[word] = true
	}
	warnings, normal := words["warning"], words["normal"]
	delete(words, "warning")
	delete(words, "normal")
	delete(words, "")
	if len(words) > 0 || normal && !warnings {
		return false, usagef(cmd, "--types %q is not Warning, or Normal,Warning", types)
	}
	return warnings && !normal, nil
}

func (a *app) runEvents(ctx context.Context, filter *adminv1.EventFilter, o eventsOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	request := &adminv1.EventsServiceListRequest{Filter: filter, Limit: o.limit}
	callCtx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.events.List(callCtx, request)
	if err != nil {
		return a.explain("list events", err)
	}
	sink := newEventPrinter(a, o)
	if !o.watch {
		if len(response.GetEvents()) == 0 && !a.machine() {
			a.say(symbolWarn, "%s", noEvents(filter, o))
		}
		return sink.all(response.GetEvents())
	}
	if err := sink.each(response.GetEvents()); err != nil {
		return err
	}
	ctx, cancelWatch := a.bounded(ctx, 0)
	defer cancelWatch()
	w := &watchingEvents{hub: h, request: request, token: response.GetWatchToken(), print: sink.each}
	w.saw(response.GetEvents())
	err = a.reconnecting(ctx, w.round)
	return a.stoppedFollowing(ctx.Err(), a.explain("follow events", err))
}

// noEvents says that there are none, and of what: a filter may be misspelt.
func noEvents(filter *adminv1.EventFilter, o eventsOptions) string {
	text := "No events found"
	if filter.GetWarnings() {
		text = "No warnings found"
	}
	kind, about := resource.KindOf(filter.GetKind())
	switch {
	case about:
		text += " for " + ref{kind: kind, name: filter.GetName(), cluster: filter.GetCluster()}.String()
	case filter.GetCluster() != "":
		text += " in cluster " + filter.GetCluster()
	}
	if o.since > 0 {
		text += " of the last " + o.since.String()
	}
	if filter.GetNamespace() != "" {
		text += " in namespace " + filter.GetNamespace()
		if !about {
			text += " (-A lists all)"
		}
	}
	return text
}
