package main

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/telemetry"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newVersionCommand(a *app) *cobra.Command {
	var clientOnly bool
	cmd := &cobra.Command{
		Use:         "version",
		Short:       "Show the versions of fleetctl, the hub and the spokes",
		Annotations: outputs("json", "yaml"),
		Args:        between(0, 0),
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.runVersion(cmd.Context(), clientOnly) },
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "only fleetctl's own")
	return cmd
}

// versionDocument is the versions for programs.
type versionDocument struct {
	Client versionPart       `json:"client"`
	Hub    *hubVersion       `json:"hub,omitempty"`
	Spokes map[string]uint32 `json:"spokes,omitempty"`
}

type versionPart struct {
	Version   string `json:"version"`
	GoVersion string `json:"goVersion"`
}

type hubVersion struct {
	versionPart
	Schema uint32 `json:"schema"`
}

func (a *app) runVersion(ctx context.Context, clientOnly bool) error {
	d := versionDocument{Client: versionPart{telemetry.Version(), runtime.Version()}}
	if clientOnly {
		return a.printVersion(d)
	}
	hubErr := a.askVersion(ctx, &d)
	if err := a.printVersion(d); err != nil {
		return err
	}
	return hubErr
}

func (a *app) askVersion(ctx context.Context, d *versionDocument) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	response, err := h.admin.Version(ctx, &adminv1.VersionRequest{})
	if err != nil {
		return a.explain("ask the hub for its version", err)
	}
	d.Hub = &hubVersion{versionPart{response.GetVersion(), response.GetGoVersion()}, response.GetSchema()}
	d.Spokes = response.GetSpokes()
	return nil
}

func (a *app) printVersion(d versionDocument) error {
	if done, err := a.emit(d); done {
		return err
	}
	fmt.Fprintf(a.stdout, "fleetctl  %s (%s, %s/%s)\n", d.Client.Version, d.Client.GoVersion, runtime.GOOS, runtime.GOARCH)
	if d.Hub == nil {
		return nil
	}
	fmt.Fprintf(a.stdout, "hub       %s (%s, schema %d)\n", d.Hub.Version, d.Hub.GoVersion, d.Hub.Schema)
	for _, version := range slices.Sorted(maps.Keys(d.Spokes)) {
		fmt.Fprintf(a.stdout, "spokes    %s in %s\n", version, count(int(d.Spokes[version]), "cluster"))
	}
	return nil
}
