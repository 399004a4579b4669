package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

// selection is what the arguments of a `get` ask for: objects by name, or everything that queries select.
type selection struct {
	// refs are set where names are given; one may mean an App's instances in every cluster.
	refs    []ref
	queries []query
}

// parseSelection reads the arguments of a `get`.
func (a *app) parseSelection(cmd *cobra.Command, args []string, o getOptions) (selection, error) {
	if err := a.settings(); err != nil {
		return selection{}, err
	}
	if o.watchEvents && !(o.watch && a.flags.output == "json") {
		return selection{}, usagef(cmd, "--output-watch-events needs -w and -o json")
	}
	args = fluxWords(args)
	if len(args) > 1 || strings.Contains(args[0], "/") {
		return a.parseNamedSelection(cmd, args, o)
	}
	var kinds []resource.Kind
	for _, word := range strings.Split(args[0], ",") {
		found, err := findKinds(cmd, word)
		if err != nil {
			return selection{}, err
		}
		kinds = append(kinds, found...)
	}
	var s selection
	for _, kind := range kinds {
		if len(o.clusters) > 0 && !kind.App {
			return selection{}, usagef(cmd, "-c: a %s has no instances in clusters", kind.Name)
		}
		q := query{kind: kind, selector: o.selector, name: o.name}
		if kind.Namespaced && !o.allNamespaces {
			q.namespace = a.namespace()
		}
		s.queries = append(s.queries, inClusters(q, o.clusters)...)
	}
	return s, nil
}

func (a *app) parseNamedSelection(cmd *cobra.Command, args []string, o getOptions) (selection, error) {
	switch {
	case o.selector != "":
		return selection{}, usagef(cmd, "-l selects objects: name none then")
	case o.name != "":
		return selection{}, usagef(cmd, "--name selects objects: name none then")
	case o.allNamespaces:
		return selection{}, usagef(cmd, "-A and a name do not go together: --name %s finds it in all namespaces", args[len(args)-1])
	}
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return selection{}, err
	}
	var s selection
	for _, r := range refs {
		if len(o.clusters) > 0 && (r.cluster != "" || !r.kind.App) {
			return selection{}, usagef(cmd, "%s: -c does not go with it", r)
		}
		for _, q := range inClusters(queryOf(r), o.clusters) {
			r.cluster = q.cluster
			s.refs, s.queries = append(s.refs, r), append(s.queries, q)
		}
	}
	return s, nil
}

// inClusters is q for each of the clusters, or as it is when none is given.
func inClusters(q query, clusters []string) []query {
	if len(clusters) == 0 {
		return []query{q}
	}
	var queries []query
	for _, cluster := range clusters {
		q.cluster = cluster
		queries = append(queries, q)
	}
	return queries
}

// named returns the object that r names; for every cluster, its instances, of which there may be none where the App
// itself is declared.
func (h *hub) named(ctx context.Context, r ref) ([]*object, error) {
	if r.cluster != everyCluster {
		found, err := h.get(ctx, r)
		if err != nil {
			return nil, err
		}
		return []*object{found}, nil
	}
	objects, _, err := h.list(ctx, queryOf(r))
	if err != nil || len(objects) > 0 {
		return objects, err
	}
	r.cluster = ""
	_, err = h.get(ctx, r)
	return nil, err
}

// chosen are the objects that s names, or those that its queries find now.
func (a *app) chosen(ctx context.Context, h *hub, s selection) ([]ref, error) {
	if len(s.refs) > 0 {
		return s.refs, nil
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	var refs []ref
	for _, q := range s.queries {
		found, _, err := h.list(ctx, q)
		if err != nil {
			return nil, a.explain("list "+q.kind.Plural, err)
		}
		for _, o := range found {
			refs = append(refs, o.ref())
		}
	}
	if len(refs) == 0 {
		a.say(symbolWarn, "%s", noneFound(s.queries))
	}
	return refs, nil
}

func noneFound(queries []query) string {
	var plurals []string
	for _, q := range queries {
		plural := q.kind.Plural
		if q.kind.Category != "" && holdsAll(queries, q.kind.Category) {
			plural = q.kind.Category
		}
		if !slices.Contains(plurals, plural) {
			plurals = append(plurals, plural)
		}
	}
	text := "No " + strings.Join(plurals, ", ") + " found"
	if selector := queries[0].selector; selector != "" {
		text += " with labels " + selector
	}
	if namespace := queries[0].namespace; namespace != "" && queries[0].kind.Namespaced {
		text += " in namespace " + namespace
	}
	return text
}

// holdsAll reports whether every kind of a category is asked for.
func holdsAll(queries []query, category string) bool {
	return !slices.ContainsFunc(resource.Kinds(), func(k resource.Kind) bool {
		return k.Category == category && !slices.ContainsFunc(queries, func(q query) bool { return q.kind.Name == k.Name })
	})
}
