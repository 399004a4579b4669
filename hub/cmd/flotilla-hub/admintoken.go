package main

import (
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub"
)

func adminTokenCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "admin-token", Short: "Make another admin token, for when the first one was lost", Args: cobra.NoArgs,
		Long: "Make another admin token and print it, or write it to --admin-token-file. The hub may be running when its database is given by URL.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags()); err != nil {
				return err
			}
			return hub.AddAdminToken(cmd.Context(), s.config)
		},
	}
	s.register(cmd.Flags())
	return cmd
}
