package main

import (
	"net/url"

	"github.com/spf13/cobra"
)

func newCreateSecretProxyCommand(a *app) *cobra.Command {
	var address, username, password string
	cmd := a.secretCommand(&cobra.Command{
		Use:     "proxy NAME",
		Short:   "Make a Secret for a proxy",
		Example: `  fleetctl create secret proxy proxy --address https://proxy.example.com:3128 --username user --password "$PASSWORD"`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if err := demand(cmd, "address"); err != nil {
			return "", nil, err
		}
		if parsed, err := url.Parse(address); err != nil || parsed.Host == "" {
			return "", nil, usagef(cmd, "--address is not a URL such as https://proxy.example.com:3128")
		}
		values := map[string]string{"address": address}
		set(values, "username", username)
		set(values, "password", password)
		return opaqueSecret, values, nil
	})
	cmd.Flags().StringVar(&address, "address", "", "URL of the proxy")
	cmd.Flags().StringVarP(&username, "username", "u", "", "user name")
	cmd.Flags().StringVarP(&password, "password", "p", "", "password")
	return cmd
}
