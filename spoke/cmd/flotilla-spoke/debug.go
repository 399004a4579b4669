package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke"
)

// debugSettings are the flags of debug.
type debugSettings struct {
	config     spoke.Config
	showVars   bool
	variables  string
	showValues bool
	values     string
	output     string
}

func debugCommand() *cobra.Command {
	var s debugSettings
	cmd := &cobra.Command{
		Use: "debug KIND/NAME --show-vars --variables FILE --kubeconfig FILE", Short: "Show the variables or values of an App with those of Secrets", Args: cobra.ExactArgs(1),
		Long: "Show the variables of an App with the values that are from Secrets, which it reads with the kubeconfig of that cluster. Which\n" +
			"variables there are, and where they are from, fleetctl tells without the values.\n\n" +
			"Of a HelmRelease the values are made anew as a release's would be; for that, flotilla-helm has to be beside this program.\n\n" +
			"fleetctl debug with --kubeconfig runs this.",
		Example: "  fleetctl debug ks/podinfo@eu-1 --show-vars -o json | flotilla-spoke debug ks/podinfo --show-vars --variables - --kubeconfig eu-1.yaml\n" +
			"  fleetctl debug hr/podinfo@eu-1 --show-values -o json | flotilla-spoke debug hr/podinfo --show-values --values - --kubeconfig eu-1.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.run(cmd, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.config.Kubeconfig, "kubeconfig", "", "how to reach the cluster (default: the Pod's service account)")
	flags.BoolVar(&s.showVars, "show-vars", false, "show the variables of a Kustomization")
	flags.BoolVar(&s.showValues, "show-values", false, "show the values of a HelmRelease")
	flags.StringVar(&s.variables, "variables", "", "what fleetctl debug KIND/NAME@CLUSTER --show-vars -o json has printed; -: from stdin")
	flags.StringVar(&s.values, "values", "", "what fleetctl debug KIND/NAME@CLUSTER --show-values -o json has printed; -: from stdin")
	flags.StringVarP(&s.output, "output", "o", "", "json; default: lines of NAME=VALUE, or the values as YAML")
	return cmd
}

func (s *debugSettings) run(cmd *cobra.Command, app string) error {
	var problems []error
	if kind, name, _ := strings.Cut(app, "/"); kind == "" || name == "" {
		problems = append(problems, fmt.Errorf("%q names no App: KIND/NAME does", app))
	}
	if s.showVars == s.showValues {
		problems = append(problems, errors.New("give --show-vars or --show-values, one of them"))
	}
	if s.showVars && s.variables == "" {
		problems = append(problems, errors.New("--variables is missing: the file that fleetctl debug has printed, or - for stdin"))
	}
	if s.showValues && s.values == "" {
		problems = append(problems, errors.New("--values is missing: the file that fleetctl debug has printed, or - for stdin"))
	}
	if s.output != "" && s.output != "json" {
		problems = append(problems, fmt.Errorf("-o %s: it is json, or not given", s.output))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if s.showValues {
		return s.runValues(cmd)
	}
	var variables fleet.Variables
	if err := read("--variables", s.variables, cmd.InOrStdin(), &variables); err != nil {
		return err
	}
	if err := spoke.Reveal(cmd.Context(), s.config, &variables); err != nil {
		return err
	}
	if s.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(variables)
	}
	for _, v := range variables.Variables {
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s=%s\n", v.Name, v.Value); err != nil {
			return err
		}
	}
	return nil
}

func (s *debugSettings) runValues(cmd *cobra.Command) error {
	var values fleet.HelmValues
	if err := read("--values", s.values, cmd.InOrStdin(), &values); err != nil {
		return err
	}
	if err := spoke.RevealValues(cmd.Context(), s.config, &values); err != nil {
		return err
	}
	if s.output == "json" {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(values)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), values.Values)
	return err
}

// read reads what fleetctl has printed.
func read(flag, file string, stdin io.Reader, into any) error {
	var content []byte
	var err error
	if file == "-" {
		content, err = io.ReadAll(io.LimitReader(stdin, fleet.MaxAnswer+1))
	} else {
		content, err = os.ReadFile(file)
	}
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}
