package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/printer"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newTreeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "tree KIND/NAME[@CLUSTER]",
		Short: "Show the objects of an app in a cluster and what they own, as they are now",
		Long: "Show the objects of an app in a cluster, or in each that has it, with the ReplicaSets, Jobs and Pods that they own, as they\n" +
			"are now. Current is what is as it should be. A ReplicaSet that is scaled to zero is left out.",
		Example: `  fleetctl tree ks/podinfo@eu-1
  fleetctl tree ks/podinfo@eu-1 -o json`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseInstance(cmd, args)
			if err != nil {
				return err
			}
			return a.runTree(cmd.Context(), r)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
}

// treeDocument is one cluster's tree for programs.
type treeDocument struct {
	Cluster string `json:"cluster"`
	fleet.Tree
	Error string `json:"error,omitempty"`
}

func (a *app) runTree(ctx context.Context, r ref) error {
	request := about(r)
	request.Ask = &adminv1.AskRequest_Tree{Tree: &adminv1.TreeAsk{}}
	answers, err := ask[fleet.Tree](ctx, a, "show the objects of "+r.String(), request)
	if err != nil {
		return err
	}
	if a.machine() {
		documents := []any{}
		for _, got := range answers {
			document := treeDocument{Cluster: got.cluster, Tree: got.content}
			if got.err != nil {
				document.Error, document.Objects = got.err.what, []fleet.TreeObject{}
			}
			documents = append(documents, document)
		}
		err = a.emitEach(documents, r.cluster != "" && r.cluster != everyCluster)
	} else {
		err = a.printTrees(r, answers)
	}
	if err != nil {
		return err
	}
	return failed("show the objects of "+r.String(), answers)
}

func (a *app) printTrees(r ref, answers []answer[fleet.Tree]) error {
	var text strings.Builder
	for _, got := range answers {
		if got.err != nil {
			continue
		}
		if text.Len() > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%s/%s/%s@%s\n", r.kind.Name, r.namespace, r.name, got.cluster)
		a.drawTree(&text, got.content.Objects, "")
		if got.content.Left > 0 {
			fmt.Fprintf(&text, "and %d more objects\n", got.content.Left)
		}
		if len(got.content.Objects) == 0 {
			a.say(symbolDone, "%s has no objects in %s", r, got.cluster)
		}
	}
	_, err := fmt.Fprint(a.stdout, text.String())
	return err
}

// drawTree writes objects below one another, behind a prefix.
func (a *app) drawTree(text *strings.Builder, objects []fleet.TreeObject, prefix string) {
	branch, last, down := "├── ", "└── ", "│   "
	if !a.utf8() {
		branch, last, down = "|-- ", "`-- ", "|   "
	}
	for i, o := range objects {
		lead, below := branch, down
		if i == len(objects)-1 {
			lead, below = last, "    "
		}
		line := prefix + lead + printer.Fold(o.Object.String()) + "  " + printer.Fold(o.Status)
		if o.Message != "" {
			line += ": " + printer.Fold(o.Message)
		}
		text.WriteString(line + "\n")
		a.drawTree(text, o.Owned, prefix+below)
	}
}
