package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type approveOptions struct {
	digest  string
	dryRun  bool
	confirm confirmation
}

func newPruneApproveCommand(a *app) *cobra.Command {
	var o approveOptions
	cmd := &cobra.Command{
		Use:   "approve KIND/NAME[@CLUSTER]",
		Short: "Let a held set of deletions go on",
		Long: "Let a held set of deletions go on, in every cluster that holds this very set, or in the one that is named. The\n" +
			"approval lapses in a cluster when its set changes. It has to be confirmed by the number of clusters.",
		Example:     `  fleetctl prune approve ks/podinfo --digest sha256:3f9c1a2b --confirm=3`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseApp(cmd, args)
			if err != nil {
				return err
			}
			return a.runPruneApprove(cmd.Context(), r, o)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	cmd.Flags().StringVar(&o.digest, "digest", "", "the set, as 'prune show' gives it, or the beginning of that; needed when several are held")
	addDryRunFlag(cmd, &o.dryRun)
	o.confirm.addFlags(cmd)
	return cmd
}

func (a *app) runPruneApprove(ctx context.Context, r ref, o approveOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	callCtx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	sets, err := h.heldSets(callCtx, r)
	if err != nil {
		return a.explain("show what is held of "+r.String(), err)
	}
	set, err := chooseSet(r, sets, o.digest)
	if err != nil {
		return err
	}
	request := &adminv1.ApproveRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster, Digest: set.GetDigest(), DryRun: o.dryRun,
	}
	if !o.dryRun {
		if err := a.confirmSet(ctx, r, set, o.confirm); err != nil {
			return err
		}
		request.Confirm = uint32(len(set.GetClusters()))
	}
	callCtx, cancel = a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.prunes.Approve(callCtx, request)
	if err != nil {
		return a.explain("approve", err)
	}
	if a.machine() {
		_, err := a.emit(heldSetDocument{
			Digest: set.GetDigest(), Clusters: response.GetClusters(), Reason: set.GetReason(), Count: set.GetCount(),
		})
		return err
	}
	line := fmt.Sprintf("%s approved %s in %s", r.typed(), printer.Revision(set.GetDigest()), strings.Join(response.GetClusters(), ", "))
	_, err = fmt.Fprintln(a.stdout, done(line, o.dryRun))
	return err
}

// confirmSet asks for the number of clusters that hold the set, and names its objects to whom it asks.
func (a *app) confirmSet(ctx context.Context, r ref, set *adminv1.HeldSet, c confirmation) error {
	summary := fmt.Sprintf("deletes %s in %s", count(int(set.GetCount()), "object"), strings.Join(set.GetClusters(), ", "))
	impact := &adminv1.Impact{Clusters: uint32(len(set.GetClusters())), Deletes: true, Summary: summary}
	if c.count < 0 && a.stdinTTY {
		for _, object := range set.GetObjects() {
			a.say(symbolWarn, "%s", object)
		}
	}
	return a.confirm(ctx, c, []stake{{what: r.String(), impact: impact}})
}

// minDigest is how much of a digest names a set: what `get` shows of one.
const minDigest = 8

// chooseSet returns the one set that is meant.
func chooseSet(r ref, sets []*adminv1.HeldSet, digest string) (*adminv1.HeldSet, error) {
	var meant []*adminv1.HeldSet
	for _, set := range sets {
		hex := strings.TrimPrefix(set.GetDigest(), "sha256:")
		wanted := strings.TrimPrefix(digest, "sha256:")
		if digest != "" && (len(wanted) < minDigest || !strings.HasPrefix(hex, wanted)) {
			continue
		}
		meant = append(meant, set)
	}
	switch {
	case len(meant) == 1:
		return meant[0], nil
	case len(meant) > 1:
		f := refuse("several sets of deletions of %s are held: one has to be named", r)
		for _, set := range meant {
			f.why += fmt.Sprintf("%s: %s in %s\n", set.GetDigest(), count(int(set.GetCount()), "object"), strings.Join(set.GetClusters(), ", "))
		}
		f.next = "--digest with one of these"
		return nil, f
	}
	f := &failure{code: exitNotFound, what: "no such set of deletions of " + r.String() + " is held", next: "fleetctl prune show " + r.command()}
	if digest != "" && len(sets) > 0 {
		f.why = "the set may have changed since it was shown: an approval is bound to one set"
	}
	return nil, f
}
