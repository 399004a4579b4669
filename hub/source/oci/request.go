package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// do asks the repository, logs in when it is told to, and asks again.
func (r *Repository) do(ctx context.Context, method, path string, accept []string, l limit) (*http.Response, error) {
	ctx = withLimit(ctx, l.bytes, l.problem)
	for again := false; ; again = true {
		res, err := r.send(ctx, method, path, accept)
		if err != nil || res.StatusCode != http.StatusUnauthorized || again {
			return res, err
		}
		closing(res)
		changed, err := r.authenticate(ctx, res)
		if err != nil {
			return nil, err
		}
		if !changed {
			return res, nil
		}
	}
}

// send sends a request. An insecure registry is tried by HTTPS first, as Flux does.
func (r *Repository) send(ctx context.Context, method, path string, accept []string) (*http.Response, error) {
	scheme := r.session.speaks()
	if scheme != "" {
		return r.sendBy(ctx, scheme, method, path, accept)
	}
	res, err := r.sendBy(ctx, "https", method, path, accept)
	if err == nil {
		r.session.setSpeaks("https")
		return res, nil
	}
	if failure := r.upstream.Explain(ctx, ctx, err); ctx.Err() != nil || failure != nil && (failure.Kind == source.KindAddress || failure.Kind == source.KindRedirect) {
		return nil, err
	}
	res, plain := r.sendBy(ctx, "http", method, path, accept)
	if plain != nil {
		return nil, plain
	}
	r.session.setSpeaks("http")
	return res, nil
}

func (r *Repository) sendBy(ctx context.Context, scheme, method, path string, accept []string) (*http.Response, error) {
	at := r.session.repository
	req, err := http.NewRequestWithContext(ctx, method, scheme+"://"+at.RegistryStr()+"/v2/"+at.RepositoryStr()+"/"+path, nil)
	if err != nil {
		return nil, r.upstream.Fail(source.KindInvalid, "the address of the repository is not a URL")
	}
	req.Header.Set("User-Agent", "flotilla")
	for _, mediaType := range accept {
		req.Header.Add("Accept", mediaType)
	}
	r.session.authorize(req)
	return r.session.client.Do(req)
}

func (s *session) speaks() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scheme
}

func (s *session) setSpeaks(scheme string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scheme = scheme
}

// authorize adds what the registry is known to want.
func (s *session) authorize(req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.bearer.good():
		req.Header.Set("Authorization", "Bearer "+s.bearer.token)
		s.bearer.unused = false
	case s.basic:
		c := s.credential
		if s.identity != nil {
			c = s.login.credential()
		}
		req.SetBasicAuth(c.username, c.password)
	}
}

// refused words an answer that is no success.
func (r *Repository) refused(res *http.Response) *source.Error {
	u, s := r.upstream, r.session
	host := s.repository.RegistryStr()
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		switch {
		case s.identity != nil:
			return u.Fail(source.KindAuth, "the registry does not let the hub's own identity pull from %s; give it the right to, and check the name", s.repository.RepositoryStr())
		case s.credential != (credential{}):
			return u.Fail(source.KindAuth, "the registry refuses the credential for %s: check it, and that it may pull", s.repository.RepositoryStr())
		case s.given:
			return u.Fail(source.KindAuth, "the registry wants a credential, and the Secret has no entry for %s", host)
		}
		return u.Fail(source.KindAuth, "the registry wants a credential, or has no such repository: check spec.url, or name a Secret of type kubernetes.io/dockerconfigjson in spec.secretRef")
	case code == http.StatusTooManyRequests:
		return u.Fail(source.KindBusy, "the registry has had too many requests; it is tried again later")
	case code >= 500:
		return u.Fail(source.KindServer, "the registry answered %d (%s); it is tried again", code, http.StatusText(code))
	}
	return u.Fail(source.KindServer, "the registry answered %d (%s); is spec.url that of a registry?", res.StatusCode, http.StatusText(res.StatusCode))
}

// missing words that a manifest is not there: it, or its repository. To tell costs a request, on this path alone.
func (r *Repository) missing(ctx context.Context, reference string) *source.Error {
	what := "tag " + reference
	if digestName.MatchString(reference) {
		what = "digest " + reference
	}
	res, err := r.do(ctx, http.MethodGet, "tags/list?n=1", nil, limit{maxTagsPage, "its list of tags is too long"})
	if err == nil {
		closing(res)
		if res.StatusCode == http.StatusNotFound {
			return r.upstream.Fail(source.KindRepository, "the repository is not there; check spec.url")
		}
	}
	return r.upstream.Fail(source.KindRef, "%s is not in the repository; check spec.ref", what)
}

func isMissing(err error) bool { return errors.Is(err, fleet.ErrNotFound) }

// Explain words what came out of a conversation with a registry. ctx is the caller's; limited the one with the upstream's
// timeout.
func Explain(ctx, limited context.Context, u source.Upstream, err error) error {
	if failure := explainTLS(u, err); failure != nil {
		return failure
	}
	if failure := u.Explain(ctx, limited, err); failure != nil {
		return failure
	}
	return u.Fail(source.KindServer, "the registry's answer was not understood; is spec.url that of a registry?")
}

// explainTLS words what spec.insecure has to do with.
func explainTLS(u source.Upstream, err error) *source.Error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) || err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return u.Fail(source.KindTLS, "the registry does not speak TLS; where that is meant, set spec.insecure: true")
	}
	return nil
}
