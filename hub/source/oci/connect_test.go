package oci_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

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
	refused(t, err, source.KindTLS, "the server does not speak TLS; should spec.insecure be true?")
	_, _, err = fetched(t.Context(), b, upstream(https, secure))
	refused(t, err, source.KindTLS, "unknown authority")
	insecure := func(o *flux.OCIRepository, all source.Secrets) { o.Insecure = true; delete(all, "certSecretRef") }
	for _, s := range []*site{http, https} {
		if _, _, err := fetched(t.Context(), b, upstream(s, insecure)); err != nil {
			t.Error(err)
		}
	}
}

func TestARegistryIsNotAskedPastAProxyWhoseSecretIsNotThere(t *testing.T) {
	t.Parallel()
	s, b := plain(t), fetcher(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	if _, _, err := fetched(t.Context(), b, upstream(s)); err != nil {
		t.Fatal(err)
	}
	s.requests()
	_, _, err := fetched(t.Context(), b, upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.ProxySecretRef = &flux.SecretRef{Name: "proxy"} }))
	refused(t, err, source.KindAuth, "spec.proxySecretRef: the Secret has no key address")
	if asked := s.requests(); len(asked) != 0 {
		t.Errorf("asked %v", asked)
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
	refused(t, err, source.KindAuth, "spec.proxySecretRef: address in the Secret is not an http://, https:// or socks5:// URL")
	_, _, err = fetched(t.Context(), b, upstream(s, through(map[string][]byte{"address": []byte("http://169.254.169.254:80")})))
	refused(t, err, source.KindAddress, "its address 169.254.169.254 is not allowed")
}
