package git

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"flotilla.dev/flotilla/hub/source"
)

// explain words an error that came out of a conversation with the upstream. ctx is the caller's; limited the one with
// the upstream's timeout.
func (g *Git) explain(ctx, limited context.Context, u source.Upstream, err error) error {
	if failure := u.Explain(ctx, limited, &opened{err, unwrap(err)}); failure != nil {
		return failure
	}
	if failure := g.config.Network.Busy(u); failure != nil && isBusy(err) {
		return failure
	}
	if failure := explainAnswer(u, err); failure != nil {
		return failure
	}
	return u.Fail(source.KindServer, "the server's answer was not understood; is this the address of a Git repository?")
}

// isBusy reports whether an answer may have asked to be left alone.
func isBusy(err error) bool {
	var status *githttp.Err
	if !errors.As(unwrap(err), &status) {
		return false
	}
	code := status.StatusCode()
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
}

// brokenOff is go-git's word for an error among objects (gitprotocol-pack, side-band), whose text is the server's.
const brokenOff = "receive pack: unexpected error: "

func explainAnswer(u source.Upstream, err error) *source.Error {
	var status *githttp.Err
	var pack *packError
	var hostKey *hostKeyError
	switch {
	case errors.As(err, &pack):
		return u.Fail(source.KindServer, "the server sent objects that are malformed; it is tried again")
	case strings.Contains(err.Error(), brokenOff):
		return u.Fail(source.KindServer, "the server's Git failed while it sent objects, as its log may say why; it is tried again")
	case errors.As(err, &hostKey):
		return u.Fail(source.KindTLS, "%s; somebody may be in between; if the server has a new key, compare it with what its owner publishes, and correct the Secret", hostKey)
	case errors.Is(err, transport.ErrAuthenticationRequired) && isAnonymous(u):
		missing := "the source has none; name a Secret in spec.secretRef"
		if u.Secrets[secretRef] != nil {
			missing = "the Secret that spec.secretRef names has none; add the keys username and password"
		}
		return u.Fail(source.KindAuth, "it wants a user and a password, and %s (some servers say so of a repository that is not there)", missing)
	case errors.Is(err, transport.ErrAuthenticationRequired) && len(u.Secrets[secretRef]["bearerToken"]) > 0:
		return u.Fail(source.KindAuth, "the bearer token is wrong, or has ended; correct the Secret")
	case errors.Is(err, transport.ErrAuthenticationRequired) && specOf(u).Provider == "github":
		return u.Fail(source.KindAuth, "GitHub does not take the token of the App; may its installation read this repository?")
	case errors.Is(err, transport.ErrAuthenticationRequired) && specOf(u).Provider == "azure":
		return u.Fail(source.KindAuth, "Azure does not take the token of the hub's identity; has it the right to read this repository?")
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return u.Fail(source.KindAuth, "the user or the password is wrong; correct the Secret")
	case strings.Contains(err.Error(), "ssh: unable to authenticate"):
		return u.Fail(source.KindAuth, "the server does not take the key identity of the Secret; give its public half to the server, as one that may read")
	case strings.Contains(err.Error(), "ssh: no common algorithm for host key"):
		return u.Fail(source.KindTLS, "the server has no key of the sorts that known_hosts of the Secret has for it; add the lines that ssh-keyscan prints")
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return u.Fail(source.KindAuth, "the credential may not read it; give that user the right, or another Secret")
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return u.Fail(source.KindRepository, "there is no such repository, or the credential may not see it; check spec.url")
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return u.Fail(source.KindRef, "%s not found: the repository is empty", refOf(u))
	case errors.As(unwrap(err), &status):
		code := status.StatusCode()
		return u.Fail(source.KindServer, "the server answered %d (%s); it is tried again", code, http.StatusText(code))
	}
	return nil
}

// isAnonymous reports whether the Secret says nothing of who asks.
func isAnonymous(u source.Upstream) bool {
	credential, err := credentialOf(u)
	return err == nil && credential.anonymous() && specOf(u).Provider != "azure"
}

// opened is an error with what is in it that go-git's errors do not unwrap.
type opened struct{ err, inner error }

func (o *opened) Error() string   { return o.inner.Error() }
func (o *opened) Unwrap() []error { return []error{o.err, o.inner} }

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
