package helm_test

import (
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestTheCredentialStaysAtTheRepositorysServer(t *testing.T) {
	t.Parallel()
	chart := packed("podinfo", podinfo("1.0.0"))
	for name, test := range map[string]struct{ pass, redirected, passed bool }{
		"as a rule":                            {},
		"as a rule, where it redirects":        {redirected: true},
		"unless it is to be passed":            {pass: true, passed: true},
		"passed or not, where a redirect goes": {pass: true, redirected: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s, other := newBundle(t), serve(t), serve(t)
			s.Protect("me", "hunter2")
			other.ServeFile("/elsewhere.tgz", chart)
			s.publishAt(other.URL() + "/elsewhere.tgz")
			if test.redirected {
				s.publish(chart)
				s.breakAt("/charts/podinfo-1.tgz", lab.RedirectTo(other.URL()+"/elsewhere.tgz"))
			}
			spec := s.spec()
			spec.PassCredentials = test.pass
			secrets := source.Secrets{"secretRef": {"username": []byte("me"), "password": []byte("hunter2")}}
			b.chart(of(b.index(repository(spec, secrets)), flux.HelmChart{Chart: "podinfo"}))
			want := "/elsewhere.tgz 200 "
			if test.passed {
				want += "me"
			}
			if seen := other.seen(); len(seen) != 1 || seen[0] != want {
				t.Errorf("the other host saw %v, want %s", seen, want)
			}
			if seen := s.seen(); test.redirected && seen[len(seen)-1] != "/charts/podinfo-1.tgz 302 me" {
				t.Errorf("the server saw %v", seen)
			}
		})
	}
}

func TestACredentialThatIsPassedIsNotSentUnprotected(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	b, s, other := newBundle(t), serve(t, lab.HelmRepoConfig{SiteConfig: lab.SiteConfig{Authority: authority}, Username: "me", Password: "hunter2"}), serve(t)
	other.ServeFile("/elsewhere.tgz", packed("podinfo", podinfo("1.0.0")))
	s.publishAt(other.URL() + "/elsewhere.tgz")
	spec := s.spec()
	spec.PassCredentials = true
	secrets := source.Secrets{"secretRef": {"username": []byte("me"), "password": []byte("hunter2")}, "certSecretRef": {"ca.crt": authority.PEM()}}
	b.chart(of(b.index(repository(spec, secrets)), flux.HelmChart{Chart: "podinfo"}))
	if diff := cmp.Diff([]string{"/elsewhere.tgz 200 "}, other.seen()); diff != "" {
		t.Errorf("over plain HTTP (-want +got):\n%s", diff)
	}
}

func TestACredentialStaysWithinThePrefixThatAnAdministratorGaveItFor(t *testing.T) {
	t.Parallel()
	chart := packed("podinfo", podinfo("1.0.0"))
	for name, test := range map[string]struct{ at, saw string }{
		"within it":                    {"/charts/sub/podinfo.tgz?token=x", "/charts/sub/podinfo.tgz?token=x 200 me"},
		"elsewhere at the same server": {"/elsewhere/podinfo.tgz", "/elsewhere/podinfo.tgz 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, s := newBundle(t), serve(t)
			s.publish(chart)
			path, _, _ := strings.Cut(test.at, "?")
			s.breakAt("/charts/podinfo-1.tgz", lab.RedirectTo(s.URL()+test.at))
			s.ServeFile(path, chart)
			u := repository(s.spec(), source.Secrets{"secretRef": {"username": []byte("me"), "password": []byte("hunter2")}})
			u.Within = s.URL() + "/charts"
			b.chart(of(b.index(u), flux.HelmChart{Chart: "podinfo"}))
			seen := s.seen()
			if seen[0] != "/charts/index.yaml 200 me" || seen[len(seen)-1] != test.saw {
				t.Errorf("the server saw %v", seen)
			}
		})
	}
}

func TestCertificatesAreTakenFromEitherSecret(t *testing.T) {
	t.Parallel()
	trusted := lab.TestAuthority(t)
	s := serve(t, lab.HelmRepoConfig{SiteConfig: lab.SiteConfig{Authority: trusted}})
	s.publish(packed("podinfo", podinfo("1.0.0")))
	authority := trusted.PEM()
	for name, test := range map[string]struct {
		secrets source.Secrets
		kind    source.Kind
	}{
		"certSecretRef":                       {source.Secrets{"certSecretRef": {"ca.crt": authority}}, ""},
		"secretRef":                           {source.Secrets{"secretRef": {"ca.crt": authority}}, ""},
		"secretRef, an older key":             {source.Secrets{"secretRef": {"caFile": authority}}, ""},
		"none":                                {nil, source.KindTLS},
		"certSecretRef goes before secretRef": {source.Secrets{"certSecretRef": {"ca.crt": lab.TestAuthority(t).PEM()}, "secretRef": {"ca.crt": authority}}, source.KindTLS},
		"certSecretRef with nothing in it":    {source.Secrets{"certSecretRef": {}, "secretRef": {"ca.crt": authority}}, source.KindAuth},
	} {
		_, err := newBundle(t).Repositories().Resolve(t.Context(), repository(s.spec(), test.secrets))
		switch {
		case test.kind == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.kind != "":
			fails(t, name, err, test.kind, "ca.crt")
		}
	}
}

func TestACertificateIsShownToTheRepositorysServerAlone(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	config := lab.HelmRepoConfig{SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}}
	b, s, other := newBundle(t), serve(t, config), serve(t, config)
	certificate, key, err := authority.Issue("hub")
	if err != nil {
		t.Fatal(err)
	}
	chart := packed("podinfo", podinfo("1.0.0"))
	s.publish(chart)
	other.ServeFile("/elsewhere.tgz", chart)
	u := repository(s.spec(), source.Secrets{"certSecretRef": {"ca.crt": authority.PEM(), "tls.crt": certificate, "tls.key": key}})
	b.chart(of(b.index(u), flux.HelmChart{Chart: "podinfo"}))
	s.publishAt(other.URL() + "/elsewhere.tgz")
	_, _, err = fetched(t.Context(), b.Charts(), of(b.index(u), flux.HelmChart{Chart: "podinfo"}))
	fails(t, "another host", err, source.KindTLS, "it may want a certificate", other.URL()+"/elsewhere.tgz")
	if seen := other.seen(); len(seen) > 0 {
		t.Errorf("it was let in: %v", seen)
	}
}

func TestIndexChartsAndProvenanceComeOverOneConnection(t *testing.T) {
	t.Parallel()
	key := lab.TestPGPKey(t)
	ring, err := key.Ring()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := lab.SimpleChart("podinfo", "1.0.0", "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.Sign(key); err != nil {
		t.Fatal(err)
	}
	authority := lab.TestAuthority(t)
	b, s := newBundle(t), serve(t, lab.HelmRepoConfig{SiteConfig: lab.SiteConfig{Authority: authority}})
	if err := s.Add(signed); err != nil {
		t.Fatal(err)
	}
	reused := []bool{}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = append(reused, c.Reused) }})
	u := repository(flux.HelmRepository{URL: s.URL()}, source.Secrets{"certSecretRef": {"ca.crt": authority.PEM()}})
	found, got, err := fetched(ctx, b.Repositories(), u)
	if err != nil {
		t.Fatal(err)
	}
	chart := of(b.input(u, found.Revision, got.Tree), flux.HelmChart{Chart: "podinfo", Verify: &flux.OCIVerify{Provider: flux.Cosign, SecretRef: &flux.SecretRef{Name: "keys"}}})
	chart.Secrets["verify.secretRef"] = map[string][]byte{"a.gpg": ring}
	if _, _, err := fetched(ctx, b.Charts(), chart); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]bool{false, true, true}, reused); diff != "" {
		t.Errorf("connections used again (-want +got):\n%s\n%v", diff, s.seen())
	}
}
