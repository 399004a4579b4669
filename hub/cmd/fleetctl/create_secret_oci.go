package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
)

func newCreateSecretOCICommand(a *app) *cobra.Command {
	var registry, username, password string
	cmd := a.secretCommand(&cobra.Command{
		Use:     "oci NAME",
		Short:   "Make a Secret for a registry",
		Example: `  fleetctl create secret oci ghcr --url ghcr.io --username flux --password "$TOKEN"`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if err := demand(cmd, "url", "username", "password"); err != nil {
			return "", nil, err
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(registry, "oci://"), "/")
		if host == "" || strings.Contains(registry, "://") && !isOCI(registry) {
			return "", nil, usagef(cmd, "--url %q is not the address of a registry, such as ghcr.io", registry)
		}
		config, err := dockerConfig(host, username, password)
		return dockerSecret, map[string]string{".dockerconfigjson": config}, err
	})
	cmd.Flags().StringVar(&registry, "url", "", "address of the registry or of a repository in it")
	cmd.Flags().StringVarP(&username, "username", "u", "", "user name")
	cmd.Flags().StringVarP(&password, "password", "p", "", "password or token")
	return cmd
}

// dockerConfig is a credential as Docker keeps it.
func dockerConfig(host, username, password string) (string, error) {
	type entry struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	config := map[string]map[string]entry{"auths": {host: {username, password, auth}}}
	out, err := json.MarshalIndent(config, "", "  ")
	return string(out), err
}
