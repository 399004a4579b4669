package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestFailuresSayWhatWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	secret := func(key, value string) func(*source.Upstream, *flux.Bucket) {
		return func(u *source.Upstream, _ *flux.Bucket) { u.Secrets["secretRef"][key] = []byte(value) }
	}
	s3Error := func(status int, code, more string) func(*bundle) {
		return func(b *bundle) {
			b.s3.Set(lab.Answer(status, fmt.Sprintf("<Error><Code>%s</Code><Message>canary</Message>%s</Error>", code, more)))
		}
	}
	for name, tc := range map[string]struct {
		arrange  func(*bundle)
		change   func(*source.Upstream, *flux.Bucket)
		kind     source.Kind
		sentinel error
		want     string
	}{
		"no such bucket":      {nil, func(_ *source.Upstream, s *flux.Bucket) { s.BucketName = "other" }, source.KindRepository, fleet.ErrNotFound, "there is no bucket other at that endpoint; check spec.bucketName"},
		"no bucket's name":    {nil, func(_ *source.Upstream, s *flux.Bucket) { s.BucketName = "b" }, source.KindInvalid, fleet.ErrInvalid, `"b" is not the name of a bucket (Bucket name cannot be shorter than 3 characters); check spec.bucketName`},
		"an unknown key":      {nil, secret("accesskey", "somebody"), source.KindAuth, fleet.ErrDenied, "the access key is not known there; correct accesskey in the Secret"},
		"a wrong key":         {nil, secret("secretkey", "canary"), source.KindAuth, fleet.ErrDenied, "the secret key does not fit the access key"},
		"no accesskey":        {nil, secret("accesskey", ""), source.KindAuth, fleet.ErrDenied, "has no key accesskey (accesskey and secretkey are needed)"},
		"no Secret":           {nil, func(u *source.Upstream, _ *flux.Bucket) { u.Secrets = nil }, source.KindAuth, fleet.ErrDenied, "the Secret that spec.secretRef names is not there"},
		"no credential":       {nil, func(u *source.Upstream, s *flux.Bucket) { u.Secrets, s.SecretRef = nil, nil }, source.KindAuth, fleet.ErrDenied, "it is not open to everybody, and the source has no credential; name a Secret in spec.secretRef"},
		"no identity":         {nil, func(u *source.Upstream, s *flux.Bucket) { u.Secrets, s.SecretRef, s.Provider = nil, nil, "aws" }, source.KindAuth, fleet.ErrDenied, "have an administrator of the hub grant its identity"},
		"denied":              {s3Error(403, "AccessDenied", ""), nil, source.KindAuth, fleet.ErrDenied, "access is denied: the credential needs the rights to list the bucket app and to read its objects (s3:ListBucket, s3:GetObject)"},
		"clocks":              {s3Error(403, "RequestTimeTooSkewed", ""), nil, source.KindAuth, fleet.ErrDenied, "the server's clock and the hub's differ too much"},
		"a region":            {s3Error(301, "PermanentRedirect", "<Region>eu-central-1</Region>"), nil, source.KindRedirect, nil, "the bucket is in the region eu-central-1; write spec.region: eu-central-1"},
		"a region, malformed": {s3Error(400, "AuthorizationHeaderMalformed", "<Region>eu-central-1</Region>"), nil, source.KindRedirect, nil, "write spec.region: eu-central-1"},
		"no region's name":    {s3Error(301, "PermanentRedirect", "<Region>canary; rm</Region>"), nil, source.KindRedirect, nil, "the bucket is in another region, or at another endpoint"},
		"a redirect":          {func(b *bundle) { b.s3.Set(lab.Redirect(lab.TestTrap(b.t, lab.SiteConfig{}).URL())) }, nil, source.KindRedirect, nil, "which is not followed"},
		"a web page":          {func(b *bundle) { b.s3.Set(lab.Answer(200, "<html><body>canary</body></html>")) }, nil, source.KindServer, nil, "the server's answer is no list of a bucket: is spec.endpoint that of object storage"},
		"a page for 404":      {func(b *bundle) { b.s3.Set(lab.Status(418)) }, nil, source.KindServer, nil, "the server answered 418 (I'm a teapot); is spec.endpoint that of object storage?"},
		"garbage":             {func(b *bundle) { b.s3.Set(lab.Garbage) }, nil, source.KindServer, nil, "is no list of a bucket"},
		"down":                {func(b *bundle) { b.s3.Down() }, nil, source.KindConnect, nil, "the connection was refused"},
		"broken off":          {func(b *bundle) { b.s3.Set(lab.Reset) }, nil, source.KindConnect, nil, "the connection broke"},
		"half":                {func(b *bundle) { b.s3.Set(lab.Half) }, nil, source.KindConnect, nil, "the connection broke"},
		"silence":             {func(b *bundle) { b.s3.Set(lab.Hang) }, func(u *source.Upstream, _ *flux.Bucket) { u.Timeout = 300 * time.Millisecond }, source.KindTimeout, nil, "no answer within 300ms; is it reachable from the hub, and is spec.timeout long enough?"},
		"silence halfway": {
			func(b *bundle) {
				b.s3.SetFor(func(r *http.Request) bool { return r.URL.Path == "/app/a" }, lab.HangHalfway)
			},
			func(u *source.Upstream, _ *flux.Bucket) { u.Timeout = 300 * time.Millisecond }, source.KindTimeout, nil, "no answer within 300ms",
		},
		"server errors": {func(b *bundle) { b.s3.Set(lab.Status(500)) }, nil, source.KindServer, nil, "the server answered 500"},
		"TLS at plain":  {nil, func(_ *source.Upstream, s *flux.Bucket) { s.Insecure = false }, source.KindTLS, nil, "the server does not speak TLS"},
		"an unknown CA": {nil, func(u *source.Upstream, s *flux.Bucket) {
			u.Secrets["certSecretRef"] = map[string][]byte{"ca.crt": []byte("x")}
		}, source.KindAuth, fleet.ErrDenied, "ca.crt of the Secret holds no certificate in PEM form (spec.certSecretRef)"},
		"no certificate": {nil, func(u *source.Upstream, s *flux.Bucket) { u.Secrets["certSecretRef"] = map[string][]byte{} }, source.KindAuth, fleet.ErrDenied, "has none of ca.crt, tls.crt and tls.key"},
		"no proxy": {nil, func(u *source.Upstream, s *flux.Bucket) {
			u.Secrets["proxySecretRef"] = map[string][]byte{"username": []byte("canary")}
		}, source.KindAuth, fleet.ErrDenied, "has no key address"},
		"a proxy for nothing": {nil, func(u *source.Upstream, s *flux.Bucket) {
			u.Secrets["proxySecretRef"] = map[string][]byte{"address": []byte("ftp://canary")}
		}, source.KindAuth, fleet.ErrDenied, "not an http://, https:// or socks5:// URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, lab.S3Config{})
			b.put(map[string]string{"a": "a long content", "b": "2"})
			if tc.arrange != nil {
				tc.arrange(b)
			}
			u := b.upstream(region)
			if tc.change != nil {
				u = b.upstream(region, tc.change)
			}
			err := try(t, b.fetcher, u)
			checkFailure(t, err, tc.kind, tc.sentinel, tc.want)
		})
	}
}

func checkFailure(t *testing.T, err error, kind source.Kind, sentinel error, want string) {
	t.Helper()
	var failure *source.Error
	if !errors.As(err, &failure) || failure.Kind != kind || (sentinel != nil && !errors.Is(err, sentinel)) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("%s error %v, want %s with %q", source.KindOf(err), err, kind, want)
	}
	for _, secret := range []string{"canary", lab.SecretKey, lab.SecretOfServer} {
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%v shows %q", err, secret)
		}
	}
}

func TestABucketAtAForbiddenAddressIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	metrics := source.NewMetrics(nil)
	network := source.NewNetwork(source.NetworkConfig{Addresses: source.Addresses{DenyPrivate: true}, Metrics: metrics})
	err := try(t, newFetcher(t, bucket.Config{Network: network}), b.upstream())
	checkFailure(t, err, source.KindAddress, fleet.ErrDenied, "an administrator of the hub decides")
	network = source.NewNetwork(source.NetworkConfig{Addresses: source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Metrics: metrics})
	if err := try(t, newFetcher(t, bucket.Config{Network: network}), b.upstream()); err != nil {
		t.Error(err)
	}
	metadata := b.upstream(func(_ *source.Upstream, s *flux.Bucket) { s.Endpoint = "169.254.169.254" })
	checkFailure(t, try(t, b.fetcher, metadata), source.KindAddress, fleet.ErrDenied, "169.254.169.254 is not allowed")
	ldap := b.upstream(func(u *source.Upstream, s *flux.Bucket) {
		u.Secrets, s.SecretRef = nil, nil
		s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: "http://169.254.169.254/latest"}
	})
	checkFailure(t, try(t, b.fetcher, ldap), source.KindAddress, fleet.ErrDenied, "169.254.169.254 is not allowed")
	if visits := b.s3.Visits(); len(visits) == 0 {
		t.Error("the allowed one was not asked")
	}
}

func TestAnEndedContextIsNoFailureOfTheBucket(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.fetcher.Resolve(ctx, b.upstream())
	if !errors.Is(err, context.Canceled) || source.KindOf(err) != source.KindCanceled {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestCredentialsAreThoseOfTheSpec(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	trust := map[string][]byte{"ca.crt": authority.PEM()}
	certificate, key, err := authority.Issue("hub")
	if err != nil {
		t.Fatal(err)
	}
	client := map[string][]byte{"ca.crt": authority.PEM(), "tls.crt": certificate, "tls.key": key}
	none := func(u *source.Upstream, s *flux.Bucket) { delete(u.Secrets, "secretRef"); s.SecretRef = nil }
	for name, tc := range map[string]struct {
		config lab.S3Config
		change func(*bundle, *source.Upstream, *flux.Bucket)
		kind   source.Kind // empty: it is fetched
	}{
		"keys":       {lab.S3Config{}, func(*bundle, *source.Upstream, *flux.Bucket) {}, ""},
		"nobody":     {lab.S3Config{Public: true}, func(_ *bundle, u *source.Upstream, s *flux.Bucket) { none(u, s) }, ""},
		"aws's keys": {lab.S3Config{}, func(_ *bundle, u *source.Upstream, s *flux.Bucket) { s.Provider = "aws" }, ""},
		"TLS": {lab.S3Config{SiteConfig: lab.SiteConfig{Authority: authority}}, func(_ *bundle, u *source.Upstream, s *flux.Bucket) {
			s.Insecure, u.Secrets["certSecretRef"] = false, trust
		}, ""},
		"TLS, no CA": {lab.S3Config{SiteConfig: lab.SiteConfig{Authority: authority}}, func(_ *bundle, u *source.Upstream, s *flux.Bucket) { s.Insecure = false }, source.KindTLS},
		"mutual TLS": {lab.S3Config{SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}}, func(_ *bundle, u *source.Upstream, s *flux.Bucket) {
			s.Insecure, u.Secrets["certSecretRef"] = false, client
		}, ""},
		"LDAP": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL(), SecretRef: &flux.SecretRef{Name: "l"}}
			u.Secrets["sts.secretRef"] = map[string][]byte{"username": []byte("anna"), "password": []byte("correct-horse")}
		}, ""},
		"LDAP with TLS": {lab.S3Config{SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.Insecure, u.Secrets["certSecretRef"], u.Secrets["sts.certSecretRef"] = false, client, client
			s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL()}
			u.Secrets["sts.secretRef"] = map[string][]byte{"username": []byte("anna"), "password": []byte("correct-horse")}
		}, ""},
		"LDAP, wrong": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL()}
			u.Secrets["sts.secretRef"] = map[string][]byte{"username": []byte("anna"), "password": []byte("canary")}
		}, source.KindAuth},
		"LDAP, half": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL()}
			u.Secrets["sts.secretRef"] = map[string][]byte{"username": []byte("anna")}
		}, source.KindAuth},
		"LDAP, gone": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.STS = &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL(), SecretRef: &flux.SecretRef{Name: "l"}}
		}, source.KindAuth},
		"the hub's identity": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			u.Identity, s.Provider = true, "aws"
		}, ""},
		"the hub's identity, shown to AWS": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			u.Identity, s.Provider, s.STS = true, "aws", &flux.BucketSTS{Provider: "aws", Endpoint: "https://sts.eu-central-1.amazonaws.com"}
		}, ""},
		"the hub's identity, shown elsewhere": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			u.Identity, s.Provider, s.STS = true, "aws", &flux.BucketSTS{Provider: "aws", Endpoint: "https://sts.amazonaws.com.example.com"}
		}, source.KindAddress},
		"an identity that is not granted": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			s.Provider = "aws"
		}, source.KindAuth},
		"an identity for generic": {lab.S3Config{}, func(b *bundle, u *source.Upstream, s *flux.Bucket) {
			none(u, s)
			u.Identity = true
		}, source.KindAuth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, tc.config)
			b.put(map[string]string{"a": "1"})
			b.s3.AllowLDAP("anna", "correct-horse")
			b.fetcher.SetIdentity(bucket.Identity{AWS: func(sts string) credentials.Provider {
				return &credentials.Static{Value: credentials.Value{AccessKeyID: lab.AccessKey, SecretAccessKey: lab.SecretKey, SignerType: credentials.SignatureV4}}
			}})
			u := b.upstream(func(u *source.Upstream, s *flux.Bucket) { tc.change(b, u, s) })
			if tc.kind != "" {
				checkFailure(t, try(t, b.fetcher, u), tc.kind, nil, "")
				return
			}
			if got := b.fetch(u); got["a"] != "1" {
				t.Errorf("tree %v", got)
			}
		})
	}
}

func TestTemporaryKeysAreAskedForOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	b.s3.AllowLDAP("anna", "correct-horse")
	u := b.upstream(func(u *source.Upstream, s *flux.Bucket) {
		s.SecretRef, s.STS = nil, &flux.BucketSTS{Provider: "ldap", Endpoint: b.s3.STSURL()}
		u.Secrets = source.Secrets{"sts.secretRef": {"username": []byte("anna"), "password": []byte("correct-horse")}}
	})
	for range 3 {
		b.fetch(u)
	}
	if given := b.s3.TemporaryKeys(); given != 1 {
		t.Errorf("keys were given %d times, want once", given)
	}
}

func TestAProxyIsGoneThrough(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	through := 0
	proxy := lab.TestSite(t, lab.SiteConfig{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Basic YW5uYTpjYW5hcnk=" {
			http.Error(w, "", http.StatusProxyAuthRequired)
			return
		}
		through++
		r.Header.Del("Proxy-Authorization")
		r.Host = r.URL.Host
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		for name, values := range res.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	}))
	u := b.upstream(func(u *source.Upstream, s *flux.Bucket) {
		u.Secrets["proxySecretRef"] = map[string][]byte{"address": []byte(proxy.URL()), "username": []byte("anna"), "password": []byte("canary")}
	})
	if got := b.fetch(u); got["a"] != "1" || through == 0 {
		t.Errorf("tree %v, %d requests through the proxy", got, through)
	}
}

func TestTheRegionIsWhatIsSignedFor(t *testing.T) {
	t.Parallel()
	b := newBundle(t, lab.S3Config{})
	b.put(map[string]string{"a": "1"})
	b.fetch(b.upstream(func(_ *source.Upstream, s *flux.Bucket) { s.Region = "eu-north-7" }))
	for _, v := range b.s3.Visits() {
		if !strings.Contains(v.Header.Get("Authorization"), "/eu-north-7/s3/") {
			t.Errorf("%s %s is signed as %s", v.Method, v.Path, v.Header.Get("Authorization"))
		}
	}
}
