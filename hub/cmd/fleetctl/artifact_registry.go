package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/spf13/cobra"
)

// registryFlags say how a registry is reached.
type registryFlags struct {
	creds, provider string
	insecure        bool
}

func (f *registryFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.creds, "creds", "", "USERNAME:PASSWORD or TOKEN for the registry (default what docker login has stored)")
	flags.StringVar(&f.provider, "provider", "generic", "generic; for aws, azure and gcp, log in with docker login")
	flags.BoolVar(&f.insecure, "insecure-registry", false, "the registry may speak plain HTTP, or TLS with any certificate")
}

// parse reads what an argument names in a registry: a tag or digest, or a repository.
func (f *registryFlags) parse(cmd *cobra.Command, address string) (name.Reference, error) {
	rest, isOCI := strings.CutPrefix(address, "oci://")
	if !isOCI {
		return nil, usagef(cmd, "%q is not oci://HOST/REPOSITORY[:TAG]", address)
	}
	if f.provider != "generic" {
		return nil, usagef(cmd, "--provider %q: only generic is supported: log in with docker login", f.provider)
	}
	var options []name.Option
	if f.insecure {
		options = append(options, name.Insecure)
	}
	reference, err := name.ParseReference(rest, options...)
	if err != nil {
		return nil, usagef(cmd, "%q is not oci://HOST/REPOSITORY[:TAG]", address)
	}
	return reference, nil
}

func (f *registryFlags) options(ctx context.Context) []remote.Option {
	options := []remote.Option{remote.WithContext(ctx), remote.WithUserAgent("fleetctl")}
	if f.insecure {
		transport := remote.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig.InsecureSkipVerify = true //nolint:gosec // the person has asked for it
		options = append(options, remote.WithTransport(transport))
	}
	username, password, isPair := strings.Cut(f.creds, ":")
	switch {
	case f.creds == "":
		return append(options, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	case isPair:
		return append(options, remote.WithAuth(&authn.Basic{Username: username, Password: password}))
	}
	return append(options, remote.WithAuth(&authn.Bearer{Token: f.creds}))
}

// explainRegistry words an error of a registry.
func (a *app) explainRegistry(doing string, reference name.Reference, err error) error {
	var known *failure
	var answered *transport.Error
	var network net.Error
	registry := reference.Context().RegistryStr()
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &answered):
		f := &failure{code: exitGeneral, what: doing + ": the registry answers " + http.StatusText(answered.StatusCode)}
		switch answered.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			f.code, f.next = exitDenied, "docker login "+registry+", or --creds"
		case http.StatusNotFound:
			f.code, f.next = exitNotFound, "fleetctl list artifacts oci://"+reference.Context().Name()
		}
		return f
	case errors.As(err, &network):
		return &failure{code: exitUnreachable, what: doing + ": cannot reach " + registry, why: innermostOf(err), next: "check the address; --insecure-registry, if it has no certificate that this machine trusts"}
	}
	return &failure{code: exitGeneral, what: doing, why: err.Error()}
}

// innermostOf is the last error of a chain, which says what happened without the requests on the way there.
func innermostOf(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
