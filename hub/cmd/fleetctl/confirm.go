package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// confirmation is how a person says that they mean a change which may delete objects or means every cluster: by the
// number of clusters, typed or given.
type confirmation struct {
	count int
	yes   bool
}

func (c *confirmation) addFlags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&c.count, "confirm", -1, "the number of clusters that the change touches, where it has to be confirmed")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "")
	_ = cmd.Flags().MarkHidden("yes") // known only so that its refusal can say what does
}

// grave reports whether a change has to be confirmed.
func grave(impact *adminv1.Impact) bool { return impact.GetDeletes() || impact.GetEveryCluster() }

// stake is one change that has to be confirmed.
type stake struct {
	what   string
	impact *adminv1.Impact
	// details are what else to know of it, a line each.
	details []string
}

// confirm asks for, or checks, the number of clusters of the gravest of the stakes. No stakes need no confirmation.
func (a *app) confirm(ctx context.Context, c confirmation, stakes []stake) error {
	if len(stakes) == 0 {
		return nil
	}
	var clusters uint32
	var lines []string
	for _, s := range stakes {
		clusters = max(clusters, s.impact.GetClusters())
		lines = append(lines, s.what+": "+describeImpact(s.impact))
		lines = append(lines, s.details...)
	}
	switch {
	case c.count >= 0 && uint32(c.count) == clusters:
		return nil
	case c.count >= 0:
		return &failure{
			code: exitUsage, what: fmt.Sprintf("not confirmed: --confirm says %d, and it is %s", c.count, count(int(clusters), "cluster")),
			why: strings.Join(lines, "\n"), next: "look at what it would do with --dry-run, then give that number",
		}
	case !a.stdinTTY || !a.stderrTTY:
		return a.unconfirmed(c, clusters, lines)
	}
	for _, line := range lines {
		a.warn("%s", line)
	}
	fmt.Fprintf(a.stderr, "Type the number of clusters (%d) to go on: ", clusters)
	answer, err := a.readLine(ctx)
	if err != nil {
		fmt.Fprintln(a.stderr) // what follows is not part of the question
		return err
	}
	if typed, err := strconv.Atoi(answer); err != nil || typed < 0 || uint32(typed) != clusters {
		return refuse("not confirmed: nothing was changed")
	}
	return nil
}

func (a *app) unconfirmed(c confirmation, clusters uint32, lines []string) error {
	f := &failure{
		code: exitUsage, what: "this has to be confirmed, and there is no terminal to ask at",
		why: strings.Join(lines, "\n"), next: fmt.Sprintf("--confirm=%d, if that is what you mean", clusters),
	}
	if c.yes {
		f.what = "-y is not enough here: the number of clusters has to be confirmed"
	}
	return f
}

// describeImpact is the hub's sentence, or one of the same meaning.
func describeImpact(impact *adminv1.Impact) string {
	switch {
	case impact.GetSummary() != "":
		return impact.GetSummary()
	case impact.GetDeletes():
		return "objects may be deleted in " + count(int(impact.GetClusters()), "cluster")
	case impact.GetEveryCluster():
		return "it means every cluster there is or will be"
	}
	return "it touches " + count(int(impact.GetClusters()), "cluster")
}
