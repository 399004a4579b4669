package oci_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
)

// service gives tokens for the repository to anna, and to whoever has her refresh token.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	asked []url.Values
	auths []string
	// expires is expires_in of its answers.
	expires int
}

func tokens(t *testing.T, encrypt bool) *service {
	t.Helper()
	s := &service{expires: 300}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = req.ParseForm()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, req.Form)
		s.auths = append(s.auths, req.Header.Get("Authorization"))
		user, password, _ := req.BasicAuth()
		if (user != "anna" || password != "canary") && req.Form.Get("refresh_token") != "canary-refresh" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": fmt.Sprintf("token-%d", len(s.asked)), "expires_in": s.expires})
	}))
	if encrypt {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// wantsToken makes a registry want a token of the service at that address.
func wantsToken(s *site, realm string) {
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.Header.Get("Authorization"), "Bearer token-") {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="registry, with a \"comma\"",scope="repository:apps/podinfo:pull,push,delete"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func TestATokenIsHadFromTheServiceThatTheRegistryNamesAndUsedAgain(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]map[string][]byte{
		"password":      nil,
		"identitytoken": {".dockerconfigjson": nil},
	} {
		s, gives, b := encrypted(t), tokens(t, true), fetcher(t)
		s.artifact(t, "latest", map[string]string{"a": "b"})
		wantsToken(s, gives.URL+"/token?account=a")
		if secret == nil {
			secret = dockerConfig(s.host(), "anna", "canary")
		} else {
			secret = map[string][]byte{".dockerconfigjson": []byte(`{"auths":{"` + s.host() + `":{"identitytoken":"canary-refresh"}}}`)}
		}
		u := upstream(s, withSecret(secret), func(_ *flux.OCIRepository, all source.Secrets) {
			all["certSecretRef"] = map[string][]byte{"ca.crt": slices.Concat(s.authority(), (&site{Server: gives.Server}).authority())}
		})
		for range 2 {
			if _, _, err := fetched(t.Context(), b, u); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		gives.mu.Lock()
		if len(gives.asked) != 1 || gives.asked[0].Get("scope") != "repository:apps/podinfo:pull" || gives.asked[0].Get("service") != `registry, with a "comma"` {
			t.Errorf("%s: the service was asked for %v", name, gives.asked)
		}
		gives.mu.Unlock()
		for _, sent := range s.credentials() {
			if !strings.HasPrefix(sent, "Bearer token-") {
				t.Errorf("%s: the registry itself got %s", name, sent[:5])
			}
		}
	}
}

func TestATokenIsHadAgainWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s, gives, b := encrypted(t), tokens(t, true), fetcher(t)
	gives.expires = 1 // which the margin makes none
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsToken(s, gives.URL)
	u := upstream(s, withSecret(dockerConfig(s.host(), "anna", "canary")), func(_ *flux.OCIRepository, all source.Secrets) {
		all["certSecretRef"] = map[string][]byte{"ca.crt": slices.Concat(s.authority(), (&site{Server: gives.Server}).authority())}
	})
	for range 2 {
		if _, err := b.Resolve(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	gives.mu.Lock()
	defer gives.mu.Unlock()
	if len(gives.asked) != 2 {
		t.Errorf("%d tokens", len(gives.asked))
	}
}

func TestTricksWithTheTokenServiceAreRefusedWithoutTheCredential(t *testing.T) {
	t.Parallel()
	gives := tokens(t, false)
	forward := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://elsewhere.example.com/", http.StatusFound)
	}))
	t.Cleanup(forward.Close)
	odd := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"token":"a\r\nX-Evil: b"}`))
	}))
	t.Cleanup(odd.Close)
	endless := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for req.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	for name, test := range map[string]struct {
		realm string
		kind  source.Kind
		says  string
	}{
		"plain text":         {gives.URL, source.KindTLS, "the registry wants the credential to go to " + strings.TrimPrefix(gives.URL, "http://") + ", in plain text; it is not sent"},
		"a metadata service": {"https://169.254.169.254/latest", source.KindAddress, "its address 169.254.169.254 is not allowed"},
		"a file":             {"file:///etc/passwd", source.KindServer, "names no proper address of a service that gives tokens"},
		"no address":         {"", source.KindServer, "names no proper address"},
		"a user":             {"https://root@registry.example.com/", source.KindServer, "names no proper address"},
		"a redirect":         {forward.URL, source.KindRedirect, "it redirects to https://elsewhere.example.com, which is not followed"},
		"a header in it":     {odd.URL, source.KindServer, "what the registry's token service answered is no token"},
		"an endless one":     {endless.URL, source.KindLimit, "the token service's answer is too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, b := encrypted(t), fetcher(t)
			s.artifact(t, "latest", map[string]string{"a": "b"})
			wantsToken(s, test.realm)
			u := upstream(s, withSecret(dockerConfig(s.host(), "anna", "canary")), func(_ *flux.OCIRepository, all source.Secrets) {
				all["certSecretRef"] = map[string][]byte{"ca.crt": slices.Concat(s.authority(), (&site{Server: odd}).authority(), (&site{Server: forward}).authority(), (&site{Server: endless}).authority())}
			})
			_, _, err := fetched(t.Context(), b, u)
			refused(t, err, test.kind, test.says)
		})
	}
	t.Cleanup(func() {
		gives.mu.Lock()
		defer gives.mu.Unlock()
		if len(gives.asked) != 0 {
			t.Errorf("the service that speaks plain text was asked: %v", gives.auths)
		}
	})
}

func TestAPrivateTokenServiceIsRefusedWherePrivateAddressesAre(t *testing.T) {
	t.Parallel()
	s := encrypted(t)
	gives := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gives.Listener.Close()
	gives.Listener = listener
	gives.StartTLS()
	t.Cleanup(gives.Close)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsToken(s, gives.URL)
	b := fetcher(t, func(_ *oci.Config, n *source.NetworkConfig) {
		n.Addresses = source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	})
	_, _, err = fetched(t.Context(), b, upstream(s, withSecret(dockerConfig(s.host(), "anna", "canary"))))
	refused(t, err, source.KindAddress, "its address 127.0.0.2 is not allowed")
}
