package main

import (
	"context"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newSuspendCommand(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "suspend KIND/NAME...",
		Short: "Stop looking after sources or apps",
		Long:  "Stop looking after sources or apps: what is in the clusters stays as it is, and drift is not undone.",
		Example: `  fleetctl suspend ks/podinfo
  fleetctl suspend source/podinfo`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.parseReconcilable(cmd, args)
			if err != nil {
				return err
			}
			return a.runSuspend(cmd.Context(), refs, dryRun)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	addDryRunFlag(cmd, &dryRun)
	return cmd
}

// parseReconcilable reads refs of what can be suspended and resumed, which acts on the whole fleet.
func (a *app) parseReconcilable(cmd *cobra.Command, args []string) ([]ref, error) {
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		if !reconcilable(r.kind) {
			return nil, usagef(cmd, "%s: sources and apps can be suspended and resumed", r)
		}
	}
	return refs, fleetWide(cmd, refs)
}

func (a *app) runSuspend(ctx context.Context, refs []ref, dryRun bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	return a.each(refs, "suspend", func(i int) (any, error) {
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
