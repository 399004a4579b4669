package main

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"
)

func newTagCommand(a *app) *cobra.Command {
	return newGroup("tag", "Tag artifacts in a registry", newTagArtifactCommand(a))
}

func newTagArtifactCommand(a *app) *cobra.Command {
	var registry registryFlags
	var tags []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "artifact oci://HOST/REPOSITORY:TAG --tag TAG",
		Short:   "Give an artifact more tags",
		Example: `  fleetctl tag artifact oci://ghcr.io/org/config/app:1a2b3c4 --tag v1.0.0 --tag latest`,
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := demand(cmd, "tag"); err != nil {
				return err
			}
			return a.runTag(cmd, args[0], tags, registry, dryRun)
		},
	}
	registry.add(cmd)
	cmd.Flags().StringSliceVar(&tags, "tag", nil, "the new tag; may be repeated")
	addDryRunFlag(cmd, &dryRun)
	return cmd
}

func (a *app) runTag(cmd *cobra.Command, address string, tags []string, registry registryFlags, dryRun bool) error {
	reference, err := registry.parse(cmd, address)
	if err != nil {
		return err
	}
	var targets []name.Tag
	for _, tag := range tags {
		if _, err := name.NewTag(reference.Context().Name()+":"+tag, name.StrictValidation); err != nil {
			return usagef(cmd, "--tag %q is not a tag", tag)
		}
		targets = append(targets, reference.Context().Tag(tag))
	}
	ctx, cancel := a.bounded(cmd.Context(), callTimeout)
	defer cancel()
	found, err := remote.Get(reference, registry.options(ctx)...)
	if err != nil {
		return a.explainRegistry("look at "+reference.Name(), reference, err)
	}
	for _, target := range targets {
		if !dryRun {
			if err := remote.Tag(target, found, registry.options(ctx)...); err != nil {
				return a.explainRegistry("tag "+target.Name(), target, err)
			}
		}
		if _, err := fmt.Fprintln(a.stdout, target.Name()+" "+done("tagged", dryRun)); err != nil {
			return err
		}
	}
	return nil
}
