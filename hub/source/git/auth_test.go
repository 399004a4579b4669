package git_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

// guarded serves the bundle's repository to requests with the header alone.
func guarded(t *testing.T, b *bundle, authorization func() string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != authorization() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b.lab.ServeHTTP(w, r)
	}) + "/repo.git"
}

func basicly(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestGitShowsABearerToken(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = guarded(t, b, func() string { return "Bearer hunter2" })
	u.Secrets = secret("bearerToken", "hunter2")
	if got := b.fetch(u); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
	u.Remote, u.Secrets = "wrong", secret("bearerToken", "hunter3")
	if err := b.try(u); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), "the bearer token is wrong") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("error %v, want that the token is wrong", err)
	}
}

func TestGitShowsACertificate(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	authority := lab.TestAuthority(t)
	certificate, key, err := authority.Issue("hub")
	if err != nil {
		t.Fatal(err)
	}
	server := lab.TestSite(t, lab.SiteConfig{Authority: authority, ClientCertificates: true}, b.lab)
	ca := string(authority.PEM())
	for name, secrets := range map[string]source.Secrets{
		"as now":    secret("ca.crt", ca, "tls.crt", string(certificate), "tls.key", string(key)),
		"as before": secret("caFile", ca, "certFile", string(certificate), "keyFile", string(key)),
	} {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.URL, u.Remote, u.Secrets = server.URL()+"/repo.git", name, secrets
		if got := b.fetch(u); got["a.yaml"] != "1" {
			t.Errorf("%s: tree %v, want a.yaml: 1", name, got)
		}
	}
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL, u.Remote, u.Secrets = server.URL()+"/repo.git", "none", secret("ca.crt", ca)
	// The server's word and the end of the connection race: who reads the end first is told that it broke, and tries again.
	for {
		err := b.try(u)
		if err != nil && strings.Contains(err.Error(), "give it as tls.crt and tls.key") {
			return
		}
		if source.KindOf(err) != source.KindConnect {
			t.Fatalf("error %v, want that a certificate is wanted", err)
		}
	}
}

// azureStub is an identity at Azure.
type azureStub struct{ scopes []string }

func (a *azureStub) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	a.scopes = options.Scopes
	return azcore.AccessToken{Token: "of-azure", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestTheHubsIdentityAtAzureIsUsedWhereItIsGranted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	stub := &azureStub{}
	authority := lab.TestAuthority(t)
	server := lab.TestSite(t, lab.SiteConfig{Authority: authority}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-azure" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b.lab.ServeHTTP(w, r)
	}))
	b.fetcher = b.newGit(git.Config{Dir: t.TempDir(), Azure: stub})
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = server.URL() + "/repo.git"
	u.Secrets = secret("ca.crt", string(authority.PEM()))
	change(&u, func(spec *flux.GitRepository) { spec.Provider = "azure" })
	if err := b.try(u); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), "an administrator's Credential (provider: azure) allows it") || stub.scopes != nil {
		t.Errorf("error %v and scopes %v, want that it may not be used", err, stub.scopes)
	}
	u.Identity = true
	if got := b.fetch(u); got["a.yaml"] != "1" || len(stub.scopes) != 1 || !strings.HasSuffix(stub.scopes[0], "/.default") {
		t.Errorf("tree %v with a token for %v", got, stub.scopes)
	}
}

func TestSecretsThatCannotDoSayWhy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for name, tc := range map[string]struct {
		secrets source.Secrets
		want    string
	}{
		"a key for SSH":   {secret("identity", "x", "known_hosts", "x"), "the Secret is one for SSH"},
		"two ways":        {secret("bearerToken", "x", "username", "y"), "has bearerToken and username"},
		"no user":         {secret("password", "x"), "the Secret has password, and no username"},
		"no password":     {secret("username", "x"), "the Secret has username, and no password"},
		"a line break":    {secret("username", "x", "password", "hunter2\n"), "has a line break"},
		"half a pair":     {secret("tls.crt", "x"), "one of tls.crt and tls.key"},
		"no address":      {source.Secrets{"proxySecretRef": {"username": []byte("x")}}, "has no key address"},
		"an odd proxy":    {source.Secrets{"proxySecretRef": {"address": []byte("ftp://x")}}, "is not an http://, https:// or socks5:// URL"},
		"a user in proxy": {source.Secrets{"proxySecretRef": {"address": []byte("http://a:hunter2@x")}}, "user and password are keys of their own"},
	} {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.Remote, u.Secrets = name, tc.secrets
		if err := b.try(u); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}
