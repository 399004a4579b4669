package bucket_test

import (
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/bucket"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

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
	proxy := lab.TestProxy(t, lab.ProxyConfig{Username: "anna", Password: "canary"})
	u := b.upstream(func(u *source.Upstream, s *flux.Bucket) {
		u.Secrets["proxySecretRef"] = map[string][]byte{"address": []byte(proxy.URL()), "username": []byte("anna"), "password": []byte("canary")}
	})
	if got := b.fetch(u); got["a"] != "1" || proxy.Passed(b.s3.Host()) != len(b.s3.Visits()) {
		t.Errorf("tree %v, %d requests through the proxy, of %d", got, proxy.Passed(b.s3.Host()), len(b.s3.Visits()))
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
