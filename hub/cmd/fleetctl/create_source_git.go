package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/resource"
)

type sourceGitOptions struct {
	sourceOptions
	credential                                  gitCredential
	ref                                         flux.GitReference
	secretRef, proxySecretRef, provider         string
	recurseSubmodules, silent                   bool
	ignorePaths, sparseCheckoutPaths            []string
	verifyMode, verifySecretRef, serviceAccount string
}

func newCreateSourceGitCommand(a *app) *cobra.Command {
	var o sourceGitOptions
	cmd := &cobra.Command{
		Use:   "git NAME",
		Short: "Make a GitRepository",
		Long: "Make a GitRepository and wait until it is fetched. Without --secret-ref, what it takes to reach the repository\n" +
			"becomes a Secret of the same name: --username and --password, or for ssh a key, new unless --private-key-file\n" +
			"has one, and the host keys that the server shows now.",
		Example: `  fleetctl create source git podinfo --url https://github.com/stefanprodan/podinfo --branch master
  fleetctl create source git podinfo --url ssh://git@github.com/stefanprodan/podinfo --tag-semver '>=6.0.0' --secret-ref podinfo-key
  fleetctl create source git podinfo --url https://github.com/stefanprodan/podinfo --branch master --interval 5m --export`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, err := a.sourceGit(cmd, args[0], o)
			if err != nil {
				return err
			}
			return a.runCreateSourceGit(cmd, source, o)
		},
	}
	o.addFlags(cmd)
	o.credential.addFlags(cmd, "ca-file")
	flags := cmd.Flags()
	flags.StringVar(&o.ref.Branch, "branch", "", "branch to follow")
	flags.StringVar(&o.ref.Tag, "tag", "", "tag to follow")
	flags.StringVar(&o.ref.SemVer, "tag-semver", "", "range of versions: the newest tag in it")
	flags.StringVar(&o.ref.Name, "ref-name", "", "name of a reference, such as refs/pull/1/head")
	flags.StringVar(&o.ref.Commit, "commit", "", "commit to stay at")
	flags.StringVar(&o.secretRef, "secret-ref", "", "the Secret with the credential")
	flags.StringVar(&o.proxySecretRef, "proxy-secret-ref", "", "the Secret with the proxy's address and credential")
	flags.StringVar(&o.provider, "provider", "", "generic, azure or github: how the hub proves who it is")
	flags.StringVar(&o.serviceAccount, "service-account", "", "the ServiceAccount whose cloud identity is used")
	flags.StringVar(&o.verifyMode, "verify-mode", "", "HEAD, Tag or TagAndHEAD: what must be signed")
	flags.StringVar(&o.verifySecretRef, "verify-secret-ref", "", "the Secret with the public keys of those who may sign")
	flags.BoolVar(&o.recurseSubmodules, "recurse-submodules", false, "take in the submodules")
	flags.BoolVarP(&o.silent, "silent", "s", false, "do not ask whether the deploy key is in place")
	flags.StringSliceVar(&o.ignorePaths, "ignore-paths", nil, "paths to leave out, as in .gitignore, comma-separated")
	flags.StringSliceVar(&o.sparseCheckoutPaths, "sparse-checkout-paths", nil, "directories to check out, comma-separated")
	return cmd
}

func (a *app) sourceGit(cmd *cobra.Command, name string, o sourceGitOptions) (created, error) {
	if err := demand(cmd, "url"); err != nil {
		return created{}, err
	}
	if o.ref == (flux.GitReference{}) {
		return created{}, usagef(cmd, "a reference is required: --branch, --tag, --tag-semver, --ref-name or --commit")
	}
	if (o.verifyMode != "") != (o.verifySecretRef != "") {
		return created{}, usagef(cmd, "--verify-mode and --verify-secret-ref go together")
	}
	source, err := a.newCreated(cmd, resource.GitRepository, name, o.createOptions)
	if err != nil {
		return created{}, err
	}
	spec := flux.GitRepository{
		URL: o.credential.url, Ref: &o.ref, SecretRef: named(o.secretRef), ProxySecretRef: named(o.proxySecretRef), Provider: o.provider,
		ServiceAccountName: o.serviceAccount, RecurseSubmodules: o.recurseSubmodules, Ignore: ignored(o.ignorePaths), SparseCheckout: o.sparseCheckoutPaths,
	}
	if o.verifyMode != "" {
		spec.Verify = &flux.GitVerify{Mode: o.verifyMode, SecretRef: flux.SecretRef{Name: o.verifySecretRef}}
	}
	spec.Interval, spec.Timeout = o.intervals()
	source.Spec = spec
	return source, nil
}

func (a *app) runCreateSourceGit(cmd *cobra.Command, source created, o sourceGitOptions) error {
	ctx := cmd.Context()
	address, err := url.Parse(o.credential.url)
	if err != nil {
		return usagef(cmd, "--url is not a URL")
	}
	needsSecret := address.Scheme == "ssh" || o.credential.any()
	switch {
	case o.credential.any() && o.secretRef != "":
		return usagef(cmd, "--secret-ref names the credential: leave out the other one")
	case o.credential.any() && o.export:
		return usagef(cmd, "--export prints no credential: make it with `create secret git`, and name it with --secret-ref")
	case !needsSecret || o.secretRef != "" || o.export:
		return a.createSource(ctx, source, o.createOptions)
	}
	secret, err := a.newCreated(cmd, resource.Secret, source.Metadata.Name, o.createOptions)
	if err != nil {
		return err
	}
	if secret.StringData, err = o.credential.content(cmd, a); err != nil {
		return err
	}
	if key := secret.StringData["identity.pub"]; key != "" && !o.silent && !o.dryRun {
		if err := a.askForDeployKey(ctx, cmd); err != nil {
			return err
		}
	}
	spec := source.Spec.(flux.GitRepository)
	spec.SecretRef = named(secret.Metadata.Name)
	source.Spec = spec
	return a.createSource(ctx, source, o.createOptions, secret)
}

// askForDeployKey waits for the person who has to put the public key into the repository.
func (a *app) askForDeployKey(ctx context.Context, cmd *cobra.Command) error {
	if !a.stdinTTY {
		return usagef(cmd, "the deploy key has to be in the repository first: --silent says that it will be")
	}
	a.say(symbolWait, "put the deploy key into the repository, then type yes")
	answer, err := a.readLine(ctx)
	if err != nil {
		return err
	}
	if answer != "yes" && answer != "y" {
		return refuse("nothing was made: the deploy key is not in place")
	}
	return nil
}
