package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type debugFlags struct {
	showVars, showValues, showStatus, showHistory bool
	kubeconfig                                    string
}

func newDebugCommand(a *app) *cobra.Command {
	var flags debugFlags
	cmd := &cobra.Command{
		Use:   "debug KIND/NAME@CLUSTER --show-vars|--show-values|--show-status|--show-history",
		Short: "Show what an app is made with in a cluster: its variables, or the values of a HelmRelease",
		Long: "Show the variables that a Kustomization has in a cluster, and where they are from: spec.postBuild.substitute, what\n" +
			"substituteFrom names, and the cluster's own variables, in falling precedence. Or, of a HelmRelease, the values that its\n" +
			"release is made with there, merged of spec.valuesFrom, spec.values and the Placement's; its status; or its history.\n\n" +
			"Values of Secrets do not leave the cluster: *** (Secret NAMESPACE/NAME key KEY) stands for one. With the kubeconfig of\n" +
			"that cluster, flotilla-spoke, which has to be beside fleetctl or on the PATH, reads them there; for the values of a\n" +
			"HelmRelease flotilla-helm has to be beside that. With -o json comes also what they are made of, which\n" +
			"flotilla-spoke debug reads on a machine that reaches the cluster.",
		Example: `  fleetctl debug ks/podinfo@eu-1 --show-vars
  fleetctl debug ks/podinfo@eu-1 --show-vars --kubeconfig eu-1.yaml
  fleetctl debug hr/podinfo@eu-1 --show-values
  fleetctl debug hr/podinfo@eu-1 --show-history`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseInstance(cmd, args)
			if err != nil {
				return err
			}
			if err := flags.check(cmd, r); err != nil {
				return err
			}
			switch {
			case flags.showValues:
				return a.runDebugValues(cmd.Context(), r, flags.kubeconfig)
			case flags.showStatus:
				return a.runDebugStatus(cmd.Context(), r, "")
			case flags.showHistory:
				return a.runDebugStatus(cmd.Context(), r, "history")
			}
			return a.runDebug(cmd.Context(), r, flags)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	cmd.Flags().BoolVar(&flags.showVars, "show-vars", false, "a Kustomization: show the variables")
	cmd.Flags().BoolVar(&flags.showValues, "show-values", false, "a HelmRelease: show the values")
	cmd.Flags().BoolVar(&flags.showStatus, "show-status", false, "show the status there, as the hub knows it")
	cmd.Flags().BoolVar(&flags.showHistory, "show-history", false, "a HelmRelease: show status.history there, as the hub knows it")
	cmd.Flags().StringVar(&flags.kubeconfig, "kubeconfig", "", "kubeconfig of that cluster: show the values of Secrets too")
	_ = cmd.MarkFlagFilename("kubeconfig") // the flag is there
	return cmd
}

// check refuses what makes no sense.
func (f debugFlags) check(cmd *cobra.Command, r ref) error {
	shown := 0
	for _, show := range []bool{f.showVars, f.showValues, f.showStatus, f.showHistory} {
		if show {
			shown++
		}
	}
	release := r.kind.Name == resource.HelmRelease.Name
	switch {
	case r.cluster == "" || r.cluster == everyCluster:
		return usagef(cmd, "%s: name the cluster: %s/%s@CLUSTER", r, shortName(r.kind), r.name)
	case shown > 1:
		return usagef(cmd, "give one of --show-vars, --show-values, --show-status and --show-history")
	case shown == 0 && release:
		return usagef(cmd, "--show-values, --show-status or --show-history is missing")
	case shown == 0:
		return usagef(cmd, "--show-vars or --show-status is missing")
	case f.showVars && release:
		return usagef(cmd, "%s: a HelmRelease has values, not variables: --show-values", r)
	case (f.showValues || f.showHistory) && !release:
		return usagef(cmd, "%s: only a HelmRelease has values and a history there; --show-vars shows variables", r)
	case f.kubeconfig != "" && !f.showVars && !f.showValues:
		return usagef(cmd, "--kubeconfig goes with --show-vars and --show-values: there are no values of Secrets in a status")
	}
	return nil
}

func (a *app) runDebug(ctx context.Context, r ref, flags debugFlags) error {
	request := about(r)
	request.Ask = &adminv1.AskRequest_Variables{Variables: &adminv1.VariablesAsk{}}
	doing := "show the variables of " + r.String()
	answers, err := ask[fleet.Variables](ctx, a, doing, request)
	if err != nil {
		return err
	}
	if err := failed(doing, answers); err != nil {
		return err
	}
	if len(answers) != 1 {
		return &failure{code: exitGeneral, what: doing + ": the hub gave no answer"}
	}
	variables := answers[0].content
	if flags.kubeconfig != "" {
		if variables, err = reveal(ctx, a, r, flags.kubeconfig, []string{"--show-vars", "--variables", "-"}, variables); err != nil {
			return err
		}
	}
	if printed, err := a.emit(variables); printed || err != nil {
		return err
	}
	return a.printVariables(r, variables)
}

func (a *app) printVariables(r ref, variables fleet.Variables) error {
	switch {
	case !variables.Substitutes:
		a.say(symbolDone, "no variable is put into the objects of %s: it has no spec.postBuild, or one without variables of its own and without substituteStrategy: Always", r)
	case len(variables.Variables) == 0:
		a.say(symbolDone, "%s has no variables", r)
	}
	for _, missing := range variables.Missing {
		a.say(symbolWarn, "%s", missing)
	}
	t := a.table(nil, "NAME", "VALUE", "FROM", "INSTEAD OF")
	for _, v := range variables.Variables {
		t.Add(v.Name, v.Value, v.From, strings.Join(v.Overrides, ", "))
	}
	return t.Flush(a.stdout)
}

const spokeProgram = "flotilla-spoke"

// reveal has flotilla-spoke fill in the values of Secrets: what needs a cluster's kubeconfig is its work.
func reveal[T any](ctx context.Context, a *app, r ref, kubeconfig string, show []string, masked T) (answer T, err error) {
	program, err := findSpoke()
	if err != nil {
		return answer, err
	}
	known, err := json.Marshal(masked)
	if err != nil {
		return answer, err
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	arguments := append([]string{"debug", r.kind.Plural + "/" + r.name}, show...)
	command := exec.CommandContext(ctx, program, append(arguments, "-o", "json", "--kubeconfig", kubeconfig)...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(known), &stdout, &stderr
	if err := command.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		return answer, &failure{code: exitGeneral, what: spokeProgram + " debug could not read the values", why: strings.TrimPrefix(why, "Error: ")}
	}
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		return answer, &failure{code: exitGeneral, what: "the answer of " + program + " is not understood", next: "bring fleetctl and flotilla-spoke to the same version"}
	}
	return answer, nil
}

// findSpoke is flotilla-spoke beside this program, or else on the PATH.
func findSpoke() (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), spokeProgram)
		if _, err := os.Stat(beside); !errors.Is(err, fs.ErrNotExist) {
			return beside, nil
		}
	}
	found, err := exec.LookPath(spokeProgram)
	if err != nil {
		return "", &failure{code: exitUsage, what: "values of Secrets are read by " + spokeProgram + ", which is neither beside fleetctl nor on the PATH",
			next: "install it there, or leave --kubeconfig out"}
	}
	return found, nil
}
