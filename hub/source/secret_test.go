package source_test

import (
	"errors"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// One mistake in a Secret has one outcome, whatever the kind of the source: Flux's AuthenticationFailed, and it is tried again,
// as a Secret may change while the spec does not.
func TestASecretThatWillNotDoIsAFailureOfAuthentication(t *testing.T) {
	t.Parallel()
	git := source.Upstream{Kind: "GitRepository", URL: "https://a/b", Spec: flux.GitRepository{ProxySecretRef: &flux.SecretRef{Name: "p"}}}
	chart := source.Upstream{Kind: "HelmChart", URL: "https://a/b", Spec: flux.HelmChart{}}
	canary := map[string][]byte{"ca.crt": []byte("canary"), "address": []byte("canary")}
	tls := func(u source.Upstream, field string) error { _, err := u.TLS(field); return err }
	proxy := func(u source.Upstream) error { _, err := u.Proxy(); return err }
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"an authority":            {tls(with(git, "secretRef", canary), "secretRef"), "spec.secretRef: ca.crt of the Secret holds no certificate in PEM form"},
		"an authority of a chart": {tls(with(chart, "certSecretRef", canary), "certSecretRef"), "spec.certSecretRef of its HelmRepository: ca.crt of the Secret"},
		"half a certificate":      {tls(with(git, "certSecretRef", map[string][]byte{"certFile": canary["ca.crt"]}), "certSecretRef"), "spec.certSecretRef: the Secret has one of tls.crt and tls.key"},
		"nothing":                 {tls(with(git, "sts.certSecretRef", map[string][]byte{"x": nil}), "sts.certSecretRef"), "spec.sts.certSecretRef: the Secret has none of ca.crt, tls.crt and tls.key"},
		"a proxy":                 {proxy(with(git, "proxySecretRef", canary)), "spec.proxySecretRef: address in the Secret is not a URL"},
		"no proxy's":              {proxy(git), "spec.proxySecretRef: the Secret has no key address"},
	} {
		var failure *source.Error
		if !errors.As(tc.err, &failure) || failure.Kind != source.KindAuth || failure.Reason != "AuthenticationFailed" || !errors.Is(tc.err, fleet.ErrDenied) {
			t.Errorf("%s: %v, want a failure of authentication", name, tc.err)
			continue
		}
		if !strings.HasPrefix(failure.Text, tc.want) || strings.Contains(failure.Text, "canary") {
			t.Errorf("%s: %q, want %q", name, failure.Text, tc.want)
		}
	}
}

func TestASecretSaysOfTLSWhatItSays(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	certificate, key, err := authority.Issue("hub")
	if err != nil {
		t.Fatal(err)
	}
	u := source.Upstream{Kind: "GitRepository", URL: "https://a/b", Spec: flux.GitRepository{}}
	for name, keys := range map[string]map[string][]byte{
		"as now":    {"ca.crt": authority.PEM(), "tls.crt": certificate, "tls.key": key},
		"as before": {"caFile": authority.PEM(), "certFile": certificate, "keyFile": key},
	} {
		config, err := with(u, "secretRef", keys).TLS("secretRef")
		if err != nil || config.RootCAs == nil || len(config.Certificates) != 1 {
			t.Errorf("%s: %v, %v", name, config, err)
		}
	}
	for name, other := range map[string]source.Upstream{"no Secret": u, "a password": with(u, "secretRef", map[string][]byte{"password": []byte("x")})} {
		if config, err := other.TLS("secretRef"); config != nil || err != nil {
			t.Errorf("%s: %v, %v, want nothing", name, config, err)
		}
	}
	if proxy, err := u.Proxy(); proxy != nil || err != nil {
		t.Errorf("proxy %v, %v, want none", proxy, err)
	}
}
