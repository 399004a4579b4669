package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type sourceHelmOptions struct {
	sourceOptions
	credential                        helmCredential
	url, secretRef, certRef, provider string
	passCredentials, insecure         bool
}

func newCreateSourceHelmCommand(a *app) *cobra.Command {
	var o sourceHelmOptions
	cmd := &cobra.Command{
		Use:   "helm NAME",
		Short: "Make a HelmRepository",
		Long: "Make a HelmRepository and wait until its index is fetched; of one at oci:// there is none to wait for. Without\n" +
			"--secret-ref, the credential given becomes a Secret of the same name.",
		Example: `  fleetctl create source helm podinfo --url https://stefanprodan.github.io/podinfo --interval 10m
  fleetctl create source helm podinfo --url oci://ghcr.io/stefanprodan/charts --secret-ref ghcr --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.sourceHelm(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.runCreateSourceHelm(cmd, source, o)
		},
	}
	o.addFlags(cmd)
	o.credential.addFlags(cmd, "cert-file", "key-file", "ca-file")
	flags := cmd.Flags()
	flags.StringVar(&o.url, "url", "", "address of the repository: http, https or oci")
	flags.StringVar(&o.secretRef, "secret-ref", "", "the Secret with the credential")
	flags.StringVar(&o.certRef, "cert-secret-ref", "", "the Secret with TLS certificates")
	flags.StringVar(&o.provider, "oci-provider", "", "generic, aws, azure or gcp: how the hub proves who it is to a registry")
	flags.BoolVar(&o.passCredentials, "pass-credentials", false, "send the credential to every host that charts are at")
	flags.BoolVar(&o.insecure, "insecure", false, "the registry speaks plain HTTP")
	return cmd
}

func (a *app) sourceHelm(cmd *cobra.Command, name string, o sourceHelmOptions) (created, error) {
	if err := demand(cmd, "url"); err != nil {
		return created{}, err
	}
	source, err := a.newCreated(cmd, resource.HelmRepository, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.HelmRepository{
		URL: o.url, SecretRef: named(o.secretRef), CertSecretRef: named(o.certRef), PassCredentials: o.passCredentials,
		Insecure: o.insecure, Provider: o.provider,
	}
	if isOCI(o.url) {
		spec.Type = flux.HelmRepositoryOCI
	}
	spec.Interval, spec.Timeout = o.intervals()
	source.Spec = spec
	return source, nil
}

func isOCI(address string) bool { return strings.HasPrefix(address, "oci://") }

func (a *app) runCreateSourceHelm(cmd *cobra.Command, source created, o sourceHelmOptions) error {
	objects := []created{source}
	switch {
	case o.credential.any() && o.secretRef != "":
		return usagef(cmd, "--secret-ref names the credential: leave out the other one")
	case o.credential.any() && o.export:
		return usagef(cmd, "--export prints no credential: make it with `create secret helm`, and name it with --secret-ref")
	case o.credential.any():
		secret, err := a.newCreated(cmd, resource.Secret, source.Metadata.Name, o.createOptions)
		if err != nil {
			return err
		}
		if secret.Type, secret.StringData, err = o.credential.content(cmd); err != nil {
			return err
		}
		spec := source.Spec.(flux.HelmRepository)
		spec.SecretRef = named(secret.Metadata.Name)
		source.Spec = spec
		objects = []created{secret, source}
	}
	return a.create(cmd.Context(), objects, o.createOptions, !isOCI(o.url)) // of a registry nothing is fetched
}
