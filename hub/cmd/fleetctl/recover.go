package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// recoverTimeout is longer than other calls': the hub resolves and builds everything anew before it answers.
const recoverTimeout = 2 * time.Minute

func newHubCommand(a *app) *cobra.Command {
	return newGroup("hub", "Look after the hub itself", newRecoverCommand(a))
}

func newRecoverCommand(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Lead the fleet out of safe mode",
		Long: "Lead the fleet out of safe mode, after the hub's database was restored or emptied: what is declared at the hub now\n" +
			"is taken for right, every source is resolved anew, and the clusters that were ahead follow the hub again.\n" +
			"Apps that only the clusters know are kept: fleetctl get clusters shows them.",
		Annotations: outputs("json", "yaml"),
		Args:        between(0, 0),
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.runRecover(cmd.Context(), dryRun) },
	}
	addDryRunFlag(cmd, &dryRun)
	return cmd
}

func (a *app) runRecover(ctx context.Context, dryRun bool) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, recoverTimeout)
	defer cancel()
	if !dryRun {
		a.say(symbolDo, "leading the fleet out of safe mode")
	}
	response, err := h.admin.Recover(ctx, &adminv1.RecoverRequest{DryRun: dryRun})
	if err != nil {
		return a.explain("recover", err)
	}
	if a.machine() {
		_, err := a.emit(struct {
			Clusters []string `json:"clusters"`
			Sources  uint32   `json:"sources"`
		}{append([]string{}, response.GetClusters()...), response.GetSources()})
		return err
	}
	line := "no cluster was in safe mode"
	if clusters := response.GetClusters(); len(clusters) > 0 {
		line = strings.Join(clusters, ", ") + " left safe mode"
	}
	line += "; " + count(int(response.GetSources()), "source") + " resolved anew"
	_, err = fmt.Fprintln(a.stdout, done(line, dryRun))
	return err
}
