package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func newCreateSourceExternalCommand(a *app) *cobra.Command {
	var o createOptions
	var of string
	cmd := &cobra.Command{
		Use:   "external NAME",
		Short: "Make an ExternalArtifact, which pipelines push to",
		Long:  "Make an ExternalArtifact. What it has is pushed to the hub: see `push artifact`, which makes it too if it is not there.",
		Example: `  fleetctl create source external podinfo --source Pipeline/podinfo
  fleetctl push artifact ea/podinfo --path ./deploy --source "$(git remote get-url origin)" --revision "main@sha1:$(git rev-parse HEAD)"`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.newCreated(cmd, resource.ExternalArtifact, args[0], o)
			if err != nil {
				return err
			}
			spec := flux.ExternalArtifact{}
			if of != "" {
				kind, name, found := strings.Cut(of, "/")
				if !found {
					return usagef(cmd, "--source %q is not KIND/NAME", of)
				}
				spec.SourceRef = &flux.ExternalSourceRef{Kind: kind, Name: name}
			}
			source.Spec = spec
			return a.create(cmd.Context(), []created{source}, o, false) // until something is pushed, it is not ready
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&of, "source", "", "KIND/NAME of what makes the artifact, for people")
	return cmd
}
