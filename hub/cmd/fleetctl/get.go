package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
)

// getOptions are what `get` and `cluster list` can be asked.
type getOptions struct {
	allNamespaces bool
	selector      string
	name          string
	clusters      []string
	noHeaders     bool
	watch         bool
	watchEvents   bool
}

func newGetCommand(a *app) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get KIND[,KIND...] | KIND NAME[@CLUSTER]... | KIND/NAME[@CLUSTER]... | ID...",
		Short: "List objects, or their instances in clusters",
		Long: "List objects, or with -c or @CLUSTER, the instances that apps have in clusters.\n\n" +
			"-l selects by the objects' own labels; an instance has those of its app. The clusters of an app are chosen with -c.\n\n" +
			"An ID is that of a rollout.",
		Example: `  fleetctl get sources,ks -A             what is declared, in all namespaces
  fleetctl get sources git               as Flux's client has it, too
  fleetctl get ks/podinfo@eu-1           how an app is in one cluster
  fleetctl get ks -c eu-1                what one cluster runs
  fleetctl get ks/podinfo -c '*'         how an app is in every cluster
  fleetctl get clusters -l env=prod -w   clusters, and every change of them
  fleetctl get rollouts -A               what goes, and went, through the fleet`,
		Annotations: outputs("json", "yaml", "name", "wide"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asksForRollouts(args) {
				return a.runGetRollouts(cmd, args, o)
			}
			selected, err := a.parseSelection(cmd, args, o)
			if err != nil {
				return err
			}
			return a.runGet(cmd.Context(), selected, o)
		},
		ValidArgsFunction: a.completeGet,
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().StringVar(&o.name, "name", "", "only objects of this name")
	cmd.Flags().StringSliceVarP(&o.clusters, "cluster", "c", nil, "the apps' instances in these clusters; '*' is all of them")
	_ = cmd.RegisterFlagCompletionFunc("cluster", a.completeClusters)
	return cmd
}

func (o *getOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "only objects whose labels match, such as env=prod,region!=eu")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave the header line out")
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "follow what changes after the list")
	cmd.Flags().BoolVar(&o.watchEvents, "output-watch-events", false, `with -w -o json: {"type":"ADDED|MODIFIED|DELETED","object":...}`)
}

func (a *app) runGet(ctx context.Context, selected selection, o getOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	if o.watch {
		return a.watchSelection(ctx, h, selected, o)
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	if len(selected.refs) > 0 {
		return a.getNamed(ctx, h, selected, o)
	}
	var objects []*object
	for _, q := range selected.queries {
		found, _, err := h.list(ctx, q)
		if err != nil {
			return a.explain("get "+q.kind.Plural, err)
		}
		objects = append(objects, found...)
	}
	if len(objects) == 0 && !a.machine() {
		a.say(symbolWarn, "%s", noneFound(selected.queries))
	}
	return a.printObjects(objects, false, o)
}

// getNamed prints what is there and fails with what is not.
func (a *app) getNamed(ctx context.Context, h *hub, s selection, o getOptions) error {
	var objects []*object
	var missing []string
	f := &failure{code: exitNotFound}
	for _, r := range s.refs {
		found, err := h.named(ctx, r)
		switch {
		case status.Code(err) == codes.NotFound:
			missing = append(missing, r.String()+whereMissing(r))
			f.why += status.Convert(err).Message() + "\n"
			f.next = whereToLook(r, err)
		case err != nil:
			return a.explain("get "+r.String(), err)
		case len(found) == 0 && !a.machine():
			a.say(symbolWarn, "no cluster has %s/%s", shortName(r.kind), r.name)
		}
		objects = append(objects, found...)
	}
	var err error
	if len(objects) > 0 || len(missing) < len(s.refs) || len(s.refs) > 1 {
		err = a.printObjects(objects, len(s.refs) == 1 && s.refs[0].cluster != everyCluster, o)
	}
	if len(missing) > 0 {
		f.what = "not found: " + strings.Join(missing, ", ")
		return errors.Join(f, err)
	}
	return err
}

// whereToLook lists what there is of what err says is missing: r, or its cluster.
func whereToLook(r ref, err error) string {
	switch {
	case r.cluster != "" && strings.Contains(err.Error(), resource.Cluster.Name+"/"):
		return "fleetctl get " + resource.Cluster.Plural
	case r.kind.Namespaced:
		return "fleetctl get " + r.kind.Plural + " -A"
	}
	return "fleetctl get " + r.kind.Plural
}

func whereMissing(r ref) string {
	if r.namespace == "" {
		return ""
	}
	return " in namespace " + r.namespace
}

// machine reports whether the output is for a program, which wants an empty list rather than words.
func (a *app) machine() bool { return a.flags.output == "json" || a.flags.output == "yaml" }

// watchSelection lists, then follows. Nothing but the person, or --timeout, ends it.
func (a *app) watchSelection(ctx context.Context, h *hub, s selection, o getOptions) error {
	ctx, cancel := a.bounded(ctx, 0)
	defer cancel()
	for _, r := range s.refs { // so that a wrong name is told rather than waited for
		readCtx, done := context.WithTimeout(ctx, callTimeout)
		_, err := h.named(readCtx, r)
		done()
		if err != nil {
			return a.explain("get "+r.String(), err)
		}
	}
	sink := newWatchPrinter(a, s, o)
	ends := make(chan error, len(s.queries))
	for _, q := range s.queries {
		go func() { ends <- a.follow(ctx, h, q, sink) }()
	}
	first := <-ends
	ended := ctx.Err()
	cancel()
	for range len(s.queries) - 1 {
		<-ends
	}
	return a.stoppedFollowing(ended, first)
}

// stoppedFollowing is how a follow ended: ended is what the context said then, err what the follow returned.
func (a *app) stoppedFollowing(ended, err error) error {
	switch {
	case errors.Is(ended, context.DeadlineExceeded), ended == nil && status.Code(err) == codes.DeadlineExceeded: // the hub may see it first
		return &failure{code: exitTimeout, what: "stopped following after " + a.flags.timeout.String()}
	case ended != nil:
		return errors.Join(ended, errReading)
	}
	return err
}
