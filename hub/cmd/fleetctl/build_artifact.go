package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/disk"
)

func newBuildArtifactCommand(a *app) *cobra.Command {
	var f fileFlags
	var out string
	cmd := &cobra.Command{
		Use:   "artifact --path DIR",
		Short: "Write a directory as the archive that push artifact would push",
		Long:  "Write a directory as the archive that push artifact would push. The same files give the same bytes.",
		Example: `  fleetctl build artifact --path ./deploy --output app.tgz
  kustomize build . | fleetctl build artifact --path - --output app.tgz`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := demand(cmd, "path", "output"); err != nil {
				return err
			}
			archive, err := a.packed(cmd.Context(), cmd, f)
			if err != nil {
				return err
			}
			if err := disk.Replace(out, archive, 0o644); err != nil {
				return errors.New(out + ": " + innermost(err))
			}
			a.say(symbolDone, "artifact created at %s", out)
			_, err = fmt.Fprintln(a.stdout, out)
			return err
		},
	}
	f.add(cmd, "p")
	cmd.Flags().StringVarP(&out, "output", "o", "artifact.tgz", "file to write")
	return cmd
}
