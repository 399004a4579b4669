package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type deleteOptions struct {
	files          []string
	recursive      bool
	policy         string
	now            bool
	wait           bool
	dryRun         bool
	ignoreNotFound bool
	confirm        confirmation
}

var deletePolicies = map[string]adminv1.DeletePolicy{
	"":       adminv1.DeletePolicy_DELETE_POLICY_UNSPECIFIED,
	"delete": adminv1.DeletePolicy_DELETE_POLICY_DELETE,
	"orphan": adminv1.DeletePolicy_DELETE_POLICY_ORPHAN,
}

func newDeleteCommand(a *app) *cobra.Command {
	var o deleteOptions
	cmd := &cobra.Command{
		Use:   "delete KIND/NAME... | -f FILE|DIR|-",
		Short: "End objects, and what they put into clusters",
		Long: "End objects. What becomes of an app's objects in the clusters is its deletionPolicy's to say, or --policy's;\n" +
			"a deletion that may delete objects there has to be confirmed by the number of clusters.\n\n" +
			"ks/NAME@CLUSTER ends an app that the cluster's spoke knows and the hub does not; it needs --policy.",
		Example: `  fleetctl delete ks/podinfo
  fleetctl delete ks/podinfo --policy orphan
  fleetctl delete cluster/eu-1 --now
  fleetctl delete ks/old@eu-1 --policy delete`,
		Annotations: outputs("name", "json", "yaml"),
		Args:        between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := a.deletions(cmd, args, o)
			if err != nil {
				return err
			}
			return a.runDelete(cmd.Context(), refs, o)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.files, "filename", "f", nil, "file, directory, or - for stdin, that names the objects")
	flags.BoolVarP(&o.recursive, "recursive", "R", false, "take in the directories in a directory")
	flags.StringVar(&o.policy, "policy", "", "delete or orphan the app's objects, whatever the app says")
	flags.BoolVar(&o.now, "now", false, "a cluster: do not wait for its spoke to acknowledge")
	flags.BoolVar(&o.wait, "wait", false, "wait until the objects are gone")
	flags.BoolVar(&o.dryRun, "dry-run", false, "ask the hub what would happen and change nothing")
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "what is gone already is no error")
	o.confirm.addFlags(cmd)
	return cmd
}

// deletions are the objects that arguments or files name, in the order one ends them: what refers to others first.
func (a *app) deletions(cmd *cobra.Command, args []string, o deleteOptions) ([]ref, error) {
	if _, known := deletePolicies[o.policy]; !known {
		return nil, usagef(cmd, "--policy %q is not delete or orphan", o.policy)
	}
	refs, err := a.namedDeletions(cmd, args, o)
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		switch {
		case r.cluster == everyCluster:
			return nil, usagef(cmd, "%s: name one cluster", r)
		case r.cluster != "" && o.policy == "":
			return nil, usagef(cmd, "%s: --policy delete or --policy orphan is required", r)
		case o.policy != "" && !r.kind.App:
			return nil, usagef(cmd, "--policy is for apps, and %s is none", r)
		case o.now && r.kind.Name != resource.Cluster.Name:
			return nil, usagef(cmd, "--now is for clusters, and %s is none", r)
		}
	}
	slices.SortStableFunc(refs, func(a, b ref) int { return rank(b.kind) - rank(a.kind) })
	return refs, nil
}

func (a *app) namedDeletions(cmd *cobra.Command, args []string, o deleteOptions) ([]ref, error) {
	if len(o.files) == 0 {
		return a.parseRefs(cmd, args)
	}
	if len(args) > 0 {
		return nil, usagef(cmd, "-f and %q do not go together", args[0])
	}
	if err := a.settings(); err != nil {
		return nil, err
	}
	manifests, wrong := a.readManifests(o.files, o.recursive)
	declared := a.declare(manifests, &wrong, identify)
	if len(wrong) > 0 {
		return nil, wrong.failure("nothing was deleted", exitUsage)
	}
	if len(declared) == 0 {
		return nil, refuse("nothing to delete: there is no object in what was given")
	}
	var refs []ref
	for _, d := range declared {
		refs = append(refs, d.ref)
	}
	return refs, nil
}

func (a *app) runDelete(ctx context.Context, refs []ref, o deleteOptions) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	impacts, err := a.planDeletions(ctx, h, refs, o)
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.showDeletions(refs, impacts)
	}
	var stakes []stake
	for i, impact := range impacts {
		if grave(impact) {
			stakes = append(stakes, stake{refs[i].String(), impact})
		}
	}
	if err := a.confirm(ctx, o.confirm, stakes); err != nil {
		return err
	}
	var gone []ref
	err = a.each(refs, "delete", func(i int) error {
		deleted, err := a.deleteOne(ctx, h, refs[i], o, impacts[i])
		if deleted {
			gone = append(gone, refs[i])
		}
		return err
	})
	if err := errors.Join(err, a.printDeleted(gone, "")); err != nil || !o.wait {
		return err
	}
	var goals []goal
	for _, r := range gone {
		goals = append(goals, goal{ref: r, expect: []expectation{expectDeleted()}})
	}
	return a.waitFor(ctx, h, goals)
}

func (a *app) planDeletions(ctx context.Context, h *hub, refs []ref, o deleteOptions) ([]*adminv1.Impact, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	impacts := make([]*adminv1.Impact, len(refs))
	err := a.each(refs, "delete", func(i int) (err error) {
		impacts[i], err = planDelete(ctx, h, refs[i], o, len(refs) > 1)
		return err
	})
	return impacts, err
}

// planDelete asks what the deletion means. With several objects, one that others use may be free once those are
// deleted: the deletion itself then says.
func planDelete(ctx context.Context, h *hub, r ref, o deleteOptions, several bool) (*adminv1.Impact, error) {
	request := deleteRequest(r, o)
	request.DryRun = true
	response, err := h.objects.Delete(ctx, request)
	switch code := status.Code(err); {
	case code == codes.NotFound && o.ignoreNotFound, code == codes.FailedPrecondition && several:
		return &adminv1.Impact{}, nil
	case err != nil:
		return nil, err
	}
	return response.GetImpact(), nil
}

// deleteOne reports whether it deleted r; what was gone already it did not.
func (a *app) deleteOne(ctx context.Context, h *hub, r ref, o deleteOptions, impact *adminv1.Impact) (bool, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	request := deleteRequest(r, o)
	if grave(impact) {
		clusters := impact.GetClusters()
		request.Confirm = &clusters
	}
	_, err := h.objects.Delete(ctx, request)
	if status.Code(err) == codes.NotFound && o.ignoreNotFound {
		return false, nil
	}
	return err == nil, err
}

func deleteRequest(r ref, o deleteOptions) *adminv1.DeleteRequest {
	return &adminv1.DeleteRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster,
		Policy: deletePolicies[o.policy], Now: o.now,
	}
}

func (a *app) showDeletions(refs []ref, impacts []*adminv1.Impact) error {
	for i, r := range refs {
		a.say(symbolDo, "%s: %s", r, describeImpact(impacts[i]))
	}
	return a.printDeleted(refs, " (server dry run)")
}

func (a *app) printDeleted(refs []ref, suffix string) error {
	if len(refs) == 0 {
		return nil
	}
	return a.printRefs(refs, "deleted"+suffix)
}
