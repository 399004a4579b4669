package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

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
			"a deletion that may delete objects there has to be confirmed by the number of clusters. One that only has clusters no\n" +
			"longer kept up to date, or takes them out of a rollout under way, asks for a word: -y gives it.\n\n" +
			"ks/NAME@CLUSTER ends an app that the cluster's spoke knows and the hub does not; it needs --policy.",
		Example: `  fleetctl delete ks/podinfo
  fleetctl delete ks/podinfo --policy orphan
  fleetctl delete cluster/eu-1 --now -y
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
	flags.BoolVar(&o.wait, "wait", false, "wait until the objects are gone, and what apps put into clusters too")
	addDryRunFlag(cmd, &o.dryRun)
	flags.BoolVar(&o.ignoreNotFound, "ignore-not-found", false, "what is gone already is no error")
	o.confirm.addFlags(cmd)
	yes := flags.Lookup("yes")
	yes.Hidden, yes.Usage = false, "do not ask where nothing is deleted in clusters"
	return cmd
}

// endOrder is the order in which one ends objects. An App comes before its Placement: were that gone first, the App's
// objects would be left where they are, as the deletion table has it. What is referred to comes later.
var endOrder = []resource.Kind{
	resource.Receiver, resource.Kustomization, resource.HelmRelease, resource.Placement, resource.RolloutPolicy, resource.HelmChart, resource.ExternalArtifact, resource.Bucket, resource.OCIRepository,
	resource.GitRepository, resource.HelmRepository, resource.Credential, resource.ServiceAccount, resource.Secret, resource.Cluster,
}

func endRank(kind resource.Kind) int {
	return slices.IndexFunc(endOrder, func(k resource.Kind) bool { return k.Name == kind.Name })
}

// deletions are the objects that arguments or files name, in the order one ends them.
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
	slices.SortStableFunc(refs, func(a, b ref) int { return endRank(a.kind) - endRank(b.kind) })
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
	manifests, wrong, err := a.readManifests(cmd.Context(), o.files, o.recursive)
	if err != nil {
		return nil, err
	}
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
	planned, err := a.planDeletions(ctx, h, refs, o)
	if err != nil {
		return err
	}
	if o.dryRun {
		return a.showDeletions(planned)
	}
	if err := a.confirmDeletions(ctx, o.confirm, planned); err != nil {
		return err
	}
	var gone []ref
	err = a.each(refs, "delete", func(i int) (any, error) {
		deleted, err := a.deleteOne(ctx, h, planned[i], o)
		if deleted {
			gone = append(gone, refs[i])
		}
		return nil, err
	})
	tell := func([]*object) error { return a.printRefs(gone, "deleted") }
	switch {
	case err == nil && o.wait:
		return a.waitAfter(ctx, h, goneGoals(gone), tell)
	case err == nil || len(gone) > 0:
		err = errors.Join(err, tell(nil))
	}
	return err
}
