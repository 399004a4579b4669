package main

import (
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub"
)

func adminTokenCommand() *cobra.Command {
	var s settings
	var revokeOthers bool
	cmd := &cobra.Command{
		Use: "admin-token", Short: "Make another admin token, for when the first one was lost or has leaked", Args: cobra.NoArgs,
		Long: "Make another admin token and print it, or write it to --admin-token-file. With --revoke-others no token but the new one\n" +
			"is good for a call any more; a watch that is open goes on until it breaks. The hub may be running when its database is given by URL.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags()); err != nil {
				return err
			}
			return hub.AddAdminToken(cmd.Context(), s.config, revokeOthers)
		},
	}
	s.register(cmd.Flags())
	cmd.Flags().BoolVar(&revokeOthers, "revoke-others", false, "end every other admin token, for when one has leaked")
	return cmd
}
