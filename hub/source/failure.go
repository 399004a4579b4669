package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"flotilla.dev/flotilla/pkg/fleet"
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
	KindAddress    Kind = "address"  // the policy forbids the address
	KindRedirect   Kind = "redirect" // to another host
	KindServer     Kind = "server"   // an answer that is none, or an error of the server's
	KindLimit      Kind = "limit"    // larger than a source may be
	KindContent    Kind = "content"  // what no Tree can hold
	KindStore      Kind = "store"    // the blob store or the mirror's disk
	KindCanceled   Kind = "canceled" // by the caller
)

// Error is a failure worded for people: what failed, where and what to do; never a credential, never an upstream's
// text. It wraps fleet.ErrDenied, ErrNotFound or ErrInvalid where one fits.
type Error struct {
	Kind Kind
	// URL of the upstream, without user and password.
	URL string
	// Text says what happened and what to do.
	Text string

	sentinel error
	cause    error
}

func (e *Error) Error() string { return e.URL + ": " + e.Text }

// Unwrap gives the sentinel, and the cause where a caller may have to know it (a context's end, the store's error).
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.sentinel, e.cause} {
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
	KindAddress: fleet.ErrDenied, KindLimit: fleet.ErrInvalid, KindContent: fleet.ErrInvalid,
}

// fail is an Error of the upstream.
func (u Upstream) fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, URL: redact(u.URL), Text: fmt.Sprintf(format, args...), sentinel: sentinels[kind]}
}

// explain words an error that came out of a conversation with the upstream. ctx is the caller's; limited the one with
// the upstream's timeout.
func (u Upstream) explain(ctx, limited context.Context, err error) error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case ctx.Err() != nil:
		failure := u.fail(KindCanceled, "the fetch was called off")
		failure.cause = context.Cause(ctx)
		return failure
	}
	var disk *diskError
	if errors.As(err, &disk) {
		return storeError(u, err)
	}
	if failure := u.explainConnection(limited, err); failure != nil {
		return failure
	}
	if failure := u.explainAnswer(err); failure != nil {
		return failure
	}
	return u.fail(KindServer, "the server's answer was not understood; is this the address of a Git repository?")
}

func (u Upstream) explainConnection(limited context.Context, err error) *Error {
	var (
		address   *addressError
		redirect  *redirectError
		stalled   *stalledError
		dns       *net.DNSError
		unknown   x509.UnknownAuthorityError
		verify    *tls.CertificateVerificationError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		timeout   net.Error
		unwrapped = unwrap(err)
	)
	is := func(target any) bool { return errors.As(err, target) || errors.As(unwrapped, target) }
	switch {
	case is(&address):
		return u.fail(KindAddress, "%s; an administrator of the hub decides which addresses sources may have", address)
	case is(&redirect):
		return u.fail(KindRedirect, "%s; write the repository's present address into spec.url", redirect)
	case is(&stalled):
		return u.fail(KindTimeout, "%s; it is tried again", stalled)
	case is(&dns) && !dns.IsTimeout:
		return u.fail(KindConnect, "the name %s is not known; check spec.url", dns.Name)
	case is(&unknown), is(&verify) && errors.As(verify.Err, &unknown):
		return u.fail(KindTLS, "the server's certificate is from an unknown authority; give it as ca.crt in the Secret")
	case is(&hostname):
		return u.fail(KindTLS, "the server's certificate is for another name; check spec.url")
	case is(&invalid):
		return u.fail(KindTLS, "the server's certificate is not valid (expired, or not for servers)")
	case is(&verify):
		return u.fail(KindTLS, "the server's certificate could not be verified")
	case is(&record), strings.Contains(unwrapped.Error(), "server gave HTTP response to HTTPS client"):
		return u.fail(KindTLS, "the server does not speak TLS; should spec.url begin with http://?")
	case limited.Err() != nil, is(&timeout) && timeout.Timeout(), errors.Is(unwrapped, os.ErrDeadlineExceeded):
		return u.fail(KindTimeout, "no answer within %s; is it reachable from the hub, and is spec.timeout long enough?", u.timeout())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(unwrapped, syscall.ECONNREFUSED):
		return u.fail(KindConnect, "the connection was refused: nothing listens at that address; it is tried again")
	case errors.Is(unwrapped, syscall.EHOSTUNREACH), errors.Is(unwrapped, syscall.ENETUNREACH):
		return u.fail(KindConnect, "the host cannot be reached from the hub; it is tried again")
	case errors.Is(unwrapped, syscall.ECONNRESET), errors.Is(unwrapped, syscall.EPIPE):
		return u.fail(KindConnect, "the connection broke; it is tried again")
	}
	return nil
}

func (u Upstream) explainAnswer(err error) *Error {
	var status *githttp.Err
	var large *tooLargeError
	var pack *packError
	switch {
	case errors.As(err, &pack):
		return u.fail(KindServer, "the server sent objects that are malformed; it is tried again")
	case errors.As(err, &large):
		return u.fail(KindLimit, "%s", large)
	case errors.Is(err, transport.ErrAuthenticationRequired) && u.anonymous():
		missing := "the source has none; name a Secret in spec.secretRef"
		if u.Credential != nil {
			missing = "the Secret that spec.secretRef names has none; add the keys username and password"
		}
		return u.fail(KindAuth, "it wants a user and a password, and %s (some servers say so of a repository that is not there)", missing)
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return u.fail(KindAuth, "the user or the password is wrong; correct the Secret")
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return u.fail(KindAuth, "the credential may not read it; give that user the right, or another Secret")
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return u.fail(KindRepository, "there is no such repository, or the credential may not see it; check spec.url")
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return u.fail(KindRef, "%s not found: the repository is empty", u.Ref)
	case errors.As(unwrap(err), &status):
		code := status.StatusCode()
		return u.fail(KindServer, "the server answered %d (%s); it is tried again", code, http.StatusText(code))
	}
	return nil
}

// unwrap reaches what go-git's errors hold, which have no Unwrap.
func unwrap(err error) error {
	for {
		var unexpected *plumbing.UnexpectedError
		var permanent *plumbing.PermanentError
		switch {
		case errors.As(err, &unexpected):
			err = unexpected.Err
		case errors.As(err, &permanent):
			err = permanent.Err
		default:
			return err
		}
	}
}

func (u Upstream) anonymous() bool {
	return u.Credential == nil || (u.Credential.Username == "" && u.Credential.Password == "")
}

func (u Upstream) timeout() time.Duration {
	if u.Timeout > 0 {
		return u.Timeout
	}
	return defaultTimeout
}
