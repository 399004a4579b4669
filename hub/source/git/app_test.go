package git_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

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
		"neither":              {app(), source.KindAuth, "needs githubAppInstallationID, or githubAppInstallationOwner"},
		"no key":               {app("githubAppInstallationID", "7", "githubAppPrivateKey", ""), source.KindAuth, "no key githubAppPrivateKey"},
		"an odd key":           {app("githubAppInstallationID", "7", "githubAppPrivateKey", "x"), source.KindAuth, "githubAppPrivateKey of the Secret is not in PEM form"},
		"a path as id":         {app("githubAppInstallationID", "../../x"), source.KindAuth, "are numbers"},
		"no API":               {app("githubAppInstallationID", "7", "githubAppBaseURL", "file:///etc"), source.KindAuth, "githubAppBaseURL of the Secret is not the URL of an API"},
		"the metadata service": {app("githubAppInstallationID", "7", "githubAppBaseURL", "http://169.254.169.254"), source.KindAddress, "is not allowed"},
	} {
		if err := b.try(tc.u); source.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %s error %v; want %s with %q", name, source.KindOf(err), err, tc.kind, tc.want)
		}
	}
	plain := app("githubAppInstallationID", "7")
	plain.Remote = "generic"
	change(&plain, func(spec *flux.GitRepository) { spec.Provider = "" })
	if err := b.try(plain); source.KindOf(err) != source.KindAuth || !strings.Contains(err.Error(), "set spec.provider to github") {
		t.Errorf("error %v, want what to set", err)
	}
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
