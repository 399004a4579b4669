package main

import (
	"context"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type reconcileOptions struct{ withSource, force, reset, wait, dryRun bool }

func newReconcileCommand(a *app) *cobra.Command {
	var o reconcileOptions
	cmd := &cobra.Command{
		Use:   "reconcile KIND/NAME[@CLUSTER]...",
		Short: "Ask for a look now",
		Long: "Ask for a look at sources or apps now, rather than at their interval. It returns when the request is recorded;\n" +
			"with --wait, when the clusters have reported what came of it.",
		Example: `  fleetctl reconcile ks/podinfo --with-source --wait
  fleetctl reconcile ks/podinfo@eu-1
  fleetctl reconcile hr/podinfo@eu-1 --force --reset
  fleetctl reconcile source/podinfo`,
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.parseRefs(cmd, args)
			if err != nil {
				return err
			}
			for _, r := range refs {
				switch {
				case r.cluster == everyCluster:
					return usagef(cmd, "%s: leave @* out", r)
				case !reconcilable(r.kind):
					return usagef(cmd, "%s: sources, apps and receivers can be reconciled", r)
				case o.withSource && !r.kind.App:
					return usagef(cmd, "%s: --with-source is for apps", r)
				case (o.force || o.reset) && r.kind.Name != resource.HelmRelease.Name:
					return usagef(cmd, "%s: --force and --reset are for HelmReleases", r)
				}
			}
			return a.runReconcile(cmd.Context(), refs, o)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	cmd.Flags().BoolVar(&o.withSource, "with-source", false, "an app: look at its source first")
	cmd.Flags().BoolVar(&o.force, "force", false, "a HelmRelease: install or upgrade it whatever its state")
	cmd.Flags().BoolVar(&o.reset, "reset", false, "a HelmRelease: forget its failures, so that it is tried again")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until it is done")
	addDryRunFlag(cmd, &o.dryRun)
	return cmd
}

// reconcilable reports whether the kind does anything by itself that one can ask for.
func reconcilable(kind resource.Kind) bool { return kind.Reconcilable() }

func (a *app) runReconcile(ctx context.Context, refs []ref, o reconcileOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	return a.each(refs, "reconcile", func(i int) (any, error) { return a.reconcileOne(ctx, h, refs[i], o) })
}

func (a *app) reconcileOne(ctx context.Context, h *hub, r ref, o reconcileOptions) (document any, err error) {
	if !o.dryRun {
		a.say(symbolDo, "asking for a look at %s", r)
	}
	callCtx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.apps.Reconcile(callCtx, &adminv1.ReconcileRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster, WithSource: o.withSource, Force: o.force, Reset_: o.reset, DryRun: o.dryRun,
	})
	if err != nil {
		return nil, err
	}
	var source *ref
	if kind, found := resource.KindOf(response.GetSourceKind()); found && o.withSource {
		its := ref{kind: kind, namespace: response.GetSourceNamespace(), name: response.GetSourceName()}
		if kind.Name == resource.ExternalArtifact.Name {
			a.say(symbolDo, "%s is not asked: what it has is pushed", its)
		} else {
			source = &its
			a.say(symbolDo, "%s is looked at first", source)
		}
	}
	a.sayClusters(r, "is looked at", response.GetClusters())
	if !o.dryRun {
		a.say(symbolDone, "requested at %s", response.GetRequestedAt())
	}
	if !o.wait {
		return a.printRequested(r, o, response)
	}
	final, err := a.waitHandled(ctx, h, r, source, response.GetRequestedAt())
	if err != nil {
		return nil, err
	}
	if revision := final.revision(); revision != "" {
		a.say(symbolDone, "%s is at revision %s", r, printer.Revision(revision))
	}
	return a.printStored(r, "reconciled", final.raw)
}

// printRequested tells on stdout that a look was asked for, or returns the request for a program.
func (a *app) printRequested(r ref, o reconcileOptions, response *adminv1.ReconcileResponse) (document any, err error) {
	if !a.machine() {
		return nil, a.printRefs([]ref{r}, done("requested", o.dryRun))
	}
	return struct {
		refDocument
		RequestedAt string   `json:"requestedAt,omitempty"`
		Clusters    []string `json:"clusters,omitempty"`
	}{r.document(), response.GetRequestedAt(), response.GetClusters()}, nil
}

// waitHandled waits until a request is served: by the source first, when there is one, then by what r names.
func (a *app) waitHandled(ctx context.Context, h *hub, r ref, source *ref, requestedAt string) (*object, error) {
	ctx, cancel := a.waitBound(ctx)
	defer cancel()
	if source != nil {
		found, err := a.await(ctx, h, goal{ref: *source, expect: []expectation{expectHandled(requestedAt, nil)}})
		if err != nil {
			return nil, err
		}
		a.say(symbolDone, "%s is at revision %s", *source, printer.Revision(found.revision()))
	}
	newest := func(ctx context.Context) (string, error) {
		if source == nil {
			return "", nil
		}
		found, err := h.get(ctx, *source)
		if err != nil {
			return "", err
		}
		return found.revision(), nil
	}
	return a.await(ctx, h, goal{ref: r, expect: []expectation{expectHandled(requestedAt, newest)}})
}

// expectHandled is met once the request is served with success, and lost once it is served without. With newest, the
// object must also have tried what its source is at: the request itself may be served before the source's news come.
func expectHandled(requestedAt string, newest func(context.Context) (string, error)) expectation {
	judge := func(ctx context.Context, o *object) (verdict, string, error) {
		ready := o.condition("Ready")
		switch {
		case o.suspended():
			return lost, standstill(o), nil
		case !handled(o.Status.LastHandledReconcileAt, requestedAt):
			return pending, "the request is not served yet: " + readiness(o), nil
		}
		if newest != nil {
			want, err := newest(ctx)
			if err != nil {
				return pending, "", err
			}
			if want != "" && o.Status.LastAttemptedRevision != want {
				return pending, "revision " + printer.Revision(want) + " is not there yet: " + readiness(o), nil
			}
		}
		switch {
		case stalled(o), awaitsPerson(o), ready.Status == string(fleet.False) && o.current():
			return lost, readiness(o), nil
		case ready.Status == string(fleet.True) && o.current() && o.arrived():
			return met, "", nil
		}
		return pending, readiness(o), nil
	}
	return expectation{text: "be reconciled", judge: func(ctx context.Context, o *object) (verdict, string, error) {
		if o == nil {
			return pending, "is not there yet", nil
		}
		return judge(ctx, o)
	}}
}

// handled reports whether a request, or a later one, is served.
func handled(last, requested string) bool {
	if last == requested {
		return true
	}
	_, served := fleet.CutRequest(last)
	_, asked := fleet.CutRequest(requested)
	return !served.IsZero() && !asked.IsZero() && !served.Before(asked)
}
