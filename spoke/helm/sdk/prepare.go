package sdk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/spoke/helm/job"
)

// prepared is what the actions of a Job have in common.
type prepared struct {
	values *values
	answer job.Prepared
	// text of all templates of the chart, which is no secret.
	text []string
	// asks says that a template makes use of what the cluster can do: what it renders is not a matter of chart and values alone.
	asks bool
}

// prepare reads values and chart, once.
func (a *action) prepare() error {
	if a.prepared != nil {
		a.answer.Prepared = &a.prepared.answer
		return nil
	}
	p := &prepared{}
	var err error
	if p.values, err = a.values(); err != nil {
		return &reasoned{"ValuesError", err}
	}
	loaded, err := a.load()
	if err != nil {
		return err
	}
	p.know(loaded)
	p.answer = job.Prepared{
		ChartName: loaded.Name(), ChartVersion: loaded.Metadata.Version, AppVersion: loaded.Metadata.AppVersion, Secret: p.values.secrets.any(),
	}
	spec := a.job.Plan.Spec
	var err1, err2, err3 error
	p.answer.ConfigDigest, err1 = valuesDigest(p.values.merged)
	if renderers := a.postRenderers(); renderers != nil {
		p.answer.PostRenderersDigest, err2 = jsonDigest(renderers)
	}
	if spec.CommonMetadata != nil {
		p.answer.CommonMetadataDigest, err3 = jsonDigest(struct { // in Flux's order of fields
			Annotations map[string]string `json:"annotations,omitempty"`
			Labels      map[string]string `json:"labels,omitempty"`
		}{spec.CommonMetadata.Annotations, spec.CommonMetadata.Labels})
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	a.prepared = p
	a.answer.Prepared = &p.answer
	return nil
}

// postRenderers are those of the spec, with the Placement's patches as one more.
func (a *action) postRenderers() []flux.HelmPostRenderer {
	all := a.job.Plan.Spec.PostRenderers
	if patches := a.job.Binding.Patches; len(patches) > 0 {
		all = append(all[:len(all):len(all)], flux.HelmPostRenderer{Kustomize: &flux.HelmKustomize{Patches: patches}})
	}
	return all
}

// load reads the chart. Helm changes it as it works with it: each action has its own.
func (a *action) load() (*chart.Chart, error) {
	if len(a.archive) == 0 {
		return nil, &reasoned{"ArtifactFailed", fmt.Errorf("%w: there is no chart", fleet.ErrInvalid)}
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(a.archive))
	if err == nil {
		err = loaded.Validate()
	}
	if err != nil {
		return nil, &reasoned{"ArtifactFailed", fmt.Errorf("%w: the chart of %s cannot be read: %w", fleet.ErrInvalid, a.job.Plan.Chart.Source, err)}
	}
	if digest := a.job.Plan.Chart.OCIDigest; digest != "" {
		if loaded.Metadata.Version, err = withDigest(loaded.Metadata.Version, digest); err != nil {
			return nil, &reasoned{"ChartMutateError", fmt.Errorf("%w: the chart of %s: %w", fleet.ErrInvalid, a.job.Plan.Chart.Source, err)}
		}
	}
	return loaded, nil
}

// withDigest is a chart's version with the beginning of the artifact's digest as its metadata: a tag that was pushed anew
// is another version.
func withDigest(version, digest string) (string, error) {
	parsed, err := semver.NewVersion(version)
	if err != nil {
		return "", fmt.Errorf("its version %q is no semantic version", version)
	}
	_, sum, found := strings.Cut(digest, ":")
	if !found || len(sum) < 12 {
		return "", fmt.Errorf("the digest %q of its artifact is none", digest)
	}
	with, err := parsed.SetMetadata(sum[:12])
	return with.String(), err
}

// know takes the templates of a chart, and of those in it.
func (p *prepared) know(c *chart.Chart) {
	for _, file := range c.Templates {
		p.text = append(p.text, string(file.Data))
		p.asks = p.asks || bytes.Contains(file.Data, []byte(".Capabilities"))
	}
	for _, within := range c.Dependencies() {
		p.know(within)
	}
}
