package main

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type helmReleaseOptions struct {
	createOptions
	interval, chartInterval                        time.Duration
	source, chart, version, chartRef, strategy     string
	releaseName, targetNamespace, storageNamespace string
	serviceAccount, crds                           string
	createNamespace                                bool
	dependsOn, values, valuesFrom                  []string
}

func newCreateHelmReleaseCommand(a *app) *cobra.Command {
	var o helmReleaseOptions
	cmd := &cobra.Command{
		Use:     "helmrelease NAME",
		Aliases: []string{"hr"},
		Short:   "Make a HelmRelease",
		Long: "Make a HelmRelease, with the flags of Flux's client. Its chart is one of a source (--source and --chart), or what a\n" +
			"HelmChart, an OCIRepository or an ExternalArtifact has (--chart-ref). Which clusters it runs in, a Placement says.",
		Example: `  fleetctl create hr podinfo --source HelmRepository/podinfo --chart podinfo --chart-version 6.x --values values.yaml
  fleetctl create hr podinfo --chart-ref OCIRepository/podinfo.flux-system --crds CreateReplace --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			release, err := a.helmRelease(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.create(cmd.Context(), []created{release}, o.createOptions, false)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *helmReleaseOptions) addFlags(cmd *cobra.Command) {
	o.createOptions.addFlags(cmd)
	flags := cmd.Flags()
	flags.DurationVar(&o.interval, "interval", time.Minute, "time between two looks at the release in a cluster")
	flags.StringVar(&o.source, "source", "", "KIND/NAME[.NAMESPACE] of the source that has the chart: HelmRepository, GitRepository or Bucket")
	flags.StringVar(&o.chart, "chart", "", "name of the chart in a HelmRepository, or its path in another source")
	flags.StringVar(&o.version, "chart-version", "", "range of versions, of a HelmRepository's chart")
	flags.DurationVar(&o.chartInterval, "chart-interval", 0, "time between two looks for the chart (default --interval)")
	flags.StringVar(&o.strategy, "reconcile-strategy", flux.ByChartVersion, flux.ByChartVersion+" or "+flux.ByRevision+": what makes a new chart")
	flags.StringVar(&o.chartRef, "chart-ref", "", "KIND/NAME[.NAMESPACE] of what is the chart: HelmChart, OCIRepository or ExternalArtifact")
	flags.StringSliceVar(&o.values, "values", nil, "file with values; may be repeated, and a later one goes over an earlier one")
	flags.StringSliceVar(&o.valuesFrom, "values-from", nil, "Secret/NAME or ConfigMap/NAME, in the cluster, that has values; may be repeated")
	flags.StringVar(&o.releaseName, "release-name", "", "name of the Helm release (default made of the name and the target namespace)")
	flags.StringVar(&o.targetNamespace, "target-namespace", "", "namespace that the release is installed in (default that of the HelmRelease)")
	flags.StringVar(&o.storageNamespace, "storage-namespace", "", "namespace that Helm keeps the release in (default that of the HelmRelease)")
	flags.BoolVar(&o.createNamespace, "create-target-namespace", false, "make the target namespace where there is none")
	flags.StringSliceVar(&o.dependsOn, "depends-on", nil, "[NAMESPACE/]NAME of a HelmRelease that has to be ready first; may be repeated")
	flags.StringVar(&o.serviceAccount, "service-account", "", "ServiceAccount, in the cluster, that acts")
	flags.StringVar(&o.crds, "crds", "", "what an upgrade does with the chart's CRDs: Skip, Create or CreateReplace; an installation creates them")
	_ = cmd.MarkFlagFilename("values", "yaml", "yml", "json")
}

func (a *app) helmRelease(cmd *cobra.Command, name string, o helmReleaseOptions) (created, error) {
	release, err := a.newCreated(cmd, resource.HelmRelease, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.HelmRelease{Interval: &flux.Duration{Duration: o.interval}}
	if err := o.addChart(cmd, &spec); err != nil {
		return created{}, err
	}
	spec.ReleaseName, spec.TargetNamespace, spec.StorageNamespace, spec.ServiceAccountName = o.releaseName, o.targetNamespace, o.storageNamespace, o.serviceAccount
	for _, dependency := range o.dependsOn {
		namespace, of, found := strings.Cut(dependency, "/")
		if !found {
			namespace, of = "", dependency
		}
		spec.DependsOn = append(spec.DependsOn, flux.DependencyRef{Namespace: namespace, Name: of})
	}
	if o.createNamespace {
		spec.Install = &flux.HelmInstall{CreateNamespace: true}
	}
	if o.crds != "" {
		if spec.Install == nil {
			spec.Install = &flux.HelmInstall{}
		}
		spec.Install.CRDs, spec.Upgrade = "Create", &flux.HelmUpgrade{CRDs: o.crds}
	}
	for _, from := range o.valuesFrom {
		kind, of, found := strings.Cut(from, "/")
		if !found || of == "" || kind != "Secret" && kind != "ConfigMap" {
			return created{}, usagef(cmd, "--values-from %q is not Secret/NAME or ConfigMap/NAME", from)
		}
		spec.ValuesFrom = append(spec.ValuesFrom, flux.HelmValuesReference{Kind: kind, Name: of})
	}
	if spec.Values, err = readValues(o.values); err != nil {
		return created{}, usagef(cmd, "--values: %s", err)
	}
	release.Spec = spec
	return release, nil
}

// addChart says what the chart is, of which there is one way.
func (o *helmReleaseOptions) addChart(cmd *cobra.Command, spec *flux.HelmRelease) error {
	flags := cmd.Flags()
	if o.chartRef != "" {
		for _, other := range []string{"source", "chart", "chart-version", "chart-interval", "reconcile-strategy"} {
			if flags.Changed(other) {
				return usagef(cmd, "--chart-ref and --%s do not go together: what it names says that of itself", other)
			}
		}
		ref, err := sourceRef(cmd, "chart-ref", o.chartRef)
		spec.ChartRef = &ref
		return err
	}
	if o.source == "" && o.chart == "" {
		return usagef(cmd, "--source and --chart are required, or --chart-ref")
	}
	if err := demand(cmd, "source", "chart"); err != nil {
		return err
	}
	ref, err := sourceRef(cmd, "source", o.source)
	if err != nil {
		return err
	}
	spec.Chart = &flux.HelmChartTemplate{Spec: flux.HelmChartTemplateSpec{Chart: o.chart, Version: o.version, SourceRef: ref, ReconcileStrategy: o.strategy}}
	if o.chartInterval > 0 {
		spec.Chart.Spec.Interval = &flux.Duration{Duration: o.chartInterval}
	}
	return nil
}

// sourceRef reads KIND/NAME[.NAMESPACE]. As in Flux, what is behind the last dot is the namespace.
func sourceRef(cmd *cobra.Command, flag, text string) (flux.SourceRef, error) {
	word, of, found := strings.Cut(text, "/")
	if !found || of == "" {
		return flux.SourceRef{}, usagef(cmd, "--%s %q is not KIND/NAME or KIND/NAME.NAMESPACE", flag, text)
	}
	kind, err := oneKind(cmd, word)
	if err != nil {
		return flux.SourceRef{}, err
	}
	ref := flux.SourceRef{Kind: kind.Name, Name: of}
	if dot := strings.LastIndexByte(of, '.'); dot >= 0 {
		ref.Name, ref.Namespace = of[:dot], of[dot+1:]
	}
	return ref, nil
}

// readValues merges files of values, a later one over an earlier one.
func readValues(files []string) (json.RawMessage, error) {
	if len(files) == 0 {
		return nil, nil
	}
	merged := map[string]any{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, errors.New(file + ": " + innermost(err))
		}
		var values map[string]any
		if err := yaml.Unmarshal(data, &values, keepNumbers); err != nil {
			return nil, errors.New(file + ": is no YAML mapping: " + err.Error())
		}
		merged = fleet.MergeValues(merged, values)
	}
	return json.Marshal(merged)
}

// keepNumbers leaves numbers as they are written.
func keepNumbers(decoder *json.Decoder) *json.Decoder {
	decoder.UseNumber()
	return decoder
}
