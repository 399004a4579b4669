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
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

type debugFlags struct {
	showVars   bool
	kubeconfig string
}

func newDebugCommand(a *app) *cobra.Command {
	var flags debugFlags
	cmd := &cobra.Command{
		Use:   "debug KIND/NAME@CLUSTER --show-vars",
		Short: "Show the variables that an app has in a cluster, and where they are from",
		Long: "Show the variables that an app has in a cluster, and where they are from: spec.postBuild.substitute, what\n" +
			"substituteFrom names, and the cluster's own variables, in falling precedence.\n\n" +
			"Values of Secrets do not leave the cluster: *** (Secret NAMESPACE/NAME key KEY) stands for one. With the kubeconfig of\n" +
			"that cluster, flotilla-spoke, which has to be beside fleetctl or on the PATH, reads them there.",
		Example: `  fleetctl debug ks/podinfo@eu-1 --show-vars
  fleetctl debug ks/podinfo@eu-1 --show-vars --kubeconfig eu-1.yaml`,
		Annotations: outputs("json", "yaml"),
		Args:        between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.parseInstance(cmd, args)
			if err != nil {
				return err
			}
			switch {
			case r.cluster == "" || r.cluster == everyCluster:
				return usagef(cmd, "%s: name the cluster: %s/%s@CLUSTER", r, shortName(r.kind), r.name)
			case !flags.showVars:
				return usagef(cmd, "--show-vars is missing: there is nothing else to show")
			}
			return a.runDebug(cmd.Context(), r, flags)
		},
		ValidArgsFunction: a.completeObjects(oneRef),
	}
	cmd.Flags().BoolVar(&flags.showVars, "show-vars", false, "show the variables")
	cmd.Flags().StringVar(&flags.kubeconfig, "kubeconfig", "", "kubeconfig of that cluster: show the values of Secrets too")
	_ = cmd.MarkFlagFilename("kubeconfig") // the flag is there
	return cmd
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
		if variables, err = a.reveal(ctx, r, flags.kubeconfig, variables); err != nil {
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

// reveal has flotilla-spoke read the values of Secrets: what needs a cluster's kubeconfig is its work.
func (a *app) reveal(ctx context.Context, r ref, kubeconfig string, variables fleet.Variables) (fleet.Variables, error) {
	program, err := findSpoke()
	if err != nil {
		return variables, err
	}
	known, err := json.Marshal(variables)
	if err != nil {
		return variables, err
	}
	ctx, cancel := a.bounded(ctx, callTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, program, "debug", r.kind.Plural+"/"+r.name, "--show-vars", "--variables", "-", "-o", "json", "--kubeconfig", kubeconfig)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(known), &stdout, &stderr
	if err := command.Run(); err != nil {
		why := strings.TrimSpace(stderr.String())
		if why == "" {
			why = err.Error()
		}
		return variables, &failure{code: exitGeneral, what: spokeProgram + " debug could not read the values", why: strings.TrimPrefix(why, "Error: ")}
	}
	var revealed fleet.Variables
	if err := json.Unmarshal(stdout.Bytes(), &revealed); err != nil {
		return variables, &failure{code: exitGeneral, what: "the answer of " + program + " is not understood", next: "bring fleetctl and flotilla-spoke to the same version"}
	}
	return revealed, nil
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
