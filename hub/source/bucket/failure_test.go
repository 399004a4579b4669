package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

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
		"no such bucket": {nil, func(_ *source.Upstream, s *flux.Bucket) { s.BucketName = "other" }, source.KindRepository, fleet.ErrNotFound, "there is no bucket other at that endpoint; check spec.bucketName"},
		"a spec.ignore": {nil, func(_ *source.Upstream, s *flux.Bucket) {
			s.Ignore = new(strings.Repeat("a\n", 10_001))
		}, source.KindInvalid, fleet.ErrInvalid, "a source may have 10000 patterns"},
		"no bucket's name":    {nil, func(_ *source.Upstream, s *flux.Bucket) { s.BucketName = "b" }, source.KindInvalid, fleet.ErrInvalid, `"b" is not the name of a bucket (Bucket name cannot be shorter than 3 characters); check spec.bucketName`},
		"an unknown key":      {nil, secret("accesskey", "somebody"), source.KindAuth, fleet.ErrDenied, "the access key is not known there; correct accesskey in the Secret of spec.secretRef"},
		"a wrong key":         {nil, secret("secretkey", "canary"), source.KindAuth, fleet.ErrDenied, "the secret key does not fit the access key"},
		"no accesskey":        {nil, secret("accesskey", ""), source.KindAuth, fleet.ErrDenied, "spec.secretRef: the Secret has no key accesskey (accesskey and secretkey are needed)"},
		"no Secret":           {nil, func(u *source.Upstream, _ *flux.Bucket) { u.Secrets = nil }, source.KindAuth, fleet.ErrDenied, "spec.secretRef: the Secret is not there"},
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
		"server errors": {func(b *bundle) { b.s3.Set(lab.Status(500)) }, nil, source.KindServer, nil, "the server answered 500 (Internal Server Error); it is tried again"},
		"too busy":      {func(b *bundle) { b.s3.Set(lab.StatusRetryAfter(429, 5*time.Minute)) }, nil, source.KindBusy, nil, "asked to be left alone for 5m0s"},
		"TLS at plain":  {nil, func(_ *source.Upstream, s *flux.Bucket) { s.Insecure = false }, source.KindTLS, nil, "the server does not speak TLS"},
		"an unknown CA": {nil, func(u *source.Upstream, s *flux.Bucket) {
			u.Secrets["certSecretRef"] = map[string][]byte{"ca.crt": []byte("x")}
		}, source.KindAuth, fleet.ErrDenied, "spec.certSecretRef: ca.crt of the Secret holds no certificate in PEM form"},
		"no certificate": {nil, func(u *source.Upstream, s *flux.Bucket) { u.Secrets["certSecretRef"] = map[string][]byte{} }, source.KindAuth, fleet.ErrDenied, "spec.certSecretRef: the Secret has none of ca.crt, tls.crt and tls.key"},
		"no proxy": {nil, func(u *source.Upstream, s *flux.Bucket) {
			u.Secrets["proxySecretRef"] = map[string][]byte{"username": []byte("canary")}
		}, source.KindAuth, fleet.ErrDenied, "spec.proxySecretRef: the Secret has no key address"},
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
		return
	}
	if strings.HasPrefix(want, "spec.") && failure.Reason != "AuthenticationFailed" {
		t.Errorf("%v: reason %q, want the one for Secrets that will not do", err, failure.Reason)
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
