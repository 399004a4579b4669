package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

// completionTimeout bounds what a person waits for after Tab.
const completionTimeout = 800 * time.Millisecond

// completing says what the arguments of a command may be.
type completing int

const (
	// kindsAndNames: KIND NAME..., or KIND/NAME...
	kindsAndNames completing = iota
	// refsOnly: KIND/NAME..., oneRef: just one of them.
	refsOnly
	oneRef
)

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeObjects completes kinds, and names as the hub knows them. Whatever goes wrong, it offers nothing.
func (a *app) completeObjects(what completing) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if what == oneRef && len(args) > 0 || a.prepare(cmd) != nil || a.settings() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		word, name, slashed := strings.Cut(typed, "/")
		switch {
		case slashed:
			return a.completeNames(cmd, word, word+"/", name)
		case len(args) > 0 && !strings.Contains(args[0], "/"):
			return a.completeNames(cmd, args[0], "", typed)
		}
		return kindWords(typed, what == kindsAndNames)
	}
}

func kindWords(typed string, plain bool) ([]string, cobra.ShellCompDirective) {
	before, last := "", typed
	if i := strings.LastIndex(typed, ","); i >= 0 && plain {
		before, last = typed[:i+1], typed[i+1:]
	}
	var words []string
	for _, kind := range resource.Kinds() {
		for _, word := range append([]string{kind.Plural}, kind.ShortNames...) {
			if strings.HasPrefix(word, last) {
				if !plain {
					word += "/"
				}
				words = append(words, before+word)
			}
		}
	}
	if plain {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeNames completes NAME, or behind an @, CLUSTER.
func (a *app) completeNames(cmd *cobra.Command, word, prefix, typed string) ([]string, cobra.ShellCompDirective) {
	kinds := resource.FindKinds(word)
	if len(kinds) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	q := query{kind: kinds[0]}
	if q.kind.Namespaced {
		q.namespace = a.namespace()
	}
	if name, cluster, at := strings.Cut(typed, "@"); at && q.kind.App {
		q.name, q.cluster = name, everyCluster
		return a.completeList(cmd.Context(), q, prefix+name+"@", cluster, func(o *object) string { return o.ref().cluster })
	}
	return a.completeList(cmd.Context(), q, prefix, typed, func(o *object) string { return o.Metadata.Name })
}

func (a *app) completeList(ctx context.Context, q query, prefix, typed string, word func(*object) string) ([]string, cobra.ShellCompDirective) {
	h, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer h.close()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	objects, _, err := h.list(ctx, q)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, o := range objects {
		if w := word(o); strings.HasPrefix(w, typed) {
			words = append(words, prefix+w)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeClusters completes the name of a cluster.
func (a *app) completeClusters(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	if a.prepare(cmd) != nil || a.settings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeList(cmd.Context(), query{kind: resource.Cluster}, "", typed, func(o *object) string { return o.Metadata.Name })
}

// completeContexts completes the name of a context.
func (a *app) completeContexts(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.loadConfig() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, c := range a.config.Contexts {
		if strings.HasPrefix(c.Name, typed) {
			words = append(words, c.Name)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
