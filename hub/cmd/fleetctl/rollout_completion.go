package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeRolledApps completes KIND/NAME of an App.
func (a *app) completeRolledApps(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || strings.Contains(typed, "/") {
		return a.completeObjects(oneRef)(cmd, args, typed)
	}
	return appWords(typed), noFiles | cobra.ShellCompDirectiveNoSpace
}

// appWords are the words for the kinds of Apps.
func appWords(typed string) []string {
	var words []string
	for _, kind := range resource.AppKinds() {
		for _, word := range append([]string{kind.Plural}, kind.ShortNames...) {
			if strings.HasPrefix(word, typed) {
				words = append(words, word+"/")
			}
		}
	}
	return words
}

// completeRollouts completes KIND/NAME of an App, and ids of Rollouts that are not over.
func (a *app) completeRollouts(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || strings.Contains(typed, "/") {
		return a.completeRolledApps(cmd, args, typed)
	}
	words, directive := appWords(typed), noFiles|cobra.ShellCompDirectiveNoSpace
	if !strings.HasPrefix("ro-", typed) && !strings.HasPrefix(typed, "ro-") {
		return words, directive
	}
	words = append(words, a.completeRolloutIDs(cmd, typed)...)
	if strings.HasPrefix(typed, "ro-") {
		directive = noFiles
	}
	return words, directive
}

// completeRolloutIDs completes ids of Rollouts that are not over.
func (a *app) completeRolloutIDs(cmd *cobra.Command, typed string) (ids []string) {
	_ = a.quietly(cmd, func(ctx context.Context, h *hub) error {
		rollouts, _, err := h.rolloutList(ctx, &adminv1.ListRolloutsRequest{Phases: inFlight}, maxListed, nil)
		for _, ro := range rollouts {
			if strings.HasPrefix(ro.GetId(), typed) {
				ids = append(ids, ro.GetId())
			}
		}
		return err
	})
	return ids
}

// completeGet completes what `get` lists: objects, and Rollouts, which are no declared kind.
func (a *app) completeGet(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	words, directive := a.completeRolloutsOr(a.completeObjects(kindsAndNames))(cmd, args, typed)
	if len(args) == 0 && typed != "" && strings.HasPrefix("rollouts", typed) {
		words = append(words, "rollouts")
	}
	return words, directive
}

// completeRolloutsOr completes ids of Rollouts that are not over where one is begun or comes behind the word for them, and otherwise
// what objects does.
func (a *app) completeRolloutsOr(objects completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && isRolloutWord(args[0]) || strings.HasPrefix(typed, "ro-") {
			return a.completeRolloutIDs(cmd, typed), noFiles
		}
		return objects(cmd, args, typed)
	}
}

// completeOfRollout completes what the Rollout in the first argument has.
func (a *app) completeOfRollout(has func(*adminv1.Rollout) []string) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 { // flags may come before it
			return nil, noFiles
		}
		var words []string
		_ = a.quietly(cmd, func(ctx context.Context, h *hub) error {
			r, err := a.parseRollout(cmd, args[:1])
			if err != nil {
				return err
			}
			ro, err := a.rollout(ctx, h, "complete", r)
			words = slices.DeleteFunc(has(ro), func(word string) bool { return !strings.HasPrefix(word, typed) })
			return err
		})
		return words, noFiles
	}
}

// completeMembers completes clusters of the Rollout in the first argument, those that failed or are deferred first.
func (a *app) completeMembers(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var words []string
	_ = a.quietly(cmd, func(ctx context.Context, h *hub) error {
		r, err := a.parseRollout(cmd, args[:1])
		if err != nil {
			return err
		}
		for _, phases := range [][]string{troublePhases, {"Pending"}} {
			clusters, _, err := h.rolloutClusters(ctx, &adminv1.ListRolloutClustersRequest{App: r.request(), Phases: phases}, maxListed)
			if err != nil {
				return err
			}
			for _, c := range clusters {
				if strings.HasPrefix(c.GetCluster(), typed) && !slices.Contains(args[1:], c.GetCluster()) {
					words = append(words, c.GetCluster())
				}
			}
		}
		return nil
	})
	return words, noFiles
}

// quietly asks the hub for a completion. Whatever goes wrong, nothing is said.
func (a *app) quietly(cmd *cobra.Command, ask func(context.Context, *hub) error) error {
	if err := a.prepare(cmd); err != nil {
		return err
	}
	h, err := a.connect()
	if err != nil {
		return err
	}
	defer h.close()
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	return ask(ctx, h)
}
