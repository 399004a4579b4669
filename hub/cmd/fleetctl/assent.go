package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// assent is how a person says that they mean a change that steers a Rollout: by a word, or -y. What may delete objects or
// means every cluster is confirmed by count instead.
type assent struct{ yes bool }

func (s *assent) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&s.yes, "yes", "y", false, "do not ask")
}

// assure tells what would happen and asks whether that is meant, unless it is a dry run.
func (a *app) assure(ctx context.Context, s assent, dryRun bool, lines []string) error {
	switch {
	case s.yes || dryRun:
		return nil
	case !a.stdinTTY || !a.stderrTTY:
		return &failure{
			code: exitUsage, what: "this has to be confirmed, and there is no terminal to ask at",
			why: strings.Join(lines, "\n"), next: "-y, if that is what you mean",
		}
	}
	for _, line := range lines {
		a.warn("%s", line)
	}
	fmt.Fprint(a.stderr, "Type yes to go on: ")
	answer, err := a.readLine(ctx)
	if err != nil {
		fmt.Fprintln(a.stderr) // what follows is not part of the question
		return err
	}
	if word := strings.ToLower(answer); word != "yes" && word != "y" {
		return refuse("not confirmed: nothing was changed")
	}
	return nil
}
