package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type sourceChartOptions struct {
	sourceOptions
	chart, version, source, strategy string
	valuesFiles                      []string
	ignoreMissing                    bool
	verify                           verifyOptions
}

func newCreateSourceChartCommand(a *app) *cobra.Command {
	var o sourceChartOptions
	cmd := &cobra.Command{
		Use:   "chart NAME",
		Short: "Make a HelmChart",
		Long:  "Make a HelmChart and wait until it is packaged.",
		Example: `  fleetctl create source chart podinfo --source HelmRepository/podinfo --chart podinfo --chart-version 6.x
  fleetctl create source chart podinfo --source GitRepository/podinfo --chart ./charts/podinfo --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.sourceChart(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.createSource(cmd.Context(), source, o.createOptions)
		},
	}
	o.addFlags(cmd)
	o.verify.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.chart, "chart", "", "name of the chart in a HelmRepository, or its path in another source")
	flags.StringVar(&o.version, "chart-version", "", "range of versions, of a HelmRepository's chart")
	flags.StringVar(&o.source, "source", "", "KIND/NAME of the source: HelmRepository, GitRepository or Bucket")
	flags.StringVar(&o.strategy, "reconcile-strategy", flux.ByChartVersion, flux.ByChartVersion+" or "+flux.ByRevision+": what makes a new one")
	flags.StringSliceVar(&o.valuesFiles, "values-files", nil, "files of the chart whose values are merged, comma-separated")
	flags.BoolVar(&o.ignoreMissing, "ignore-missing-values-files", false, "pass over values files that are not there")
	return cmd
}

func (a *app) sourceChart(cmd *cobra.Command, name string, o sourceChartOptions) (created, error) {
	if err := demand(cmd, "source", "chart"); err != nil {
		return created{}, err
	}
	word, of, found := strings.Cut(o.source, "/")
	if !found || of == "" {
		return created{}, usagef(cmd, "--source %q is not KIND/NAME", o.source)
	}
	kind, err := oneKind(cmd, word)
	if err != nil {
		return created{}, err
	}
	source, err := a.newCreated(cmd, resource.HelmChart, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.HelmChart{
		Chart: o.chart, Version: o.version, SourceRef: flux.LocalSourceRef{Kind: kind.Name, Name: of},
		ReconcileStrategy: o.strategy, ValuesFiles: o.valuesFiles, IgnoreMissingValuesFiles: o.ignoreMissing,
	}
	if spec.Verify, err = o.verify.spec(cmd); err != nil {
		return created{}, err
	}
	if o.fetchTimeout != 0 {
		return created{}, usagef(cmd, "--fetch-timeout: a chart has none, its source does")
	}
	spec.Interval, _ = o.intervals()
	source.Spec = spec
	return source, nil
}
