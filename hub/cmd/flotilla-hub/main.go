// Command flotilla-hub is the hub.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/telemetry"
)

func main() {
	render.Main() // does not return in a build worker
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once, and all that it started with it
	root := &cobra.Command{
		Use:           "flotilla-hub",
		Short:         "The hub of a fleet: fetches each source once, builds each artifact once, tells every cluster what to run",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), adminTokenCommand(), auditCommand(), blobsCommand(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), telemetry.Version())
			return err
		},
	})
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
