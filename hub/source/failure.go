package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/reach"
)

// Kind says what went wrong, in one word for metrics and conditions.
type Kind string

// The kinds of failures.
const (
	KindInvalid    Kind = "invalid"    // the spec
	KindAuth       Kind = "auth"       // the credential, or the lack of one
	KindRepository Kind = "repository" // it is not there
	KindRef        Kind = "ref"        // the branch, tag or commit is not there
	KindConnect    Kind = "connect"    // no connection: refused, name not found, network
	KindTimeout    Kind = "timeout"
	KindTLS        Kind = "tls"
	KindAddress    Kind = "address"   // the policy forbids the address
	KindRedirect   Kind = "redirect"  // to another host
	KindServer     Kind = "server"    // an answer that is none, or an error of the server's
	KindBusy       Kind = "busy"      // the host asked to be left alone for a while
	KindLimit      Kind = "limit"     // larger than a source may be
	KindSignature  Kind = "signature" // a signature that is asked for is missing or wrong
	KindInput      Kind = "input"     // another Source that it is made of
	KindContent    Kind = "content"   // what no Tree can hold
	KindStore      Kind = "store"     // the blob store or the mirror's disk
	KindCanceled   Kind = "canceled"  // by the caller
)

// Error is a failure worded for people: what failed, where and what to do; never a credential, never an upstream's
// text. It wraps fleet.ErrDenied, ErrNotFound or ErrInvalid where one fits.
type Error struct {
	Kind Kind
	// URL of the upstream, without user and password.
	URL string
	// Text says what happened and what to do.
	Text string
	// Reason is Flux's for the condition, where it has a finer one than the Kind says; empty: it has none.
	Reason string
	// RetryAfter is when upstream wants to be asked again; zero: it did not say.
	RetryAfter time.Duration
	// Cause, where a caller may have to know it (a context's end, the store's error).
	Cause error

	sentinel error
}

func (e *Error) Error() string { return e.URL + ": " + e.Text }

// Unwrap gives the sentinel and the Cause.
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.sentinel, e.Cause} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// KindOf is the kind of a failure of this package.
func KindOf(err error) Kind {
	var failure *Error
	switch {
	case errors.As(err, &failure):
		return failure.Kind
	case errors.Is(err, fleet.ErrInvalid):
		return KindInvalid
	}
	return KindStore
}

var sentinels = map[Kind]error{
	KindInvalid: fleet.ErrInvalid, KindAuth: fleet.ErrDenied, KindRepository: fleet.ErrNotFound, KindRef: fleet.ErrNotFound,
	KindAddress: fleet.ErrDenied, KindSignature: fleet.ErrDenied, KindLimit: fleet.ErrInvalid, KindContent: fleet.ErrInvalid,
}

// Fail is an Error of the upstream.
func (u Upstream) Fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, URL: Redact(u.URL), Text: fmt.Sprintf(format, args...), sentinel: sentinels[kind]}
}

// Explain words an error that came out of a conversation with upstream, and is nil for what a kind has to word. ctx is
// the caller's; limited the one with the upstream's timeout.
func (u Upstream) Explain(ctx, limited context.Context, err error) *Error {
	var known *Error
	var large *TooLargeError
	var stored *StoreFailure
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		failure := u.Fail(KindCanceled, "the fetch was called off")
		failure.Cause = context.Cause(ctx)
		return failure
	case errors.As(err, &stored):
		return stored.explain(u, limited)
	case errors.As(err, &large):
		return u.Fail(KindLimit, "%s", large)
	}
	return u.explainConnection(limited, err)
}

// Shown is a text as it may be shown, whatever an upstream put into it: quoted where it has to be, and not too long.
func Shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return strings.Trim(fmt.Sprintf("%q", text), `"`)
}

// maxShown is how many bytes of such a text there are.
const maxShown = 200

// addressField names the field that says where upstream is.
func (u Upstream) addressField() string {
	if u.Kind == "Bucket" {
		return u.Field("endpoint")
	}
	return u.Field("url")
}

// trustField names the field whose Secret says whom to trust and what to show in TLS.
func (u Upstream) trustField() string {
	if u.Kind == "GitRepository" {
		return u.Field("secretRef")
	}
	return u.Field("certSecretRef")
}

// withoutTLS says how a source without TLS is declared.
func (u Upstream) withoutTLS() string {
	bucket, _ := u.Spec.(flux.Bucket)
	if u.Kind == "OCIRepository" || u.Kind == "Bucket" && bucket.Provider != flux.BucketAzure || u.Kind == "HelmChart" && strings.HasPrefix(u.URL, "oci://") {
		return "should " + u.Field("insecure") + " be true?"
	}
	return "should " + u.addressField() + " begin with http://?"
}

func (u Upstream) explainConnection(limited context.Context, err error) *Error {
	var (
		address  *reach.Refusal
		redirect *redirectError
		stalled  *stalledError
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		verify   *tls.CertificateVerificationError
		hostname x509.HostnameError
		invalid  x509.CertificateInvalidError
		record   tls.RecordHeaderError
		op       *net.OpError
		proxy    *proxyError
		request  *url.Error
		timeout  net.Error
	)
	is := func(target any) bool { return errors.As(err, target) }
	switch {
	case is(&address):
		return u.Fail(KindAddress, "%s; an administrator of the hub decides which addresses sources may have", address)
	case is(&proxy) && proxy.denied:
		return u.Fail(KindAuth, "the proxy wants another user and password; correct the Secret that spec.proxySecretRef names")
	case is(&proxy) && proxy.silent:
		return u.Fail(KindTimeout, "%s; is it up, and may it connect there? Check address in the Secret that spec.proxySecretRef names", proxy)
	case is(&proxy):
		return u.Fail(KindConnect, "the proxy does not connect to it (%s); may it?", proxy.said)
	case is(&op) && op.Op == proxyConnect && is(&verify):
		return u.Fail(KindTLS, "the certificate of the proxy that spec.proxySecretRef names could not be verified; it has to be from an authority that the hub's system knows, and for the proxy's name")
	case is(&op) && op.Op == proxyConnect && limited.Err() == nil:
		return u.Fail(KindConnect, "the proxy cannot be reached, or does not speak what its address begins with; check address in the Secret that spec.proxySecretRef names")
	case is(&redirect) && redirect.loop:
		return u.Fail(KindRedirect, "%s; check %s", redirect, u.addressField())
	case is(&redirect):
		return u.Fail(KindRedirect, "%s; write its present address into %s", redirect, u.addressField())
	case is(&stalled):
		return u.Fail(KindTimeout, "%s; it is tried again", stalled)
	case is(&dns) && !dns.IsTimeout:
		return u.Fail(KindConnect, "the name %s is not known; check %s", dns.Name, u.addressField())
	case is(&unknown), is(&verify) && errors.As(verify.Err, &unknown):
		return u.Fail(KindTLS, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret of %s", u.trustField())
	case is(&hostname):
		return u.Fail(KindTLS, "the server's certificate is for another name; check %s", u.addressField())
	case is(&invalid):
		return u.Fail(KindTLS, "the server's certificate is not valid (expired, or not for servers)")
	case is(&verify):
		return u.Fail(KindTLS, "the server's certificate could not be verified")
	case is(&record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return u.Fail(KindTLS, "the server does not speak TLS; %s", u.withoutTLS())
	case strings.Contains(err.Error(), "remote error: tls: "):
		return u.Fail(KindTLS, "the server ended TLS: it may want a certificate that it knows; give it as tls.crt and tls.key in the Secret of %s", u.trustField())
	case strings.Contains(err.Error(), "http2: client conn could not be established"): // which hides the same
		return u.Fail(KindConnect, "the server broke off as soon as TLS was agreed on; if it wants a certificate, give it as tls.crt and tls.key in the Secret of %s", u.trustField())
	case limited.Err() != nil, is(&timeout) && timeout.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		return u.Fail(KindTimeout, "no answer within %s; is it reachable from the hub, and is spec.timeout long enough?", u.TimeLimit())
	case errors.Is(err, syscall.ECONNREFUSED):
		return u.Fail(KindConnect, "the connection was refused: nothing listens at that address; it is tried again")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return u.Fail(KindConnect, "the host cannot be reached from the hub; it is tried again")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), is(&request) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		return u.Fail(KindConnect, "the connection broke; it is tried again")
	}
	return nil
}
