package oci

import (
	"context"
	"errors"
	"net/http"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// refused words an answer that is no success.
func (r *repository) refused(res *http.Response) *source.Error {
	u, s := r.upstream, r.session
	host := s.repository.RegistryStr()
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		switch {
		case s.identity != nil:
			return u.Fail(source.KindAuth, "the registry does not let the hub's own identity pull from %s; give it the right to, and check the name", s.repository.RepositoryStr())
		case s.credential != (credential{}):
			return u.Fail(source.KindAuth, "the registry refuses the credential for %s: check it, and that it may pull", s.repository.RepositoryStr())
		case s.hasSecrets:
			return u.Fail(source.KindAuth, "the registry wants a credential, and the Secret has no entry for %s", host)
		}
		return u.Fail(source.KindAuth, "the registry wants a credential, or has no such repository: check %s, or name a Secret %s in %s", u.Field("url"), wordsOf(u).login, u.Field(secretRef))
	case code == http.StatusTooManyRequests:
		return u.Fail(source.KindBusy, "the registry has had too many requests; it is tried again later")
	case code >= 500:
		return u.Fail(source.KindServer, "the registry answered %d (%s); it is tried again", code, http.StatusText(code))
	}
	return u.Fail(source.KindServer, "the registry answered %d (%s); is %s that of a registry?", res.StatusCode, http.StatusText(res.StatusCode), u.Field("url"))
}

// missing words that a manifest is not there: it, or its repository. To tell costs a request, on this path alone.
func (r *repository) missing(ctx context.Context, reference string) *source.Error {
	what := "tag " + reference
	if digestName.MatchString(reference) {
		what = "digest " + reference
	}
	res, err := r.do(ctx, http.MethodGet, "tags/list?n=1", nil, limit{maxTagsPage, "its list of tags is too long"})
	if err == nil {
		closing(res)
		if res.StatusCode == http.StatusNotFound {
			return r.noRepository()
		}
	}
	return r.upstream.Fail(source.KindRef, "%s is not in the repository; check %s", what, wordsOf(r.upstream).ref)
}

func (r *repository) noRepository() *source.Error {
	return r.upstream.Fail(source.KindRepository, "the repository is not there; check %s", r.upstream.Field("url"))
}

func isMissing(err error) bool { return errors.Is(err, fleet.ErrNotFound) }

// explain words what came out of a conversation with a registry. ctx is the caller's; limited the one with the upstream's
// timeout.
func explain(ctx, limited context.Context, u source.Upstream, err error) error {
	if failure := u.Explain(ctx, limited, err); failure != nil {
		return failure
	}
	return u.Fail(source.KindServer, "the registry's answer was not understood; is %s that of a registry?", u.Field("url"))
}
