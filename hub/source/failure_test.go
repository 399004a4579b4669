package source_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

func TestErrorsNameTheFieldOfTheKind(t *testing.T) {
	t.Parallel()
	var (
		git    = source.Upstream{Kind: "GitRepository", URL: "https://a/b", Spec: flux.GitRepository{}}
		image  = source.Upstream{Kind: "OCIRepository", URL: "oci://a/b", Spec: flux.OCIRepository{}}
		bucket = source.Upstream{Kind: "Bucket", URL: "https://a/b", Spec: flux.Bucket{}}
		azure  = source.Upstream{Kind: "Bucket", URL: "https://a/b", Spec: flux.Bucket{Provider: flux.BucketAzure}}
		index  = source.Upstream{Kind: "HelmRepository", URL: "https://a/b", Spec: flux.HelmRepository{}}
		chart  = source.Upstream{Kind: "HelmChart", URL: "https://a/b", Spec: flux.HelmChart{}}
		pulled = source.Upstream{Kind: "HelmChart", URL: "oci://a/b", Spec: flux.HelmChart{}}
	)
	authority := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	plain := tls.RecordHeaderError{Msg: "no TLS"}
	unknown := &net.DNSError{Name: "a", IsNotFound: true}
	wanted := errors.New("remote error: tls: certificate required")
	elsewhere := redirected(t, "https://c/d")
	for _, tc := range []struct {
		upstream source.Upstream
		err      error
		want     string
	}{
		{git, authority, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of spec.secretRef"},
		{image, authority, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of spec.certSecretRef"},
		{bucket, authority, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of spec.certSecretRef"},
		{index, authority, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of spec.certSecretRef"},
		{chart, authority, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of spec.certSecretRef of its HelmRepository"},
		{git, wanted, "the server ended TLS: it may want a certificate that it knows; give it as tls.crt and tls.key in the Secret of spec.secretRef"},
		{git, plain, "the server does not speak TLS; should spec.url begin with http://?"},
		{image, plain, "the server does not speak TLS; should spec.insecure be true?"},
		{bucket, plain, "the server does not speak TLS; should spec.insecure be true?"},
		{azure, plain, "the server does not speak TLS; should spec.endpoint begin with http://?"},
		{chart, plain, "the server does not speak TLS; should spec.url of its HelmRepository begin with http://?"},
		{pulled, plain, "the server does not speak TLS; should spec.insecure of its HelmRepository be true?"},
		{git, unknown, "the name a is not known; check spec.url"},
		{bucket, unknown, "the name a is not known; check spec.endpoint"},
		{git, x509.HostnameError{Certificate: &x509.Certificate{}}, "the server's certificate is for another name; check spec.url"},
		{bucket, elsewhere, "it redirects to https://c, which is not followed; write its present address into spec.endpoint"},
		{chart, elsewhere, "it redirects to https://c, which is not followed; write its present address into spec.url of its HelmRepository"},
		{git, inCircles(t), "it redirects to itself over and over; check spec.url"},
	} {
		failure := tc.upstream.Explain(t.Context(), t.Context(), tc.err)
		if failure == nil || failure.Text != tc.want {
			t.Errorf("%s, %v: %v, want %q", tc.upstream.Kind, tc.err, failure, tc.want)
		}
	}
}

// redirected is the error of an answer that redirects there.
func redirected(t *testing.T, to string) error {
	t.Helper()
	err := source.Redirected(&http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {to}}})
	if err == nil {
		t.Fatal("a redirect is none")
	}
	return err
}

func inCircles(t *testing.T) error {
	t.Helper()
	again := &http.Request{URL: &url.URL{Scheme: "https", Host: "a"}}
	err := source.SameHost(again, []*http.Request{again, again, again, again, again, again})
	if err == nil {
		t.Fatal("it goes on in circles")
	}
	return err
}
