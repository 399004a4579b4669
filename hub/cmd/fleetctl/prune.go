package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func newPruneCommand(a *app) *cobra.Command {
	return newGroup("prune", "Look at and approve deletions that the prune guard holds",
		newPruneShowCommand(a), newPruneApproveCommand(a))
}

func newPruneShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "show KIND/NAME[@CLUSTER]",
		Short:       "Show what is held, and why",
		Example:     `  fleetctl prune show ks/podinfo`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseApp(cmd, args)
			if err != nil {
				return err
			}
			return a.runPruneShow(cmd.Context(), r)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
}

// parseApp reads arguments that name one App or instance.
func (a *app) parseApp(cmd *cobra.Command, args []string) (ref, error) {
	refs, err := a.parseRefs(cmd, args)
	if err != nil {
		return ref{}, err
	}
	switch {
	case len(refs) > 1:
		return ref{}, usagef(cmd, "%s is an argument too many", refs[1])
	case !refs[0].kind.App:
		return ref{}, usagef(cmd, "%s: only apps prune", refs[0])
	}
	if refs[0].cluster == everyCluster {
		refs[0].cluster = ""
	}
	return refs[0], nil
}

// heldSets returns what is held of r, in its cluster when it names one.
func (h *hub) heldSets(ctx context.Context, r ref) ([]*adminv1.HeldSet, error) {
	response, err := h.prunes.Show(ctx, &adminv1.ShowRequest{
		Kind: r.kind.Name, Namespace: r.namespace, Name: r.name, Cluster: r.cluster,
	})
	return response.GetSets(), err
}

func (a *app) runPruneShow(ctx context.Context, r ref) error {
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	sets, err := h.heldSets(ctx, r)
	if err != nil {
		return a.explain("show what is held of "+r.String(), err)
	}
	if a.machine() {
		_, err := a.emit(heldSetList(sets))
		return err
	}
	if len(sets) == 0 {
		a.say(symbolDone, "no deletions of %s are held", r)
		return nil
	}
	for i, set := range sets {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		a.printHeldSet(set)
		a.say(symbolDo, "to let it go on: fleetctl prune approve %s --digest %s", r.command(), set.GetDigest())
	}
	return nil
}

func (a *app) printHeldSet(set *adminv1.HeldSet) {
	fmt.Fprintf(a.stdout, "Digest:    %s\n", set.GetDigest())
	fmt.Fprintf(a.stdout, "Clusters:  %s\n", strings.Join(set.GetClusters(), ", "))
	fmt.Fprintf(a.stdout, "Reason:    %s\n", set.GetReason())
	fmt.Fprintf(a.stdout, "Objects:   %d\n", set.GetCount())
	for _, object := range set.GetObjects() {
		fmt.Fprintf(a.stdout, "  %s\n", object)
	}
	if unknown := set.GetObjectsUnknown(); unknown != "" {
		fmt.Fprintf(a.stdout, "  which ones is not known now: %s\n", unknown)
	}
}

// heldSetDocument is a held set for programs.
type heldSetDocument struct {
	Digest         string   `json:"digest"`
	Clusters       []string `json:"clusters"`
	Reason         string   `json:"reason"`
	Count          uint32   `json:"count"`
	Objects        []string `json:"objects,omitempty"`
	ObjectsUnknown string   `json:"objectsUnknown,omitempty"`
}

func heldSetList(sets []*adminv1.HeldSet) any {
	list := struct {
		Items []heldSetDocument `json:"items"`
	}{Items: []heldSetDocument{}}
	for _, s := range sets {
		list.Items = append(list.Items, heldSetDocument{
			Digest: s.GetDigest(), Clusters: s.GetClusters(), Reason: s.GetReason(), Count: s.GetCount(),
			Objects: s.GetObjects(), ObjectsUnknown: s.GetObjectsUnknown(),
		})
	}
	return list
}
