package main

import (
	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type sourceBucketOptions struct {
	sourceOptions
	bucket, endpoint, region, prefix, provider string
	accessKey, secretKey                       string
	secretRef, proxySecretRef, certRef         string
	ignorePaths                                []string
	insecure                                   bool
}

func newCreateSourceBucketCommand(a *app) *cobra.Command {
	var o sourceBucketOptions
	cmd := &cobra.Command{
		Use:   "bucket NAME",
		Short: "Make a Bucket",
		Long: "Make a Bucket and wait until it is fetched. Without --secret-ref, --access-key and --secret-key become a Secret of\n" +
			"the same name.",
		Example: `  fleetctl create source bucket podinfo --bucket-name podinfo --endpoint minio.example.com --secret-ref minio --interval 10m
  fleetctl create source bucket podinfo --provider aws --bucket-name podinfo --endpoint s3.amazonaws.com --region eu-central-1 --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.sourceBucket(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.runCreateSourceBucket(cmd, source, o)
		},
	}
	o.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.provider, "provider", "generic", "generic (S3-compatible), aws, azure or gcp")
	flags.StringVar(&o.bucket, "bucket-name", "", "name of the bucket")
	flags.StringVar(&o.endpoint, "endpoint", "", "address of the storage")
	flags.StringVar(&o.accessKey, "access-key", "", "access key")
	flags.StringVar(&o.secretKey, "secret-key", "", "secret key")
	flags.StringVar(&o.region, "region", "", "region of the bucket")
	flags.StringVar(&o.prefix, "prefix", "", "only objects whose keys begin so")
	flags.BoolVar(&o.insecure, "insecure", false, "the storage speaks plain HTTP")
	flags.StringVar(&o.secretRef, "secret-ref", "", "the Secret with the credential")
	flags.StringVar(&o.proxySecretRef, "proxy-secret-ref", "", "the Secret with the proxy's address and credential")
	flags.StringVar(&o.certRef, "cert-secret-ref", "", "the Secret with TLS certificates")
	flags.StringSliceVar(&o.ignorePaths, "ignore-paths", nil, "paths to leave out, as in .gitignore, comma-separated")
	return cmd
}

func (a *app) sourceBucket(cmd *cobra.Command, name string, o sourceBucketOptions) (created, error) {
	if err := demand(cmd, "bucket-name", "endpoint"); err != nil {
		return created{}, err
	}
	source, err := a.newCreated(cmd, resource.Bucket, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.Bucket{
		Provider: o.provider, BucketName: o.bucket, Endpoint: o.endpoint, Region: o.region, Prefix: o.prefix, Insecure: o.insecure,
		SecretRef: named(o.secretRef), ProxySecretRef: named(o.proxySecretRef), CertSecretRef: named(o.certRef), Ignore: ignored(o.ignorePaths),
	}
	spec.Interval, spec.Timeout = o.intervals()
	source.Spec = spec
	return source, nil
}

func (a *app) runCreateSourceBucket(cmd *cobra.Command, source created, o sourceBucketOptions) error {
	given := o.accessKey != "" || o.secretKey != ""
	switch {
	case !given:
		return a.createSource(cmd.Context(), source, o.createOptions)
	case o.accessKey == "" || o.secretKey == "":
		return usagef(cmd, "--access-key and --secret-key go together")
	case o.secretRef != "":
		return usagef(cmd, "--secret-ref names the credential: leave out the other one")
	case o.export:
		return usagef(cmd, "--export prints no credential: make a Secret with accesskey and secretkey, and name it with --secret-ref")
	}
	secret, err := a.newCreated(cmd, resource.Secret, source.Metadata.Name, o.createOptions)
	if err != nil {
		return err
	}
	secret.StringData = map[string]string{"accesskey": o.accessKey, "secretkey": o.secretKey}
	spec := source.Spec.(flux.Bucket)
	spec.SecretRef = named(secret.Metadata.Name)
	source.Spec = spec
	return a.createSource(cmd.Context(), source, o.createOptions, secret)
}
