package main

import "github.com/spf13/cobra"

// dryRunMark is behind each line that tells of something done when it was not.
const dryRunMark = " (server dry run)"

// addDryRunFlag adds the flag that every command has which changes something at the hub.
func addDryRunFlag(cmd *cobra.Command, dryRun *bool) {
	cmd.Flags().BoolVar(dryRun, "dry-run", false, "ask the hub what would happen and change nothing")
}

// checkDryRun refuses to wait for what does not happen.
func checkDryRun(cmd *cobra.Command) error {
	if flagged(cmd, "dry-run") && flagged(cmd, "wait") {
		return usagef(cmd, "--wait: after --dry-run there is nothing to wait for")
	}
	return nil
}

func flagged(cmd *cobra.Command, name string) bool {
	flag := cmd.Flags().Lookup(name)
	return flag != nil && flag.Value.String() == "true"
}

// done is what happened to an object, marked where it did not.
func done(word string, dryRun bool) string {
	if dryRun {
		return word + dryRunMark
	}
	return word
}
