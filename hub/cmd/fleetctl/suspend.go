package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newSuspendCommand(a *app) *cobra.Command {
	var all, dryRun bool
	cmd := &cobra.Command{
		Use:   "suspend KIND/NAME... | KIND --all",
		Short: "Stop looking after sources or apps",
		Long:  "Stop looking after sources or apps: what is in the clusters stays as it is, and drift is not undone.",
		Example: `  fleetctl suspend ks/podinfo
  fleetctl suspend source/podinfo
  fleetctl suspend ks --all -n apps`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := a.parseReconcilable(cmd, args, all)
			if err != nil {
				return err
			}
			return a.runSuspend(cmd.Context(), chosen, dryRun)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all of a kind in the namespace")
	addDryRunFlag(cmd, &dryRun)
	return cmd
}

// parseReconcilable reads what can be suspended and resumed, by name or all of a kind. It acts on the whole fleet.
func (a *app) parseReconcilable(cmd *cobra.Command, args []string, all bool) (selection, error) {
	if all {
		return a.parseAll(cmd, args)
	}
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return selection{}, err
	}
	for _, r := range refs {
		if !reconcilable(r.kind) {
			return selection{}, usagef(cmd, "%s: sources, apps and receivers can be suspended and resumed", r)
		}
	}
	return selection{refs: refs}, fleetWide(cmd, refs)
}

// parseAll reads KIND... of --all.
func (a *app) parseAll(cmd *cobra.Command, args []string) (selection, error) {
	if err := a.settings(); err != nil {
		return selection{}, err
	}
	args = fluxWords(args)
	if len(args) == 0 {
		return selection{}, usagef(cmd, "--all needs a kind")
	}
	var s selection
	for _, word := range args {
		if strings.Contains(word, "/") {
			return selection{}, usagef(cmd, "%s: --all means all of a kind: name none", word)
		}
		kinds, err := findKinds(cmd, word)
		if err != nil {
			return selection{}, err
		}
		for _, kind := range kinds {
			if !reconcilable(kind) {
				return selection{}, usagef(cmd, "%s: sources, apps and receivers can be suspended and resumed", word)
			}
			s.queries = append(s.queries, query{kind: kind, namespace: a.namespace()})
		}
	}
	return s, nil
}

func (a *app) runSuspend(ctx context.Context, s selection, dryRun bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	refs, err := a.chosen(ctx, h, s)
	if err != nil {
		return err
	}
	return a.eachOf(refs, len(s.refs) == 1, "suspend", func(i int) (any, error) {
		r := refs[i]
		ctx, cancel := a.bounded(ctx, callTimeout)
		defer cancel()
		response, err := h.apps.Suspend(ctx, &adminv1.SuspendRequest{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, DryRun: dryRun})
		if err != nil {
			return nil, err
		}
		a.sayClusters(r, "stays as it is", response.GetClusters())
		return a.printStored(r, done("suspended", dryRun), response.GetObject())
	})
}

// sayClusters tells where a change of an App takes effect.
func (a *app) sayClusters(r ref, effect string, clusters []string) {
	if len(clusters) > 0 {
		a.say(symbolDo, "%s %s%s", r, effect, inClustersText(clusters))
	}
}

// printStored says what was done to an object, or returns the object for a program.
func (a *app) printStored(r ref, done string, raw []byte) (document any, err error) {
	if !a.machine() {
		return nil, a.printRefs([]ref{r}, done)
	}
	o, err := readObject(raw)
	if err != nil {
		return nil, err
	}
	return o.raw, nil
}
