package oci_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/oci"
	"flotilla.dev/flotilla/pkg/flux"
)

// api is a stub of a cloud's API.
func api(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s
}

func TestLoginAtAWSIsASignedRequestToTheRegionOfTheRegistry(t *testing.T) {
	t.Parallel()
	token := base64.StdEncoding.EncodeToString([]byte("AWS:canary"))
	until := time.Now().Add(12 * time.Hour).Truncate(time.Second)
	for host, test := range map[string]struct{ region, service, target, answer string }{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com": {"eu-central-1", "ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d.5,"proxyEndpoint":"x"}]}`},
		"public.ecr.aws": {"us-east-1", "ecr-public", "SpencerFrontendService.GetAuthorizationToken", `{"authorizationData":{"authorizationToken":%q,"expiresAt":%d}}`},
	} {
		var auth, target, body string
		server := api(t, func(w http.ResponseWriter, req *http.Request) {
			raw, _ := io.ReadAll(req.Body)
			auth, target, body = req.Header.Get("Authorization"), req.Header.Get("X-Amz-Target"), string(raw)
			_, _ = fmt.Fprintf(w, test.answer, token, until.Unix())
		})
		username, password, good, err := oci.NewECR(server.Client(), server.URL).Login(t.Context(), host)
		if err != nil || username != "AWS" || password != "canary" || !good.Equal(until) {
			t.Errorf("%s: %s until %s, error %v", host, username, good, err)
		}
		if target != test.target || body != "{}" || !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(auth, "/"+test.region+"/"+test.service+"/aws4_request") {
			t.Errorf("%s: %s, signed %s", host, target, auth)
		}
	}
	for host, want := range map[string]string{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com":   "https://api.ecr.eu-central-1.amazonaws.com/",
		"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com": "https://ecr-fips.us-east-1.amazonaws.com/",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":  "https://api.ecr.cn-north-1.amazonaws.com.cn/",
		"public.ecr.aws": "https://api.ecr-public.us-east-1.amazonaws.com/",
	} {
		if got, err := oci.ECREndpoint(host); err != nil || got != want {
			t.Errorf("%s: %s, error %v", host, got, err)
		}
	}
}

func TestLoginAtAzureExchangesATokenAtTheRegistry(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(3 * time.Hour).Truncate(time.Second)
	refresh := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, until.Unix())) + ".c2ln"
	for host, endpoint := range map[string]string{
		"example.azurecr.io": "https://management.azure.com",
		"example.azurecr.cn": "https://management.chinacloudapi.cn",
		"example.azurecr.us": "https://management.usgovcloudapi.net",
	} {
		server := api(t, func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/oauth2/exchange" || req.FormValue("grant_type") != "access_token" || req.FormValue("service") != host || req.FormValue("access_token") != "canary-of-"+endpoint {
				t.Errorf("%s %s", req.URL.Path, req.Form)
			}
			_, _ = fmt.Fprintf(w, `{"refresh_token":%q}`, refresh)
		})
		username, password, good, err := oci.NewACR(server.Client(), server.URL).Login(t.Context(), host)
		if err != nil || username != "00000000-0000-0000-0000-000000000000" || password != refresh || !good.Equal(until) {
			t.Errorf("%s: %s until %s, error %v", host, username, good, err)
		}
	}
}

func TestLoginAtGoogleIsTheTokenOfTheIdentity(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	for _, host := range []string{"gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"} {
		username, password, good, err := oci.NewGAR(&oauth2.Token{AccessToken: "canary", Expiry: until}, nil).Login(t.Context(), host)
		if err != nil || username != "oauth2accesstoken" || password != "canary" || !good.Equal(until) {
			t.Errorf("%s: %s until %s, error %v", host, username, good, err)
		}
	}
}

func TestTheIdentityIsForTheCloudsOwnRegistriesAlone(t *testing.T) {
	t.Parallel()
	server := api(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	for name, test := range map[string]struct {
		identity oci.Identity
		hosts    []string
	}{
		"AWS":   {oci.NewECR(server.Client(), server.URL), []string{"registry.example.com", "1.dkr.ecr.eu-central-1.amazonaws.com.example.com", "x1.dkr.ecr.eu-central-1.amazonaws.com", "1.dkr.ecr.eu.central.amazonaws.com", "1.dkr.ecr.eu-central-1.amazonaws.com:444", "1xdkr.ecr.eu-central-1.amazonaws.com"}},
		"Azure": {oci.NewACR(server.Client(), server.URL), []string{"registry.example.com", "azurecr.io", "a.azurecr.io.example.com", "a.b.azurecr.io", "a.azurecr.io:444", "aazurecrxio"}},
		"GCP":   {oci.NewGAR(&oauth2.Token{AccessToken: "canary"}, nil), []string{"registry.example.com", "evilgcr.io", "gcr.io.example.com", "a-docker.pkg.dev.example.com", "a.b-docker.pkg.dev", "gcr.io:444"}},
	} {
		for _, host := range test.hosts {
			if _, password, _, err := test.identity.Login(t.Context(), host); err == nil || password != "" {
				t.Errorf("%s: %s is taken for a registry there", name, host)
			}
		}
	}
}

func TestAnAnswerThatIsNoLoginIsRefused(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"": 200, "[]": 200, "{}": 200, `{"authorizationData":[],"refresh_token":"a b"}`: 200, `{"authorizationData":{"authorizationToken":"canary"},"refresh_token":""}`: 200, "canary": 403,
		`{"authorizationData":{"authorizationToken":"QVdTOmNhbmFyeQ=="},"refresh_token":"canary"}`: 403, `{"authorizationData":{"authorizationToken":"QVdTOg=="}}`: 200} {
		server := api(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, answer)
		})
		for host, identity := range map[string]oci.Identity{"public.ecr.aws": oci.NewECR(server.Client(), server.URL), "a.azurecr.io": oci.NewACR(server.Client(), server.URL)} {
			if _, _, _, err := identity.Login(t.Context(), host); err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %q gives error %v", host, answer, err)
			}
		}
	}
}

// stub logs in to any host.
type stub struct {
	logins atomic.Int32
	err    error
	until  time.Duration
}

func (s *stub) Login(context.Context, string) (string, string, time.Time, error) {
	s.logins.Add(1)
	return "anna", "canary", time.Now().Add(s.until), s.err
}

func TestTheHubsIdentityIsUsedOnlyWhereItIsGranted(t *testing.T) {
	t.Parallel()
	s, identity := encrypted(t), &stub{until: time.Hour}
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsBasic(s)
	b := fetcher(t, func(c *oci.Config, _ *source.NetworkConfig) {
		c.Identities = map[string]oci.Identity{"aws": identity}
	})
	provider := func(o *flux.OCIRepository, all source.Secrets) { o.Provider = "aws"; delete(all, "certSecretRef") }
	u := upstream(s, provider)
	_, err := b.Resolve(t.Context(), u)
	refused(t, err, source.KindAuth, "spec.provider is the hub's own identity, which is used only where a Credential of an administrator grants it")
	u.Identity = true
	for says, change := range map[string]func(*flux.OCIRepository, source.Secrets){
		"spec.serviceAccountName has no imagePullSecrets": func(o *flux.OCIRepository, _ source.Secrets) { o.ServiceAccountName = "a" },
	} {
		u := upstream(s, provider, change)
		u.Identity = true
		_, err := b.Resolve(t.Context(), u)
		refused(t, err, source.KindInvalid, says)
	}
	if identity.logins.Load() != 0 || len(s.requests()) != 0 {
		t.Errorf("%d logins", identity.logins.Load())
	}
	granted := upstream(s, func(o *flux.OCIRepository, _ source.Secrets) { o.Provider = "aws" }) // by an authority of the administrator's
	granted.Identity = true
	if _, err := b.Resolve(t.Context(), granted); err != nil || identity.logins.Load() != 1 {
		t.Errorf("%d logins, error %v", identity.logins.Load(), err)
	}
}

func TestALoginIsUsedAgainUntilItEnds(t *testing.T) {
	t.Parallel()
	s := plain(t)
	s.artifact(t, "latest", map[string]string{"a": "b"})
	wantsBasic(s)
	for until, want := range map[time.Duration]int32{time.Hour: 1, time.Minute: 2} {
		identity := &stub{until: until}
		repository := oci.WithIdentity(t, identity, s.host())
		for range 2 {
			oci.Forget(repository)
			if _, err := oci.Digest(t.Context(), repository, "latest"); err != nil {
				t.Fatal(err)
			}
		}
		if identity.logins.Load() != want {
			t.Errorf("%s: %d logins", until, identity.logins.Load())
		}
	}
	failing := oci.WithIdentity(t, &stub{err: errors.New("canary")}, s.host())
	_, err := oci.Digest(t.Context(), failing, "latest")
	refused(t, err, source.KindAuth, "the hub could not log in to the registry by spec.provider")
}
