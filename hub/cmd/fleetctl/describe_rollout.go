package main

import "github.com/spf13/cobra"

// describedRollout reads the arguments of a `describe` of a Rollout.
func (a *app) describedRollout(cmd *cobra.Command, args []string) (rolloutRef, error) {
	if err := a.settings(); err != nil {
		return rolloutRef{}, err
	}
	ids, err := parseRolloutIDs(cmd, args)
	switch {
	case err != nil:
		return rolloutRef{}, err
	case len(ids) > 1:
		return rolloutRef{}, usagef(cmd, "describe one rollout at a time, not %s and %s", ids[0], ids[1])
	case len(ids) == 0:
		problem := usagef(cmd, "%q names no rollout: its id does, such as ro-7k2f", args[0])
		problem.next = "fleetctl get rollouts -A"
		return rolloutRef{}, problem
	}
	return rolloutRef{id: ids[0]}, nil
}
