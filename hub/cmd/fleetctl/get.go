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

// selection is what the arguments of a `get` ask for: objects by name, or everything that queries select.
type selection struct {
	refs    []ref
	queries []query
}

func newGetCommand(a *app) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get KIND[,KIND] [NAME[@CLUSTER]...] | KIND/NAME[@CLUSTER]...",
		Short: "List objects, or their instances in clusters",
		Example: `  fleetctl get sources,ks -A             what is declared, in all namespaces
  fleetctl get ks/podinfo@eu-1           how an app is in one cluster
  fleetctl get ks -c eu-1                what one cluster runs
  fleetctl get ks/podinfo -c '*'         how an app is in every cluster
  fleetctl get clusters -l env=prod -w   clusters, and every change of them`,
		Annotations: outputs("json", "yaml", "name", "wide"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			selected, err := a.parseSelection(cmd, args, o)
			if err != nil {
				return err
			}
			return a.runGet(cmd.Context(), selected, o)
		},
		ValidArgsFunction: a.completeObjects(kindsAndNames),
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().StringVar(&o.name, "name", "", "only objects of this name")
	cmd.Flags().StringSliceVarP(&o.clusters, "cluster", "c", nil, "the apps' instances in these clusters; '*' is all of them")
	_ = cmd.RegisterFlagCompletionFunc("cluster", a.completeClusters)
	return cmd
}

func (o *getOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.selector, "selector", "l", "", "label selector, such as env=prod,region!=eu")
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
		return a.getNamed(ctx, h, selected.refs, o)
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
func (a *app) getNamed(ctx context.Context, h *hub, refs []ref, o getOptions) error {
	var objects []*object
	var missing []string
	for _, r := range refs {
		found, err := h.get(ctx, r)
		switch {
		case status.Code(err) == codes.NotFound:
			missing = append(missing, r.String()+a.whereMissing(r))
		case err != nil:
			return a.explain("get "+r.String(), err)
		default:
			objects = append(objects, found)
		}
	}
	var err error
	if len(objects) > 0 || len(refs) > 1 {
		err = a.printObjects(objects, len(refs) == 1, o)
	}
	if len(missing) > 0 {
		return errors.Join(&failure{
			code: exitNotFound, what: "not found: " + strings.Join(missing, ", "),
			why: "the hub has no such object", next: "fleetctl get " + refs[0].kind.Plural + " -A",
		}, err)
	}
	return err
}

func (a *app) whereMissing(r ref) string {
	if r.namespace == "" {
		return ""
	}
	return " in namespace " + r.namespace
}

// machine reports whether the output is for a program, which wants an empty list rather than words.
func (a *app) machine() bool { return a.flags.output == "json" || a.flags.output == "yaml" }

func noneFound(queries []query) string {
	var plurals []string
	for _, q := range queries {
		if plural := q.kind.Plural; len(plurals) == 0 || plurals[len(plurals)-1] != plural {
			plurals = append(plurals, plural)
		}
	}
	text := "No " + strings.Join(plurals, ", ") + " found"
	if namespace := queries[0].namespace; namespace != "" && queries[0].kind.Namespaced {
		text += " in namespace " + namespace
	}
	return text
}

// parseSelection reads the arguments of a `get`.
func (a *app) parseSelection(cmd *cobra.Command, args []string, o getOptions) (selection, error) {
	if err := a.settings(); err != nil {
		return selection{}, err
	}
	if o.watchEvents && !(o.watch && a.flags.output == "json") {
		return selection{}, usagef(cmd, "--output-watch-events needs -w and -o json")
	}
	if len(args) > 1 || strings.Contains(args[0], "/") {
		return a.parseNamedSelection(cmd, args, o)
	}
	var kinds []resource.Kind
	for _, word := range strings.Split(args[0], ",") {
		found, err := findKinds(cmd, word)
		if err != nil {
			return selection{}, err
		}
		kinds = append(kinds, found...)
	}
	var s selection
	for _, kind := range kinds {
		if len(o.clusters) > 0 && !kind.App {
			return selection{}, usagef(cmd, "-c: a %s has no instances in clusters", kind.Name)
		}
		q := query{kind: kind, selector: o.selector, name: o.name}
		if kind.Namespaced && !o.allNamespaces {
			q.namespace = a.namespace()
		}
		s.queries = append(s.queries, inClusters(q, o.clusters)...)
	}
	return s, nil
}

func (a *app) parseNamedSelection(cmd *cobra.Command, args []string, o getOptions) (selection, error) {
	switch {
	case o.selector != "":
		return selection{}, usagef(cmd, "-l selects objects: name none then")
	case o.name != "":
		return selection{}, usagef(cmd, "--name selects objects: name none then")
	case o.allNamespaces:
		return selection{}, usagef(cmd, "-A and a name do not go together: --name %s finds it in all namespaces", args[len(args)-1])
	}
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return selection{}, err
	}
	var s selection
	several := false
	for _, r := range refs {
		if len(o.clusters) > 0 && (r.cluster != "" || !r.kind.App) {
			return selection{}, usagef(cmd, "%s: -c does not go with it", r)
		}
		several = several || len(o.clusters) > 0 || r.cluster == everyCluster
		s.queries = append(s.queries, inClusters(queryOf(r), o.clusters)...)
	}
	if !several {
		s.refs = refs
	}
	return s, nil
}

// inClusters is q for each of the clusters, or as it is when none is given.
func inClusters(q query, clusters []string) []query {
	if len(clusters) == 0 {
		return []query{q}
	}
	var queries []query
	for _, cluster := range clusters {
		q.cluster = cluster
		queries = append(queries, q)
	}
	return queries
}

// watchSelection lists, then follows. Nothing but the person, or --timeout, ends it.
func (a *app) watchSelection(ctx context.Context, h *hub, s selection, o getOptions) error {
	ctx, cancel := a.bounded(ctx, 0)
	defer cancel()
	for _, r := range s.refs { // so that a wrong name is told rather than waited for
		readCtx, done := context.WithTimeout(ctx, callTimeout)
		_, err := h.get(readCtx, r)
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
