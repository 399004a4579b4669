package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

type credentialOptions struct {
	createOptions
	urlPrefix, provider                string
	namespaces                         []string
	secretRef, certSecretRef, proxyRef string
}

func newCreateCredentialCommand(a *app) *cobra.Command {
	var o credentialOptions
	cmd := &cobra.Command{
		Use:   "credential NAME",
		Short: "Let sources be fetched with a Secret or an identity of the administrator's",
		Long: "Let the sources of some namespaces, whose URL begins with a prefix, be fetched with a Secret of the administrator's or\n" +
			"with the hub's own identity at a cloud, where they name nothing of their own.",
		Example: `  fleetctl create credential acme --url-prefix https://git.example.com/acme --namespaces apps,web --secret-ref admin/git-acme
  fleetctl create credential ecr --url-prefix oci://1234.dkr.ecr.eu-central-1.amazonaws.com --namespaces '*' --provider aws --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			credential, err := a.credential(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.create(cmd.Context(), []created{credential}, o.createOptions, false)
		},
	}
	o.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.urlPrefix, "url-prefix", "", "what the URL of a source begins with: scheme, host and first segments of the path")
	flags.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces whose sources may use it, comma-separated; '*' is all of them")
	flags.StringVar(&o.secretRef, "secret-ref", "", "NAMESPACE/NAME of the Secret with the credential")
	flags.StringVar(&o.certSecretRef, "cert-secret-ref", "", "NAMESPACE/NAME of the Secret with TLS certificates")
	flags.StringVar(&o.proxyRef, "proxy-secret-ref", "", "NAMESPACE/NAME of the Secret with the proxy's address and credential")
	flags.StringVar(&o.provider, "provider", "", "aws, azure or gcp: the hub's own identity there may be used")
	return cmd
}

func (a *app) credential(cmd *cobra.Command, name string, o credentialOptions) (created, error) {
	if err := demand(cmd, "url-prefix", "namespaces"); err != nil {
		return created{}, err
	}
	credential, err := a.newCreated(cmd, resource.Credential, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := fleet.Credential{URLPrefix: o.urlPrefix, Namespaces: o.namespaces, Provider: o.provider}
	for _, ref := range []struct {
		flag, text string
		to         **fleet.NamespacedRef
	}{{"secret-ref", o.secretRef, &spec.SecretRef}, {"cert-secret-ref", o.certSecretRef, &spec.CertSecretRef}, {"proxy-secret-ref", o.proxyRef, &spec.ProxySecretRef}} {
		if ref.text == "" {
			continue
		}
		namespace, name, found := strings.Cut(ref.text, "/")
		if !found || namespace == "" || name == "" {
			return created{}, usagef(cmd, "--%s %q is not NAMESPACE/NAME", ref.flag, ref.text)
		}
		*ref.to = &fleet.NamespacedRef{Namespace: namespace, Name: name}
	}
	credential.Spec = spec
	return credential, nil
}
