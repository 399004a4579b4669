package main

import (
	"context"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newSuspendCommand(a *app) *cobra.Command {
	return &cobra.Command{
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
			return a.runSuspend(cmd.Context(), refs)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
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

func (a *app) runSuspend(ctx context.Context, refs []ref) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	return a.each(refs, "suspend", func(i int) error {
		r := refs[i]
		response, err := h.apps.Suspend(ctx, &adminv1.SuspendRequest{Kind: r.kind.Name, Namespace: r.namespace, Name: r.name})
		if err != nil {
			return err
		}
		return a.printStored(r, "suspended", response.GetObject())
	})
}

// printStored says what was done to an object, or gives the object to a program.
func (a *app) printStored(r ref, done string, raw []byte) error {
	if !a.machine() {
		return a.printRefs([]ref{r}, done)
	}
	o, err := readObject(raw)
	if err == nil {
		a.collect(o.raw)
	}
	return err
}
