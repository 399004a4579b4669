package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/hub/cmd/fleetctl/config"
)

func newConfigCommand(a *app) *cobra.Command {
	return newGroup("config", "Look at and change the configuration: contexts and their tokens",
		newConfigViewCommand(a), newGetContextsCommand(a), newUseContextCommand(a), newSetContextCommand(a), newDeleteContextCommand(a))
}

func newConfigViewCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "view",
		Short:       "Print the configuration; it holds no tokens",
		Annotations: outputs("yaml", "json"),
		Args:        between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if err := a.loadConfig(); err != nil {
				return err
			}
			a.say(symbolDo, "%s", a.configPath)
			if a.flags.output == "" {
				a.flags.output = "yaml"
			}
			_, err := a.emit(a.config)
			return err
		},
	}
}

// loadConfig loads the configuration whatever context is meant, so that a wrong one can be put right.
func (a *app) loadConfig() error {
	err := a.settings()
	if a.config != nil {
		return nil
	}
	return err
}

func newGetContextsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "get-contexts",
		Short:       "List the contexts",
		Annotations: outputs("json", "yaml", "name"),
		Args:        between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if err := a.loadConfig(); err != nil {
				return err
			}
			return a.printContexts()
		},
	}
}

// contextDocument is a context for programs.
type contextDocument struct {
	config.Context
	Current bool `json:"current"`
	Token   bool `json:"token"`
}

func (a *app) printContexts() error {
	list := struct {
		Items []contextDocument `json:"items"`
	}{Items: []contextDocument{}}
	t := a.table(nil, "CURRENT", "NAME", "HUB", "NAMESPACE", "TOKEN")
	for _, c := range a.config.Contexts {
		_, err := os.Stat(config.TokenPath(a.configPath, c.Name))
		document := contextDocument{Context: c, Current: c.Name == a.config.CurrentContext, Token: err == nil}
		list.Items = append(list.Items, document)
		mark, kept := "", "missing"
		if document.Current {
			mark = "*"
		}
		if document.Token {
			kept = "kept"
		}
		t.Add(mark, c.Name, c.Hub, c.Namespace, kept)
		if a.flags.output == "name" {
			if _, err := fmt.Fprintln(a.stdout, c.Name); err != nil {
				return err
			}
		}
	}
	if a.flags.output == "name" {
		return nil
	}
	if done, err := a.emit(list); done {
		return err
	}
	if t.Len() == 0 {
		a.say(symbolWarn, "No contexts found in %s", a.configPath)
	}
	return t.Flush(a.stdout)
}

func newUseContextCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "use-context NAME",
		Short: "Make a context the current one",
		Args:  between(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.loadConfig(); err != nil {
				return err
			}
			if a.config.Find(args[0]) == nil {
				return noContext(args[0])
			}
			a.config.CurrentContext = args[0]
			if err := a.saveConfig(); err != nil {
				return err
			}
			a.say(symbolDone, "context %s is the current one", args[0])
			return nil
		},
		ValidArgsFunction: a.completeContexts,
	}
}

func noContext(name string) *failure {
	return &failure{code: exitNotFound, what: "there is no context " + name, next: "fleetctl config get-contexts"}
}

func (a *app) saveConfig() error {
	if err := a.config.Save(a.configPath); err != nil {
		return &failure{code: exitGeneral, what: "cannot write the configuration", why: err.Error(), next: "another place, named in FLOTILLA_CONFIG"}
	}
	return nil
}

func newSetContextCommand(a *app) *cobra.Command {
	var tokenStdin bool
	cmd := &cobra.Command{
		Use:   "set-context NAME",
		Short: "Make or change a context",
		Long: "Make or change a context: what is not given stays as it is. The first context becomes the current one.\n" +
			"The token is kept beside the configuration, in tokens/NAME, readable by you alone.",
		Example: `  fleetctl config set-context prod --hub fleet.example.com:9443 --ca-pin 3f9c... --token-stdin < token
  fleetctl config set-context prod -n apps`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runSetContext(cmd, args[0], tokenStdin)
		},
		ValidArgsFunction: a.completeContexts,
	}
	cmd.Flags().BoolVar(&tokenStdin, "token-stdin", false, "read the token from stdin (or from --token-file)")
	return cmd
}

func (a *app) runSetContext(cmd *cobra.Command, name string, tokenStdin bool) error {
	if err := config.CheckName(name); err != nil {
		return usagef(cmd, "%s", err)
	}
	if _, err := parsePin(a.flags.caPin); err != nil {
		return err
	}
	if err := a.loadConfig(); err != nil {
		return err
	}
	token, err := a.newToken(cmd, tokenStdin)
	if err != nil {
		return err
	}
	c := a.config.Ensure(name)
	// Only what the command line says: the environment describes a call, not a context.
	flags := cmd.Flags()
	if flags.Changed("hub") {
		c.Hub = a.flags.hub
	}
	if flags.Changed("ca-pin") {
		c.CAPin = a.flags.caPin
	}
	if flags.Changed("namespace") {
		c.Namespace = a.flags.namespace
	}
	if token != "" { // before the context, so that there is none without its token
		if err := config.WriteToken(a.configPath, name, token); err != nil {
			return &failure{code: exitGeneral, what: "cannot keep the token", why: err.Error(), next: "another place, named in FLOTILLA_CONFIG"}
		}
	}
	if err := a.saveConfig(); err != nil {
		return err
	}
	a.say(symbolDone, "context %s is set", name)
	return nil
}

// newToken is the token that set-context is given, or empty.
func (a *app) newToken(cmd *cobra.Command, fromStdin bool) (string, error) {
	fromFile := cmd.Flags().Changed("token-file")
	switch {
	case fromStdin && fromFile:
		return "", usagef(cmd, "--token-stdin and --token-file do not go together")
	case fromFile:
		token, err := config.ReadToken(a.flags.tokenFile)
		if err != nil {
			return "", refuse("--token-file: %s", err)
		}
		return token, nil
	case !fromStdin:
		return "", nil
	}
	if a.stdinTTY {
		a.say(symbolWait, "paste the token, then Enter")
		return a.readLine(cmd.Context())
	}
	data, err := readInput(cmd.Context(), func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, 64<<10)) })
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", refuse("--token-stdin: stdin does not hold one token")
	}
	return token, nil
}

func newDeleteContextCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "delete-context NAME",
		Short: "Forget a context and its token",
		Args:  between(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := a.loadConfig(); err != nil {
				return err
			}
			if !a.config.Remove(args[0]) {
				return noContext(args[0])
			}
			if err := errors.Join(a.saveConfig(), config.RemoveToken(a.configPath, args[0])); err != nil {
				return err
			}
			a.say(symbolDone, "context %s is deleted", args[0])
			return nil
		},
		ValidArgsFunction: a.completeContexts,
	}
}
