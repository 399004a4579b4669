package oci

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"flotilla.dev/flotilla/hub/source"
)

// session is what conversations with a repository, by one credential, have in common.
type session struct {
	repository name.Repository
	insecure   bool
	credential credential
	// given: Secrets for credentials are there, whether or not one is for this registry.
	given    bool
	identity Identity
	// client speaks to the registry, tokens to the service that gives tokens.
	client, tokens *http.Client
	used           time.Time // guarded by the Client

	mu sync.Mutex
	// scheme is what the registry speaks, once that is known.
	scheme string
	// basic: the registry wants the credential with each request.
	basic  bool
	bearer bearer
	login  login

	tags     []string
	tagsAsOf time.Time
	heads    map[string]head
}

// head is what a tag pointed to.
type head struct {
	digest string
	asOf   time.Time
}

// bearer is a token of the registry's token service.
type bearer struct {
	token string
	until time.Time
	// unused: it is for the request that it was asked for, however short its time.
	unused bool
}

func (b bearer) good() bool { return b.token != "" && (b.unused || time.Now().Before(b.until)) }

// connect makes the HTTP clients.
func (s *session) connect(shared transports) {
	s.scheme = "https"
	if s.insecure {
		s.scheme = ""
	}
	s.client = &http.Client{
		Transport: &byHost{host: s.repository.RegistryStr(), transports: shared}, CheckRedirect: s.redirect,
	}
	s.tokens = &http.Client{Transport: shared.registry, CheckRedirect: source.SameHost}
}

// byHost sends requests to the registry by one transport, and those to other hosts by another.
type byHost struct {
	host string
	transports
}

func (t *byHost) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == t.host {
		return t.registry.RoundTrip(req)
	}
	return t.elsewhere.RoundTrip(req)
}

// maxRedirects is how often a blob may be elsewhere.
const maxRedirects = 5

// redirect follows a blob to where it is, which is another host more often than not, with nothing that is for the registry
// alone. What is not a blob stays at the registry.
func (s *session) redirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Scheme == first.Scheme && req.URL.Host == first.Host {
		return source.SameHost(req, via)
	}
	blob := strings.Contains(first.Path, "/blobs/")
	plain := req.URL.Scheme != "https" && !s.insecure
	if !blob || plain || req.URL.User != nil || len(via) > maxRedirects {
		return source.SameHost(req, via)
	}
	req.Header.Del("Authorization")
	req.Header.Del("Cookie")
	req.Header.Del("Referer")
	return nil
}

// limitKey is of a context that says how large an answer may be.
type limitKey struct{}

type limit struct {
	bytes   int64
	problem string
}

func withLimit(ctx context.Context, bytes int64, problem string) context.Context {
	return context.WithValue(ctx, limitKey{}, limit{bytes, problem})
}

// answerLimit is the limit of the request's context.
func answerLimit(req *http.Request) (int64, string) {
	l, _ := req.Context().Value(limitKey{}).(limit)
	return l.bytes, l.problem
}
