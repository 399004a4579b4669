package oci

import (
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
	// hasSecrets: Secrets for credentials are there, whether or not one is for this registry.
	hasSecrets bool
	identity   Identity
	// client speaks to the registry, tokens to the service that gives tokens.
	client, tokens *http.Client

	// key is its name; lists are what its registry has been seen to list, under that.
	key   string
	lists *source.Recent[string, listing]
	heads *source.Recent[string, head]

	mu sync.Mutex
	// scheme is what the registry speaks, once that is known.
	scheme string
	// basic: the registry wants the credential with each request.
	basic  bool
	bearer bearer
	login  login
}

// listing is the tags that were listed.
type listing struct {
	tags []string
	asOf time.Time
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

// redirect follows a blob to where it is, which is another host more often than not, with nothing that is for the registry
// alone. What is not a blob stays at the registry.
func (s *session) redirect(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Scheme == first.Scheme && req.URL.Host == first.Host {
		return source.SameHost(req, via)
	}
	blob := strings.Contains(first.Path, "/blobs/")
	plain := req.URL.Scheme != "https" && !s.insecure
	if !blob || plain || req.URL.User != nil || len(via) > source.MaxRedirects {
		return source.SameHost(req, via)
	}
	req.Header.Del("Authorization")
	req.Header.Del("Cookie")
	req.Header.Del("Referer")
	return nil
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

// head is what a tag pointed to at asOf or later, if that is known.
func (s *session) head(tag string, asOf time.Time) (string, bool) {
	known, there := s.heads.Get(tag)
	return known.digest, there && !asOf.IsZero() && !known.asOf.Before(asOf)
}

// maxHeads bounds what is remembered of tags.
const maxHeads = 1000

func (s *session) setHead(tag, digest string, asOf time.Time) {
	s.heads.Put(tag, head{digest, asOf}, 1)
}

// listed are the tags that there were at asOf or later, if that is known.
func (s *session) listed(asOf time.Time) ([]string, bool) {
	known, there := s.lists.Get(s.key)
	return known.tags, there && !asOf.IsZero() && !known.asOf.Before(asOf)
}

// ofList is what a list takes beside its tags, in tags.
const ofList = 4

func (s *session) setListed(tags []string, asOf time.Time) {
	s.lists.Put(s.key, listing{tags, asOf}, ofList+len(tags))
}
