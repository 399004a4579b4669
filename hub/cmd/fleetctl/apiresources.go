package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

func newAPIResourcesCommand(a *app) *cobra.Command {
	var noHeaders bool
	cmd := &cobra.Command{
		Use:         "api-resources",
		Short:       "List the kinds there are, and their short names",
		Annotations: outputs("json", "yaml", "name", "wide"),
		Args:        between(0, 0),
		RunE:        func(*cobra.Command, []string) error { return a.runAPIResources(noHeaders) },
	}
	cmd.Flags().BoolVar(&noHeaders, "no-headers", false, "leave the header line out")
	return cmd
}

func (a *app) runAPIResources(noHeaders bool) error {
	kinds := resource.Kinds()
	if a.machine() {
		_, err := a.emit(struct {
			Resources []resource.Kind `json:"resources"`
		}{kinds})
		return err
	}
	t := a.table(nil, "NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND")
	t.NoHeaders = noHeaders
	if a.flags.output == "wide" {
		t.Headers = append(t.Headers, "CATEGORY", "APP")
	}
	for _, k := range kinds {
		if a.flags.output == "name" {
			_, group, _ := strings.Cut(typeName(k), ".")
			if _, err := fmt.Fprintln(a.stdout, strings.TrimSuffix(k.Plural+"."+group, ".")); err != nil {
				return err
			}
			continue
		}
		cells := []string{k.Plural, strings.Join(k.ShortNames, ","), k.APIVersion, fmt.Sprint(k.Namespaced), k.Name}
		if a.flags.output == "wide" {
			cells = append(cells, k.Category, fmt.Sprint(k.App))
		}
		t.Add(cells...)
	}
	return t.Flush(a.stdout)
}
