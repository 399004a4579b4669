package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub"
)

func blobsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "blobs", Short: "Where the contents of files and manifests are kept"}
	cmd.AddCommand(blobsMoveCommand())
	return cmd
}

func blobsMoveCommand() *cobra.Command {
	var s settings
	var to string
	cmd := &cobra.Command{
		Use: "move --to database|s3://BUCKET/PREFIX?endpoint=HOST", Short: "Move the contents of files and manifests to another place", Args: cobra.NoArgs,
		Long: "Move the contents of files and manifests from where --blobs says (the database, without it) to another place. Stop every hub\n" +
			"of the database before, and start them with --blobs for the new place behind. Cut off, it goes on when it is called again. What\n" +
			"is moved out of object storage stays there; remove it when all hubs run again. Between two object storages the credential is one.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags()); err != nil {
				return err
			}
			moved, err := hub.MoveBlobs(cmd.Context(), s.config, to)
			if err != nil {
				return fmt.Errorf("%d moved before: %w", moved, err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "moved: %d\n", moved)
			return err
		},
	}
	s.register(cmd.Flags())
	cmd.Flags().StringVar(&to, "to", "", "database, or object storage as --blobs has it")
	_ = cmd.MarkFlagRequired("to") // it is there
	return cmd
}
