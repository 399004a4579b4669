package main

import (
	"strings"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type sourceOCIOptions struct {
	sourceOptions
	ref                                                      flux.OCIReference
	url, provider, secretRef, proxySecretRef, serviceAccount string
	certRef, layerSelector                                   string
	verify                                                   verifyOptions
	ignorePaths                                              []string
	insecure                                                 bool
}

func newCreateSourceOCICommand(a *app) *cobra.Command {
	var o sourceOCIOptions
	cmd := &cobra.Command{
		Use:   "oci NAME",
		Short: "Make an OCIRepository",
		Long:  "Make an OCIRepository and wait until it is fetched.",
		Example: `  fleetctl create source oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo --tag 6.6.2 --interval 10m
  fleetctl create source oci podinfo --url oci://ghcr.io/stefanprodan/manifests/podinfo --tag-semver 6.x --verify-provider cosign --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.sourceOCI(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.createSource(cmd.Context(), source, o.createOptions)
		},
	}
	o.addFlags(cmd)
	o.verify.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.url, "url", "", "oci://HOST/REPOSITORY")
	flags.StringVar(&o.ref.Tag, "tag", "", "tag to follow")
	flags.StringVar(&o.ref.SemVer, "tag-semver", "", "range of versions: the newest tag in it")
	flags.StringVar(&o.ref.Digest, "digest", "", "digest to stay at")
	flags.StringVar(&o.provider, "provider", "generic", "generic, aws, azure or gcp: how the hub proves who it is")
	flags.StringVar(&o.secretRef, "secret-ref", "", "the Secret of type kubernetes.io/dockerconfigjson")
	flags.StringVar(&o.proxySecretRef, "proxy-secret-ref", "", "the Secret with the proxy's address and credential")
	flags.StringVar(&o.serviceAccount, "service-account", "", "the ServiceAccount that names image pull secrets")
	flags.StringVar(&o.certRef, "cert-ref", "", "the Secret with TLS certificates")
	flags.StringVar(&o.layerSelector, "layer-selector", "", "MEDIATYPE:OPERATION, which is extract or copy")
	flags.StringSliceVar(&o.ignorePaths, "ignore-paths", nil, "paths to leave out, as in .gitignore, comma-separated")
	flags.BoolVar(&o.insecure, "insecure", false, "the registry speaks plain HTTP")
	return cmd
}

func (a *app) sourceOCI(cmd *cobra.Command, name string, o sourceOCIOptions) (created, error) {
	if err := demand(cmd, "url"); err != nil {
		return created{}, err
	}
	if o.ref == (flux.OCIReference{}) {
		return created{}, usagef(cmd, "a reference is required: --tag, --tag-semver or --digest")
	}
	source, err := a.newCreated(cmd, resource.OCIRepository, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.OCIRepository{
		URL: o.url, Ref: &o.ref, Provider: o.provider, SecretRef: named(o.secretRef), ProxySecretRef: named(o.proxySecretRef),
		ServiceAccountName: o.serviceAccount, CertSecretRef: named(o.certRef), Insecure: o.insecure, Ignore: ignored(o.ignorePaths),
	}
	if o.layerSelector != "" {
		i := strings.LastIndex(o.layerSelector, ":")
		if i < 1 || i == len(o.layerSelector)-1 {
			return created{}, usagef(cmd, "--layer-selector %q is not MEDIATYPE:OPERATION", o.layerSelector)
		}
		spec.LayerSelector = &flux.LayerSelector{MediaType: o.layerSelector[:i], Operation: o.layerSelector[i+1:]}
	}
	if spec.Verify, err = o.verify.spec(cmd); err != nil {
		return created{}, err
	}
	spec.Interval, spec.Timeout = o.intervals()
	source.Spec = spec
	return source, nil
}
