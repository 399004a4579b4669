package main

import (
	"context"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newResumeCommand(a *app) *cobra.Command {
	var all, wait, dryRun bool
	cmd := &cobra.Command{
		Use:   "resume KIND/NAME... | KIND --all",
		Short: "Look after suspended sources or apps again",
		Example: `  fleetctl resume ks/podinfo --wait
  fleetctl resume ks --all -n apps`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := a.parseReconcilable(cmd, args, all)
			if err != nil {
				return err
			}
			return a.runResume(cmd.Context(), chosen, wait, dryRun)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all of a kind in the namespace")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is done")
	addDryRunFlag(cmd, &dryRun)
	return cmd
}

func (a *app) runResume(ctx context.Context, s selection, wait, dryRun bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	refs, err := a.chosen(ctx, h, s)
	if err != nil {
		return err
	}
	return a.eachOf(refs, len(s.refs) == 1, "resume", func(i int) (any, error) {
		r := refs[i]
		callCtx, cancel := a.bounded(ctx, callTimeout)
		defer cancel()
		response, err := h.apps.Resume(callCtx, &adminv1.ResumeRequest{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, DryRun: dryRun})
		if err != nil {
			return nil, err
		}
		a.sayClusters(r, "is looked after again", response.GetClusters())
		if !wait {
			return a.printStored(r, done("resumed", dryRun), response.GetObject())
		}
		final, err := a.waitHandled(ctx, h, r, nil, response.GetRequestedAt())
		if err != nil {
			return nil, err
		}
		a.say(symbolDone, "%s is at revision %s", r, printer.Revision(final.revision()))
		return a.printStored(r, "resumed", final.raw)
	})
}
