package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

func newExportCommand(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "export KIND/NAME... | KIND NAME... | KIND --all",
		Short: "Print what is declared as YAML to keep in Git",
		Long: "Print what is declared as YAML to keep in Git: without status, and without what the hub adds. The content of Secrets is\n" +
			"given out to nobody, so they are not exported.",
		Example: `  fleetctl export source git podinfo
  fleetctl export sources --all -n apps > sources.yaml`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := a.parseExport(cmd, args, all)
			if err != nil {
				return err
			}
			return a.runExport(cmd.Context(), chosen)
		},
		ValidArgsFunction: a.completeObjects(refsOnly),
	}
	cmd.Flags().BoolVar(&all, "all", false, "all of a kind in the namespace")
	return cmd
}

func (a *app) parseExport(cmd *cobra.Command, args []string, all bool) (selection, error) {
	var chosen selection
	if all {
		selected, err := a.parseSelection(cmd, args, getOptions{})
		if err != nil {
			return selection{}, err
		}
		if len(selected.refs) > 0 {
			return selection{}, usagef(cmd, "--all means all of a kind: name none")
		}
		chosen = selected
	} else {
		refs, err := a.parseRefs(cmd, args)
		if err != nil {
			return selection{}, err
		}
		if err := fleetWide(cmd, refs); err != nil {
			return selection{}, err
		}
		for _, r := range refs {
			chosen.refs, chosen.queries = append(chosen.refs, r), append(chosen.queries, queryOf(r))
		}
	}
	for _, q := range chosen.queries {
		if q.kind.Name == resource.Secret.Name {
			return selection{}, usagef(cmd, "the content of a Secret is given out to nobody: there is nothing to export")
		}
	}
	return chosen, nil
}

func (a *app) runExport(ctx context.Context, chosen selection) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	refs, err := a.chosen(ctx, h, chosen)
	if err != nil {
		return err
	}
	var declared []declaration
	for _, r := range refs {
		raw, err := a.declaredAs(ctx, h, r)
		if err != nil {
			return a.explain("export "+r.String(), err)
		}
		declared = append(declared, declaration{ref: r, object: raw})
	}
	return a.export(declared)
}

// requestAnnotations are of requests to look now, which are no part of what is declared.
var requestAnnotations = []string{flux.RequestedAtAnnotation, flux.ForceAtAnnotation, flux.ResetAtAnnotation, "fleet.flotilla.dev/with-source", "fleet.flotilla.dev/requested-before"}

// declaredAs is an object as a person would declare it.
func (a *app) declaredAs(ctx context.Context, h *hub, r ref) ([]byte, error) {
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	o, err := h.get(ctx, r)
	if err != nil {
		return nil, err
	}
	metadata := resource.Metadata{Name: o.Metadata.Name, Namespace: o.Metadata.Namespace, Labels: o.Metadata.Labels, Annotations: map[string]string{}}
	for key, value := range o.Metadata.Annotations {
		if !slices.Contains(requestAnnotations, key) {
			metadata.Annotations[key] = value
		}
	}
	return json.Marshal(created{APIVersion: o.APIVersion, Kind: o.Kind, Metadata: metadata, Spec: o.Spec})
}
