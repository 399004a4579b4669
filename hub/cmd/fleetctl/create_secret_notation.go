package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newCreateSecretNotationCommand(a *app) *cobra.Command {
	var certs []string
	cmd := a.secretCommand(&cobra.Command{
		Use:     "notation NAME",
		Short:   "Make a Secret to verify signatures of notation with",
		Example: `  fleetctl create secret notation notation --ca-cert-file ca.crt --trust-policy-file trustpolicy.json`,
	}, func(cmd *cobra.Command) (string, map[string]string, error) {
		if err := demand(cmd, "ca-cert-file", "trust-policy-file"); err != nil {
			return "", nil, err
		}
		policy, err := readSecretFile(cmd, "trust-policy-file")
		if err != nil {
			return "", nil, err
		}
		var document struct {
			TrustPolicies []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(policy), &document); err != nil || len(document.TrustPolicies) == 0 || document.TrustPolicies[0].Name == "" {
			return "", nil, usagef(cmd, "--trust-policy-file: it is no trust policy of notation")
		}
		values := map[string]string{"trustpolicy.json": policy}
		for _, path := range certs {
			name := filepath.Base(path)
			if ext := filepath.Ext(name); ext != ".crt" && ext != ".pem" {
				return "", nil, usagef(cmd, "--ca-cert-file: %s ends neither with .crt nor with .pem", name)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return "", nil, usagef(cmd, "--ca-cert-file: %s: %s", path, innermost(err))
			}
			if _, twice := values[name]; twice {
				return "", nil, usagef(cmd, "--ca-cert-file: two files are named %s", name)
			}
			values[name] = string(data)
		}
		return "", values, nil
	})
	cmd.Flags().StringSliceVar(&certs, "ca-cert-file", nil, "file with a root certificate, .crt or .pem; may be repeated")
	cmd.Flags().String("trust-policy-file", "", "file with the trust policy")
	return cmd
}
