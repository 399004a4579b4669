package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flotilla.dev/flotilla/pkg/flux"
)

func newCreateSourceCommand(a *app) *cobra.Command {
	return newGroup("source", "Make a source, with the flags of Flux's client, and wait for the first look at it",
		newCreateSourceGitCommand(a), newCreateSourceOCICommand(a), newCreateSourceHelmCommand(a), newCreateSourceChartCommand(a),
		newCreateSourceBucketCommand(a), newCreateSourceExternalCommand(a))
}

// sourceOptions are those of every `create source` of what is fetched.
type sourceOptions struct {
	createOptions
	interval, fetchTimeout time.Duration
}

func (o *sourceOptions) addFlags(cmd *cobra.Command) {
	o.createOptions.addFlags(cmd)
	cmd.Flags().DurationVar(&o.interval, "interval", time.Minute, "time between two looks")
	cmd.Flags().DurationVar(&o.fetchTimeout, "fetch-timeout", 0, "how long fetching may take (default 60s)")
}

func (o *sourceOptions) intervals() (interval, timeout *flux.Duration) {
	if o.fetchTimeout > 0 {
		timeout = &flux.Duration{Duration: o.fetchTimeout}
	}
	return &flux.Duration{Duration: o.interval}, timeout
}

// createSource makes a source and waits until it is ready, or the first look at it has failed, as Flux's client does.
func (a *app) createSource(ctx context.Context, source created, o createOptions, secrets ...created) error {
	return a.create(ctx, append(secrets, source), o, true)
}

// named is a reference to a Secret, if one is named.
func named(secret string) *flux.SecretRef {
	if secret == "" {
		return nil
	}
	return &flux.SecretRef{Name: secret}
}

// ignored are patterns as spec.ignore has them.
func ignored(patterns []string) *string {
	if len(patterns) == 0 {
		return nil
	}
	text := strings.Join(patterns, "\n")
	return &text
}

// verifyOptions say whose signature is asked for.
type verifyOptions struct{ provider, secretRef, subject, issuer string }

func (o *verifyOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.provider, "verify-provider", "", "cosign or notation: who signed is verified")
	cmd.Flags().StringVar(&o.secretRef, "verify-secret-ref", "", "the Secret with the keys or certificates to verify with")
	cmd.Flags().StringVar(&o.subject, "verify-subject", "", "regular expression of the signer's OIDC subject")
	cmd.Flags().StringVar(&o.issuer, "verify-issuer", "", "regular expression of the signer's OIDC issuer")
}

func (o *verifyOptions) spec(cmd *cobra.Command) (*flux.OCIVerify, error) {
	if o.provider == "" {
		if o.secretRef != "" || o.subject != "" || o.issuer != "" {
			return nil, usagef(cmd, "--verify-secret-ref, --verify-subject and --verify-issuer need --verify-provider")
		}
		return nil, nil
	}
	verify := &flux.OCIVerify{Provider: o.provider, SecretRef: named(o.secretRef)}
	if o.subject != "" || o.issuer != "" {
		verify.MatchOIDCIdentity = []flux.OIDCIdentity{{Issuer: o.issuer, Subject: o.subject}}
	}
	return verify, nil
}
