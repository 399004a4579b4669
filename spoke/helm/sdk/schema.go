package sdk

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/util"

	"flotilla.dev/flotilla/pkg/fleet"
)

// checkSchemas refuses a chart whose schema refers to what is outside of it. Helm would read any file of this machine for
// it, and call any address, and then say what it found. What is looked at is compiled as Helm does it, so that a schema
// which passes here has Helm load nothing.
func (a *action) checkSchemas(loaded *chart.Chart, skip bool) error {
	if skip || withinItself(loaded) == nil {
		return nil
	}
	// It may be that of a chart in it that the values do not enable.
	enabled, err := a.load()
	if err != nil {
		return err
	}
	if err := util.ProcessDependencies(enabled, copied(a.prepared.values.merged)); err != nil {
		return fmt.Errorf("dependencies of the chart: %w", err)
	}
	if err := withinItself(enabled); err != nil {
		return &reasoned{a.request.Action.Failed(), err}
	}
	return nil
}

// withinItself finds fault with the schemas of a chart, and of those in it.
func withinItself(c *chart.Chart) error {
	if c.Schema != nil {
		if err := compile(c.Schema); err != nil {
			return fmt.Errorf("%w: the values.schema.json of chart %s %w", fleet.ErrInvalid, c.ChartFullPath(), err)
		}
	}
	for _, within := range c.Dependencies() {
		if err := withinItself(within); err != nil {
			return err
		}
	}
	return nil
}

// schemaAt is where Helm has a schema: what it refers to without a scheme is below.
const schemaAt = "file:///values.schema.json"

func compile(text []byte) error {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("is no JSON: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nothing{})
	if err := compiler.AddResource(schemaAt, schema); err != nil {
		return fmt.Errorf("is no schema: %w", err)
	}
	_, err = compiler.Compile(schemaAt)
	var outside *jsonschema.LoadURLError // it does not unwrap
	switch {
	case errors.As(err, &outside):
		return outside.Err
	case err != nil:
		return fmt.Errorf("is no schema: %w", err)
	}
	return nil
}

// nothing loads no schema, from nowhere. The drafts' own schemas need no loader. A URN is true, as it is for Helm.
type nothing struct{}

func (nothing) Load(url string) (any, error) {
	if strings.HasPrefix(url, "urn:") {
		return true, nil
	}
	return nil, fmt.Errorf("refers to %s: nothing outside of it is read; put what it refers to under its $defs, or set disableSchemaValidation of spec.install and spec.upgrade", url)
}
