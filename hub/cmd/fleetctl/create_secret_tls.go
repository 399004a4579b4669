package main

import "github.com/spf13/cobra"

func newCreateSecretTLSCommand(a *app) *cobra.Command {
	var o helmCredential
	cmd := a.secretCommand(&cobra.Command{
		Use:   "tls NAME",
		Short: "Make a Secret with TLS certificates",
		Example: `  fleetctl create secret tls certs --tls-crt-file client.crt --tls-key-file client.key --ca-crt-file ca.crt
  fleetctl create secret tls certs --ca-crt-file ca.crt --export`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if !o.any() {
			return "", nil, usagef(cmd, "--tls-crt-file and --tls-key-file, or --ca-crt-file are required")
		}
		return o.content(cmd)
	})
	o.addFiles(cmd, "tls-crt-file", "tls-key-file", "ca-crt-file")
	return cmd
}
