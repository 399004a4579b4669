package helm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// charts is the Fetcher of HelmCharts.
type charts struct{ *Helm }

// Resolve implements source.Fetcher: the Revision is the chart's version, with marks of what else it follows from. Nothing of
// the inputs counts beside it: a version that is pushed again is not fetched again, as in Flux.
func (c charts) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	chart, err := c.open(u)
	if err != nil {
		return source.Found{}, err
	}
	limited, cancel := context.WithTimeout(ctx, chart.u.TimeLimit())
	defer cancel()
	picked, err := chart.pick(ctx, limited)
	if err != nil {
		return source.Found{}, explain(ctx, limited, chart.u, err)
	}
	return source.Found{Revision: fleet.Revision(picked.version)}, nil
}

// Fetch implements source.Fetcher.
func (c charts) Fetch(ctx context.Context, u source.Upstream, found source.Found) (*source.Artifact, error) {
	chart, err := c.open(u)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, chart.u.TimeLimit())
	defer cancel()
	fetched, err := chart.fetch(ctx, limited, string(found.Revision))
	if err != nil {
		return nil, explain(ctx, limited, chart.u, err)
	}
	return fetched, nil
}

// chart is a HelmChart that is being fetched.
type chart struct {
	*Helm
	u     source.Upstream
	spec  flux.HelmChart
	input source.Input
}

// open is the chart of an upstream, whose source has something.
func (h *Helm) open(u source.Upstream) (*chart, error) {
	spec, is := u.Spec.(flux.HelmChart)
	if !is || len(u.Inputs) != 1 {
		return nil, u.Fail(source.KindInvalid, "it is no HelmChart with one source")
	}
	c := &chart{Helm: h, u: u, spec: spec, input: u.Inputs[0]}
	c.u.URL = cmp.Or(u.URL, c.input.URL)
	c.u.Timeout, c.input.Party = cmp.Or(u.Timeout, c.input.Timeout), u.Party
	if c.input.Tree.IsZero() && !source.Static(c.input.Spec) {
		return nil, c.u.Fail(source.KindInput, "%s %s has nothing yet that a chart could be taken from; see its status", c.input.Kind, c.input.Name)
	}
	return c, nil
}

// picked is the chart as its source has it now.
type picked struct {
	// version is the one that the package has, marks included.
	version string
	// build makes the package.
	build func(ctx, limited context.Context) (*built, error)
}

// built is a package.
type built struct {
	name   string
	data   []byte
	values []string // the values files that are in it
	// made: it is not as it was found.
	made bool
	// verified says whose signature was found.
	verified string
}

func (c *chart) pick(ctx, limited context.Context) (*picked, error) {
	switch {
	case c.input.Kind == "HelmRepository" && source.Static(c.input.Spec):
		return c.fromRegistry(ctx)
	case c.input.Kind == "HelmRepository":
		return c.fromRepository(limited)
	case c.input.Kind == "GitRepository", c.input.Kind == "Bucket":
		return c.fromTree(limited)
	}
	return nil, &problem{source.KindInvalid, fmt.Sprintf("a chart cannot come from a %s", c.input.Kind)}
}

func (c *chart) fetch(ctx, limited context.Context, version string) (*source.Artifact, error) {
	picked, err := c.pick(ctx, limited)
	if err != nil {
		return nil, err
	}
	if picked.version != version {
		return nil, &problem{source.KindInput, fmt.Sprintf("its source has version %s now, no longer %s; it is tried again", source.Shown(picked.version), source.Shown(version))}
	}
	made, err := picked.build(ctx, limited)
	if err != nil {
		return nil, err
	}
	fetched, err := c.artifact(limited, fileName(made.name, version), made.data)
	if err != nil {
		return nil, err
	}
	fetched.Detail.Chart, fetched.Detail.ValuesFiles, fetched.Detail.Verified = made.name, made.values, made.verified
	fetched.Detail.SourceRevision, fetched.Detail.Packaged = string(c.input.Revision), made.made
	return fetched, nil
}

// marked is a version with the mark of the values files, and another one before it.
func (c *chart) marked(version, mark string) (string, error) {
	values, err := valuesMark(c.spec)
	if err != nil {
		return "", err
	}
	return revise(version, mark, values)
}

// repack returns a packaged chart as it stands in its source, or packs it anew where it has to change. valuesFile reads a
// values file from where this source has them; nil: from the chart.
func (c *chart) repack(ctx context.Context, data []byte, version string, marked bool, valuesFile func(name string) ([]byte, error)) (*built, error) {
	if int64(len(data)) > c.config.Limits.Chart {
		return nil, tooLarge("it has %d bytes; a chart may have %d", len(data), c.config.Limits.Chart)
	}
	look := &inspection{limits: c.config.Limits}
	wanted := map[string]bool{"values.yaml": true}
	for _, name := range c.spec.GetValuesFiles() {
		wanted[clean(name)] = true
	}
	changes := marked || len(c.spec.GetValuesFiles()) > 0
	found, err := look.archive(ctx, data, 0, func(name string) bool { return changes && wanted[name] })
	if err != nil {
		return nil, err
	}
	if !changes {
		return &built{name: found.Name, data: data}, nil
	}
	if valuesFile == nil {
		valuesFile = found.valuesFile
	}
	values, err := mergeValues(c.spec, found.kept["values.yaml"], valuesFile)
	if err != nil {
		return nil, err
	}
	chartFile, err := withVersion(found.kept["Chart.yaml"], version)
	if err != nil {
		return nil, err
	}
	out := newPacker(found.Name, c.config.Limits.Package)
	err = (&inspection{limits: c.config.Limits}).walk(ctx, data, func(name string, size int64, content io.Reader) error {
		switch {
		case name == "Chart.yaml":
			return out.add(name, chartFile)
		case name == "values.yaml" && values.changed:
			return out.add(name, values.text)
		}
		data, err := readFile(content, size)
		if err != nil {
			return err
		}
		return out.add(name, data)
	})
	if err != nil {
		return nil, err
	}
	packed, err := out.done()
	return &built{name: found.Name, data: packed, values: values.used, made: true}, err
}

// valuesFile reads a values file of the chart itself: of those that helm keeps as files.
func (p *packaged) valuesFile(name string) ([]byte, error) {
	name = clean(name)
	switch {
	case name == "values.yaml" && p.kept[name] == nil:
		return []byte{}, nil
	case name == "values.yaml":
		return joined(p.kept[name])
	case name == "Chart.yaml", name == "Chart.lock", name == "values.schema.json", strings.HasPrefix(name, "templates/"), strings.HasPrefix(name, "charts/"):
		return nil, nil
	}
	return p.kept[name], nil
}
