package main

import (
	"github.com/spf13/cobra"
)

func newCreateSecretGitHubAppCommand(a *app) *cobra.Command {
	var id, owner, installation, base string
	cmd := a.secretCommand(&cobra.Command{
		Use:     "githubapp NAME",
		Short:   "Make a Secret of a GitHub App",
		Example: `  fleetctl create secret githubapp app --app-id 1 --app-installation-id 2 --app-private-key app.pem`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if err := demand(cmd, "app-id", "app-private-key"); err != nil {
			return "", nil, err
		}
		if (owner == "") == (installation == "") {
			return "", nil, usagef(cmd, "one of --app-installation-owner and --app-installation-id is required")
		}
		key, err := readSecretFile(cmd, "app-private-key")
		if err != nil {
			return "", nil, err
		}
		values := map[string]string{"githubAppID": id, "githubAppPrivateKey": key}
		set(values, "githubAppInstallationOwner", owner)
		set(values, "githubAppInstallationID", installation)
		set(values, "githubAppBaseURL", base)
		return opaqueSecret, values, nil
	})
	cmd.Flags().StringVar(&id, "app-id", "", "ID of the App")
	cmd.Flags().StringVar(&owner, "app-installation-owner", "", "user or organization that has installed it")
	cmd.Flags().StringVar(&installation, "app-installation-id", "", "ID of the installation")
	cmd.Flags().String("app-private-key", "", "file with the App's private key")
	cmd.Flags().StringVar(&base, "app-base-url", "", "address of the API of a GitHub Enterprise server")
	return cmd
}
