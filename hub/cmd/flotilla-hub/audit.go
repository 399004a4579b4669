package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Look into the log of what people changed"}
	cmd.AddCommand(auditVerifyCommand())
	return cmd
}

func auditVerifyCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no row of the audit log was changed, or taken out between others", Args: cobra.NoArgs,
		Long: "Walk the chain of hashes of the audit log, print how many rows it has and the hash of the newest, and fail at the first\n" +
			"row that is not as it was written. The newest hash stands for all rows before it: kept elsewhere, it shows a log that\n" +
			"was written anew. The hub may be running when its database is given by URL.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags()); err != nil {
				return err
			}
			rows, err := hub.VerifyAudit(cmd.Context(), s.config)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if len(rows) == 0 {
				_, err = fmt.Fprintln(out, "the audit log is empty")
				return err
			}
			newest := rows[len(rows)-1]
			_, err = fmt.Fprintf(out, "verified: %d\nnewest: %d %s\n", len(rows), newest.Number, newest.Hash)
			return err
		},
	}
	s.register(cmd.Flags())
	return cmd
}
