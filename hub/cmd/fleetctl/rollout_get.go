package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// asksForRollouts reports whether the arguments of a `get` or `describe` mean Rollouts, which are made by the hub and declared by
// nobody.
func asksForRollouts(args []string) bool {
	word, _, _ := strings.Cut(args[0], "/")
	_, isID := rolloutID(args[0])
	return isID || isRolloutWord(word)
}

// newRolloutListCommand is `get rollouts`, where one may look for it.
func newRolloutListCommand(a *app) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:         "list",
		Aliases:     []string{"ls"},
		Short:       "List rollouts, as `get rollouts` does",
		Example:     "  fleetctl rollout list -A",
		Annotations: outputs("wide", "json", "yaml", "name"),
		Args:        between(0, 0),
		RunE:        func(cmd *cobra.Command, _ []string) error { return a.runGetRollouts(cmd, []string{"rollouts"}, o) },
	}
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().BoolVar(&o.noHeaders, "no-headers", false, "leave the header line out")
	return cmd
}

// maxListed bounds the Rollouts that a `get` lists: there are ever more of them.
const maxListed = 100

// runGetRollouts is `get rollouts`, `get ro/ID`, `get ro ID...` and `get ID...`.
func (a *app) runGetRollouts(cmd *cobra.Command, args []string, o getOptions) error {
	switch {
	case o.watch:
		return usagef(cmd, "-w: rollouts are followed one by one, by `fleetctl rollout status`")
	case o.selector != "" || o.name != "" || len(o.clusters) > 0:
		return usagef(cmd, "-l, --name and -c are not for rollouts: `fleetctl rollout history KIND/NAME` lists those of an app")
	}
	if err := a.settings(); err != nil {
		return err
	}
	ids, err := parseRolloutIDs(cmd, args)
	if err != nil {
		return err
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx, cancel := a.bounded(cmd.Context(), callTimeout)
	defer cancel()
	if len(ids) > 0 {
		return a.getRollouts(ctx, h, ids, o)
	}
	namespace := ""
	if !o.allNamespaces {
		namespace = a.namespace()
	}
	rollouts, more, err := h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Namespace: namespace}, maxListed, nil)
	if err != nil {
		return a.explain("get rollouts", err)
	}
	if len(rollouts) == 0 && !a.machine() {
		text := "No rollouts found"
		if namespace != "" {
			text += " in namespace " + namespace
		}
		a.say(symbolWarn, "%s", text)
	}
	if err := a.printRollouts(rollouts, true, o.noHeaders); err != nil {
		return err
	}
	if more && !a.machine() {
		a.say(symbolDo, "these are the newest %d: fleetctl rollout history KIND/NAME lists those of an app", maxListed)
	}
	return nil
}

// parseRolloutIDs reads arguments that name Rollouts by their ids; none: there is but the word for all.
func parseRolloutIDs(cmd *cobra.Command, args []string) ([]string, error) {
	words := args
	if isRolloutWord(args[0]) {
		words = args[1:]
	}
	var ids []string
	for _, word := range words {
		id, is := rolloutID(word)
		if !is || !isName(id) {
			return nil, usagef(cmd, "%q is not the id of a rollout, such as ro-7k2f", word)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (a *app) getRollouts(ctx context.Context, h *hub, ids []string, o getOptions) error {
	var rollouts []*adminv1.Rollout
	for _, id := range ids {
		ro, err := a.rollout(ctx, h, "get", rolloutRef{id: id})
		if err != nil {
			return err
		}
		rollouts = append(rollouts, ro)
	}
	if len(ids) == 1 && a.machine() {
		_, err := a.emit(newRolloutDocument(rollouts[0], nil, nil))
		return err
	}
	return a.printRollouts(rollouts, true, o.noHeaders)
}
