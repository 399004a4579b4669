package git_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/flux"
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
	certificate, key := selfSigned(t)
	server := httptest.NewUnstartedServer(b.lab)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(certificate))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, secrets := range map[string]source.Secrets{
		"as now":    secret("ca.crt", ca, "tls.crt", certificate, "tls.key", key),
		"as before": secret("caFile", ca, "certFile", certificate, "keyFile", key),
	} {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.URL, u.Remote, u.Secrets = server.URL+"/repo.git", name, secrets
		if got := b.fetch(u); got["a.yaml"] != "1" {
			t.Errorf("%s: tree %v, want a.yaml: 1", name, got)
		}
	}
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL, u.Remote, u.Secrets = server.URL+"/repo.git", "none", secret("ca.crt", ca)
	if err := b.try(u); source.KindOf(err) != source.KindTLS || !strings.Contains(err.Error(), "give it as tls.crt and tls.key") {
		t.Errorf("error %v, want that a certificate is wanted", err)
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}

// githubStub is the part of GitHub's API that gives tokens.
type githubStub struct {
	t      *testing.T
	key    *rsa.PrivateKey
	tokens atomic.Int64
	life   time.Duration
}

func (g *githubStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claimed struct {
		Iss      string
		Iat, Exp int64
	}
	_ = json.Unmarshal(claims, &claimed)
	now := time.Now().Unix()
	if rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, digest[:], signature) != nil || claimed.Iss != "123" || claimed.Iat > now || claimed.Exp < now || claimed.Exp > now+600 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v3/users/anna/installation":
		_, _ = io.WriteString(w, `{"id": 7}`)
	case "POST /api/v3/app/installations/7/access_tokens":
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprintf("token-%d", g.tokens.Add(1)), "expires_at": time.Now().Add(g.life)})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestGitUsesAGitHubApp(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	stub := &githubStub{t: t, key: key, life: time.Hour}
	api := serve(t, stub.ServeHTTP) + "/api/v3/"
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	app := func(pairs ...string) source.Upstream {
		u := b.upstream(flux.GitReference{Branch: "main"})
		u.URL = guarded(t, b, func() string { return basicly("x-access-token", fmt.Sprintf("token-%d", stub.tokens.Load())) })
		u.Remote = fmt.Sprint(pairs)
		change(&u, func(spec *flux.GitRepository) {
			spec.Provider, spec.SecretRef = "github", &flux.SecretRef{Name: "app"}
		})
		u.Secrets = secret(append([]string{"githubAppID", "123", "githubAppPrivateKey", private, "githubAppBaseURL", api}, pairs...)...)
		return u
	}
	u := app("githubAppInstallationID", "7")
	for range 3 {
		if got := b.fetch(u); got["a.yaml"] != "1" {
			t.Fatalf("tree %v, want a.yaml: 1", got)
		}
	}
	if got := stub.tokens.Load(); got != 1 {
		t.Errorf("%d tokens for one hour, want 1", got)
	}
	stub.life = time.Minute // it ends sooner than a conversation may
	u = app("githubAppInstallationOwner", "anna")
	b.fetch(u)
	before := stub.tokens.Load()
	b.fetch(u)
	if stub.tokens.Load() == before {
		t.Error("a token was used until its very end")
	}
	for name, tc := range map[string]struct {
		u    source.Upstream
		kind source.Kind
		want string
	}{
		"no installation":      {app("githubAppInstallationID", "8"), source.KindAuth, "no such installation (githubAppInstallationID)"},
		"not installed":        {app("githubAppInstallationOwner", "bob"), source.KindAuth, "the App is not installed at githubAppInstallationOwner"},
		"another app":          {app("githubAppInstallationID", "7", "githubAppID", "124"), source.KindAuth, "GitHub does not take the App's key"},
		"neither":              {app(), source.KindInvalid, "needs githubAppInstallationID, or githubAppInstallationOwner"},
		"no key":               {app("githubAppInstallationID", "7", "githubAppPrivateKey", ""), source.KindInvalid, "no key githubAppPrivateKey"},
		"an odd key":           {app("githubAppInstallationID", "7", "githubAppPrivateKey", "x"), source.KindInvalid, "githubAppPrivateKey of the Secret is not in PEM form"},
		"a path as id":         {app("githubAppInstallationID", "../../x"), source.KindInvalid, "are numbers"},
		"no API":               {app("githubAppInstallationID", "7", "githubAppBaseURL", "file:///etc"), source.KindInvalid, "githubAppBaseURL of the Secret is not the URL of an API"},
		"the metadata service": {app("githubAppInstallationID", "7", "githubAppBaseURL", "http://169.254.169.254"), source.KindAddress, "is not allowed"},
	} {
		if err := b.try(tc.u); source.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
	plain := app("githubAppInstallationID", "7")
	plain.Remote = "generic"
	change(&plain, func(spec *flux.GitRepository) { spec.Provider = "" })
	if err := b.try(plain); source.KindOf(err) != source.KindInvalid || !strings.Contains(err.Error(), "set spec.provider to github") {
		t.Errorf("error %v, want what to set", err)
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
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-azure" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		b.lab.ServeHTTP(w, r)
	}))
	server.StartTLS()
	t.Cleanup(server.Close)
	b.fetcher = b.newGit(git.Config{Dir: t.TempDir(), Azure: stub})
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = server.URL + "/repo.git"
	u.Secrets = secret("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	change(&u, func(spec *flux.GitRepository) { spec.Provider = "azure" })
	if err := b.try(u); source.KindOf(err) != source.KindInvalid || !strings.Contains(err.Error(), "an administrator's Credential (provider: azure) allows it") || stub.scopes != nil {
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
		if err := b.try(u); source.KindOf(err) != source.KindInvalid || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}

// connectProxy is an HTTP proxy for a user.
func connectProxy(t *testing.T, asked *atomic.Int64) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != basicly("anna", "hunter2") {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		asked.Add(1)
		if r.Method != http.MethodConnect {
			response, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer response.Body.Close()
			for key, values := range response.Header {
				w.Header()[key] = values
			}
			w.WriteHeader(response.StatusCode)
			_, _ = io.Copy(w, response.Body)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(there, buffered); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})
}

func TestGitGoesThroughAProxy(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	var asked atomic.Int64
	address := connectProxy(t, &asked)
	through := func(password string) map[string][]byte {
		return map[string][]byte{"address": []byte(address), "username": []byte("anna"), "password": []byte(password)}
	}
	server := serveTLS(t, b)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	host, _, _ := newKey(t)
	user, identity, _ := newKey(t)
	s := serveSSH(t, b, host, user.PublicKey())
	for name, u := range map[string]source.Upstream{
		"http":  b.upstream(flux.GitReference{Branch: "main"}),
		"https": {URL: server.URL + "/repo.git", Secrets: secret("ca.crt", ca), Kind: "GitRepository", Spec: b.upstream(flux.GitReference{Branch: "main"}).Spec},
		"ssh":   s.upstream(b, identity, s.line()),
	} {
		before := asked.Load()
		secrets := source.Secrets{"secretRef": u.Secrets["secretRef"], "proxySecretRef": through("hunter2")}
		u.Remote, u.Secrets = name, secrets
		if got := b.fetch(u); got["a.yaml"] != "1" || asked.Load() == before {
			t.Errorf("%s: tree %v, %d requests to the proxy", name, got, asked.Load()-before)
		}
		u.Remote = name + ", another password"
		u.Secrets = source.Secrets{"secretRef": secrets["secretRef"], "proxySecretRef": through("hunter3")}
		if err := b.try(u); source.KindOf(err) != source.KindConnect && source.KindOf(err) != source.KindServer || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: error %v, want one of the proxy", name, err)
		}
		u.Remote, u.Secrets = name+" to the metadata service", secrets
		u.URL = strings.Replace(strings.Replace(u.URL, "127.0.0.1", "169.254.169.254", 1), s.address, "169.254.169.254:22", 1)
		if err := b.try(u); source.KindOf(err) != source.KindAddress {
			t.Errorf("%s: error %v, want that the address is not allowed", name, err)
		}
	}
}
