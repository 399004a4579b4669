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
	// refs are set where names are given; one may mean an App's instances in every cluster.
	refs    []ref
	queries []query
}

func newGetCommand(a *app) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get KIND[,KIND...] | KIND NAME[@CLUSTER]... | KIND/NAME[@CLUSTER]...",
		Short: "List objects, or their instances in clusters",
		Long: "List objects, or with -c or @CLUSTER, the instances that apps have in clusters.\n\n" +
			"-l selects by the objects' own labels; an instance has those of its app. The clusters of an app are chosen with -c.",
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

// named returns the object that r names; for every cluster, its instances, of which there may be none where the App
// itself is declared.
func (h *hub) named(ctx context.Context, r ref) ([]*object, error) {
	if r.cluster != everyCluster {
		found, err := h.get(ctx, r)
		if err != nil {
			return nil, err
		}
		return []*object{found}, nil
	}
	objects, _, err := h.list(ctx, queryOf(r))
	if err != nil || len(objects) > 0 {
		return objects, err
	}
	r.cluster = ""
	_, err = h.get(ctx, r)
	return nil, err
}

func whereMissing(r ref) string {
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
	for _, r := range refs {
		if len(o.clusters) > 0 && (r.cluster != "" || !r.kind.App) {
			return selection{}, usagef(cmd, "%s: -c does not go with it", r)
		}
		for _, q := range inClusters(queryOf(r), o.clusters) {
			r.cluster = q.cluster
			s.refs, s.queries = append(s.refs, r), append(s.queries, q)
		}
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
