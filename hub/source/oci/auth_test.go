package oci_test

import (
	"crypto/tls"
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

// wantsBasic makes a registry want a user and a password.
func wantsBasic(s *site) {
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		user, password, _ := req.BasicAuth()
		if user == "anna" && password == "canary" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

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

func withSecret(secret map[string][]byte) func(*flux.OCIRepository, source.Secrets) {
	return func(o *flux.OCIRepository, s source.Secrets) {
		o.SecretRef = &flux.SecretRef{Name: "secret"}
		s["secretRef"] = secret
	}
}

func TestACredentialIsSentToTheRegistryThatItIsFor(t *testing.T) {
	t.Parallel()
	s, b := encrypted(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsBasic(s)
	for name, test := range map[string]struct {
		secrets []map[string][]byte // secretRef, then those of the ServiceAccount
		says    string              // empty: it may pull
	}{
		"for the registry":     {[]map[string][]byte{dockerConfig(s.host(), "anna", "canary")}, ""},
		"as a URL":             {[]map[string][]byte{dockerConfig("https://"+s.host()+"/v2/", "anna", "canary")}, ""},
		"for the repository":   {[]map[string][]byte{dockerConfig(s.host()+"/apps/podinfo", "anna", "canary")}, ""},
		"for what it is below": {[]map[string][]byte{dockerConfig(s.host()+"/apps", "anna", "canary")}, ""},
		"a ServiceAccount's":   {[]map[string][]byte{nil, dockerConfig("other.example.com", "x", "y"), dockerConfig(s.host(), "anna", "canary")}, ""},
		"the last of two":      {[]map[string][]byte{dockerConfig(s.host(), "anna", "wrong-canary"), dockerConfig(s.host(), "anna", "canary")}, ""},
		"none":                 {nil, "the registry wants a credential, or has no such repository"},
		"a wrong one":          {[]map[string][]byte{dockerConfig(s.host(), "anna", "wrong-canary")}, "the registry refuses the credential for apps/podinfo"},
		"another registry's":   {[]map[string][]byte{dockerConfig("registry.example.com", "anna", "canary")}, "the registry wants a credential, and the Secret has no entry for " + s.host()},
		"another repository's": {[]map[string][]byte{dockerConfig(s.host()+"/apps/pod", "anna", "canary")}, "has no entry for"},
	} {
		s.requests()
		_, _, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, all source.Secrets) {
			for i, secret := range test.secrets {
				field := "secretRef"
				if i > 0 {
					field = fmt.Sprintf("serviceAccountName[%d]", i-1)
				}
				if secret != nil {
					all[field] = secret
				}
			}
		}))
		if test.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if test.says != "" {
			refused(t, err, source.KindAuth, test.says)
		}
		if sent := s.credentials(); strings.Contains(name, "another") && len(sent) > 0 {
			t.Errorf("%s: the credential was sent", name)
		}
	}
}

func TestASecretThatIsNoDockerConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	s, b := encrypted(t), fetcher(t)
	for says, secret := range map[string]map[string][]byte{
		"spec.secretRef: the Secret has no .dockerconfigjson":                                 {"username": []byte("canary")},
		`spec.secretRef: .dockerconfigjson of the Secret is not {"auths"`:                     {".dockerconfigjson": []byte("canary")},
		"the Secret's entry for " + s.host() + " has an auth that is not the base64 of user:": {".dockerconfigjson": []byte(`{"auths":{"` + s.host() + `":{"auth":"canary"}}}`)},
	} {
		_, _, err := fetched(t.Context(), b, upstream(s, withSecret(secret)))
		refused(t, err, source.KindInvalid, says)
	}
	if asked := s.requests(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
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
	b := fetcher(t, func(_ *oci.Config, _ *oci.ClientConfig, n *source.NetworkConfig) {
		n.Addresses = source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	})
	_, _, err = fetched(t.Context(), b, upstream(s, withSecret(dockerConfig(s.host(), "anna", "canary"))))
	refused(t, err, source.KindAddress, "its address 127.0.0.2 is not allowed")
}

func TestAClientsCertificateIsShown(t *testing.T) {
	t.Parallel()
	s := encrypted(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	certificate, key := pair(t)
	s.TLS.ClientAuth = tls.RequestClientCert
	s.before = func(w http.ResponseWriter, req *http.Request) bool {
		if len(req.TLS.PeerCertificates) == 1 {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	b := fetcher(t)
	_, _, err := fetched(t.Context(), b, upstream(s))
	refused(t, err, source.KindAuth)
	if _, _, err := fetched(t.Context(), b, upstream(s, func(_ *flux.OCIRepository, all source.Secrets) {
		all["certSecretRef"] = map[string][]byte{"ca.crt": s.authority(), "tls.crt": certificate, "tls.key": key}
	})); err != nil {
		t.Error(err)
	}
	for says, secret := range map[string]map[string][]byte{
		"spec.certSecretRef: the Secret has one of tls.crt and tls.key, and both are needed": {"tls.crt": certificate},
		"spec.certSecretRef: ca.crt of the Secret holds no certificate":                      {"ca.crt": []byte("canary")},
		"spec.certSecretRef: the Secret has none of ca.crt, tls.crt and tls.key":             {"other": []byte("canary")},
	} {
		_, _, err := fetched(t.Context(), b, upstream(s, func(_ *flux.OCIRepository, all source.Secrets) { all["certSecretRef"] = secret }))
		refused(t, err, source.KindAuth, says)
	}
}

func TestWithoutInsecureOnlyTLSThatIsTrustedWillDo(t *testing.T) {
	t.Parallel()
	http, https, b := plain(t), encrypted(t), fetcher(t)
	http.artifact(t, "latest", map[string]string{"a": "b"})
	https.artifact(t, "latest", map[string]string{"a": "b"})
	secure := func(o *flux.OCIRepository, all source.Secrets) { o.Insecure = false; delete(all, "certSecretRef") }
	_, _, err := fetched(t.Context(), b, upstream(http, secure))
	refused(t, err, source.KindTLS, "the registry does not speak TLS; where that is meant, set spec.insecure: true")
	_, _, err = fetched(t.Context(), b, upstream(https, secure))
	refused(t, err, source.KindTLS, "unknown authority")
	insecure := func(o *flux.OCIRepository, all source.Secrets) { o.Insecure = true; delete(all, "certSecretRef") }
	for _, s := range []*site{http, https} {
		if _, _, err := fetched(t.Context(), b, upstream(s, insecure)); err != nil {
			t.Error(err)
		}
	}
}

func TestAProxyIsGoneThrough(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	var mu sync.Mutex
	var auths []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		auths = append(auths, req.Header.Get("Proxy-Authorization"))
		mu.Unlock()
		if req.Method == http.MethodConnect || !req.URL.IsAbs() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		req.Header.Del("Proxy-Authorization")
		s.Config.Handler.ServeHTTP(w, req)
	}))
	t.Cleanup(proxy.Close)
	through := func(secret map[string][]byte) func(*flux.OCIRepository, source.Secrets) {
		return func(_ *flux.OCIRepository, all source.Secrets) { all["proxySecretRef"] = secret }
	}
	if _, _, err := fetched(t.Context(), b, upstream(s, through(map[string][]byte{"address": []byte(proxy.URL), "username": []byte("anna"), "password": []byte("canary")}))); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(auths) == 0 || slices.Contains(auths, "") {
		t.Errorf("the proxy saw %d requests, some without its credential", len(auths))
	}
	mu.Unlock()
	_, _, err := fetched(t.Context(), b, upstream(s, through(map[string][]byte{"address": []byte("ftp://canary")})))
	refused(t, err, source.KindAuth, "address in the Secret that spec.proxySecretRef names is not an http://, https:// or socks5:// URL")
	_, _, err = fetched(t.Context(), b, upstream(s, through(map[string][]byte{"address": []byte("http://169.254.169.254:80")})))
	refused(t, err, source.KindAddress, "its address 169.254.169.254 is not allowed")
}
