package main

import (
	"os"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/resource"
)

func newCreateSecretCommand(a *app) *cobra.Command {
	return newGroup("secret", "Make a Secret for a source or a receiver, with the flags of Flux's client",
		newCreateSecretGitCommand(a), newCreateSecretGitHubAppCommand(a), newCreateSecretHelmCommand(a), newCreateSecretOCICommand(a),
		newCreateSecretTLSCommand(a), newCreateSecretProxyCommand(a), newCreateSecretNotationCommand(a),
		newCreateSecretReceiverCommand(a))
}

// secretCommand is a `create secret` whose content is what content returns: the type, empty for the default one, and the
// values by key.
func (a *app) secretCommand(cmd *cobra.Command, content func(cmd *cobra.Command) (kind string, values map[string]string, err error)) *cobra.Command {
	var o createOptions
	cmd.Args = between(1, 1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		secret, err := a.newCreated(cmd, resource.Secret, args[0], o)
		if err != nil {
			return err
		}
		if secret.Type, secret.StringData, err = content(cmd); err != nil {
			return err
		}
		return a.create(cmd.Context(), []created{secret}, o, false)
	}
	o.addFlags(cmd)
	return cmd
}

// Types of Secrets.
const (
	opaqueSecret = "Opaque"
	basicSecret  = "kubernetes.io/basic-auth"
	tlsSecret    = "kubernetes.io/tls"
	dockerSecret = "kubernetes.io/dockerconfigjson"
)

// readSecretFile reads what a flag names; nothing where it names nothing.
func readSecretFile(cmd *cobra.Command, flag string) (string, error) {
	path := cmd.Flags().Lookup(flag).Value.String()
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", usagef(cmd, "--%s: %s: %s", flag, path, innermost(err))
	}
	if len(data) == 0 {
		return "", usagef(cmd, "--%s: %s is empty", flag, path)
	}
	return string(data), nil
}

// set gives a key a value, if there is one.
func set(values map[string]string, key, value string) {
	if value != "" {
		values[key] = value
	}
}
