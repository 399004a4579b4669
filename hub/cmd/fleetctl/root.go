package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flotilla.dev/flotilla/pkg/environ"
)

// globalFlags are those of every command. Each may come from the environment too: FLOTILLA_<FLAG>.
type globalFlags struct {
	context, hub, caPin, tokenFile, namespace, output, color string
	quiet                                                    bool
	timeout                                                  time.Duration
}

// outputsKey is the annotation of a command that lists the values -o may have, comma-separated.
const outputsKey = "outputs"

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetctl",
		Short: "Look at and change a fleet of clusters through its Flotilla hub",
		Long: "fleetctl looks at and changes a fleet of clusters through its Flotilla hub.\n\n" +
			"ks/podinfo is an object of the whole fleet, ks/podinfo@eu-1 its instance in one cluster.\n" +
			"Every global flag may come from the environment too: --token-file from FLOTILLA_TOKEN_FILE.",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.prepare(cmd)
		},
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef(cmd, "%s", err) })
	a.addGlobalFlags(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "look", Title: "Look:"}, &cobra.Group{ID: "do", Title: "Do:"},
		&cobra.Group{ID: "fleet", Title: "Fleet:"}, &cobra.Group{ID: "help", Title: "Settings and help:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add("look", newGetCommand(a), newDescribeCommand(a), newStatusCommand(a), newEventsCommand(a), newDiffCommand(a),
		newTreeCommand(a), newTraceCommand(a), newHistoryCommand(a), newTargetsCommand(a), newBuildCommand(a),
		newDebugCommand(a), newAPIResourcesCommand(a), newListCommand(a), newPullCommand(a), newExportCommand(a))
	add("do", newApplyCommand(a), newCreateCommand(a), newDeleteCommand(a), newReconcileCommand(a), newSuspendCommand(a), newResumeCommand(a),
		newWaitCommand(a), newRolloutCommand(a), newFreezeCommand(a), newUnfreezeCommand(a), newPruneCommand(a), newPushCommand(a), newTagCommand(a))
	add("fleet", newClusterCommand(a), newHubCommand(a))
	add("help", newConfigCommand(a), newVersionCommand(a))
	root.AddCommand(newExitCodesTopic())
	root.SetHelpCommandGroupID("help")
	root.SetCompletionCommandGroupID("help")
	return root
}

func (a *app) addGlobalFlags(flags *pflag.FlagSet) {
	f := &a.flags
	flags.StringVar(&f.context, "context", "", "the context of the configuration to use")
	flags.StringVar(&f.hub, "hub", "", "address of the hub's admin API, host:port")
	flags.StringVar(&f.caPin, "ca-pin", "", "SHA-256 of the public key of the hub's CA")
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds the token")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "namespace (default the context's, else "+defaultNamespace+")")
	flags.StringVarP(&f.output, "output", "o", "", "table, wide, json, yaml or name, where the command has it")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no narration on stderr")
	flags.StringVar(&f.color, "color", "auto", "auto, always or never")
	flags.DurationVar(&f.timeout, "timeout", 0, "give up after this long (default 30s for an answer, 5m for a wait, never for -w)")
}

// prepare takes what the environment gives and refuses what makes no sense for cmd.
func (a *app) prepare(cmd *cobra.Command) error {
	flags := cmd.Root().PersistentFlags()
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			a.given[flag.Name] = true
		}
	})
	fromEnv, err := environ.Fill(flags, environ.Prefix, a.env)
	if err != nil {
		return usagef(cmd, "%s", err)
	}
	for _, name := range fromEnv {
		a.given[name] = true
	}
	if !slices.Contains([]string{"auto", "always", "never"}, a.flags.color) {
		return usagef(cmd, "--color %q is not auto, always or never", a.flags.color)
	}
	if err := checkDryRun(cmd); err != nil {
		return err
	}
	a.outputByEnv = slices.Contains(fromEnv, "output")
	return a.checkOutput(cmd, a.outputByEnv)
}

// checkOutput refuses a format that cmd does not have; one that only the environment asks for is passed over.
func (a *app) checkOutput(cmd *cobra.Command, fromEnv bool) error {
	allowed := strings.Split(cmd.Annotations[outputsKey], ",")
	if a.flags.output == "table" {
		a.flags.output = ""
	}
	if a.flags.output == "" || slices.Contains(allowed, a.flags.output) {
		return nil
	}
	if fromEnv {
		a.flags.output = ""
		return nil
	}
	if allowed[0] == "" {
		return usagef(cmd, "%s has no -o", cmd.CommandPath())
	}
	return usagef(cmd, "-o %s: %s has %s", a.flags.output, cmd.CommandPath(), strings.Join(allowed, ", "))
}

// outputs declares the formats of a command beside its default one.
func outputs(formats ...string) map[string]string {
	return map[string]string{outputsKey: strings.Join(formats, ",")}
}

// runGroup is the RunE of a command that only holds others.
func runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	problem := usagef(cmd, "unknown command %q for %q", args[0], cmd.CommandPath())
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		problem.why = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return problem
}

// newGroup is a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: runGroup}
	group.AddCommand(commands...)
	return group
}

// between refuses a number of arguments outside of least and most (-1: any).
func between(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef(cmd, "%s", missingArguments(cmd))
		case most >= 0 && len(args) > most:
			return usagef(cmd, "%q is an argument too many", args[most])
		}
		return nil
	}
}

func missingArguments(cmd *cobra.Command) string {
	_, arguments, _ := strings.Cut(cmd.Use, " ")
	return fmt.Sprintf("arguments are missing: %s", arguments)
}
