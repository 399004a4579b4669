package oci

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Client is the hub's side of conversations with registries. What was learnt in one (tokens, which scheme is spoken, the
// list of tags) is there for the next.
type Client struct {
	network    *source.Network
	identities map[string]Identity

	mu       sync.Mutex
	sessions map[string]*session
	// transports have the connections that sessions share, by what Secrets say of TLS and of a proxy.
	transports map[string]transports
}

// ClientConfig is what a Client needs.
type ClientConfig struct {
	Network *source.Network
	// Identities log in to a cloud's registries as the hub, by spec.provider; nil: those of aws, azure and gcp.
	Identities map[string]Identity
}

// NewClient returns a Client.
func NewClient(config ClientConfig) (*Client, error) {
	if config.Network == nil {
		return nil, fmt.Errorf("registries: %w: no network", fleet.ErrInvalid)
	}
	if config.Identities == nil {
		config.Identities = clouds(config.Network)
	}
	return &Client{network: config.Network, identities: config.Identities, sessions: map[string]*session{}, transports: map[string]transports{}}, nil
}

// Access says which repository is meant, and how it is reached.
type Access struct {
	// URL is oci://host/path.
	URL string
	// Insecure also allows a certificate that is not verified, and plain HTTP.
	Insecure bool
	// Provider of the hub's own identity: aws, azure or gcp; empty or generic: none.
	Provider string
	// ServiceAccountName is what the Secrets of that name in the upstream come from.
	ServiceAccountName string
}

// Open returns the repository. It asks nothing of it yet. The upstream's Secrets count: secretRef, serviceAccountName[N],
// certSecretRef and proxySecretRef.
func (c *Client) Open(u source.Upstream, a Access) (*Repository, error) {
	if problem := flux.OCIURLProblem(a.URL); problem != "" {
		return nil, u.Fail(source.KindInvalid, "the address of the repository %s", problem)
	}
	repository, err := name.NewRepository(strings.TrimPrefix(a.URL, "oci://"))
	if err != nil {
		return nil, u.Fail(source.KindInvalid, "the address of the repository is not one of a registry; it is oci://host/path")
	}
	key := sessionKey(repository.Name(), a, u)
	c.mu.Lock()
	s := c.sessions[key]
	c.mu.Unlock()
	if s == nil {
		if s, err = c.newSession(u, a, repository); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.sessions[key]; other != nil {
		s = other
	}
	c.sessions[key] = s
	s.used = time.Now()
	c.retire()
	c.forgetTags(maxListed)
	return &Repository{session: s, upstream: u}, nil
}

// maxSessions bounds what is remembered.
const maxSessions = 1000

// retire forgets the session that was used least lately, when there are too many.
func (c *Client) retire() {
	if len(c.sessions) <= maxSessions {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(c.sessions)), func(a, b string) int {
		return c.sessions[a].used.Compare(c.sessions[b].used)
	})
	delete(c.sessions, oldest)
}

// maxListed is how many tags are remembered over all sessions: some 60 MiB.
const maxListed = 500_000

// forgetTags lets the lists of tags go that were not used for longest, where all together have more than most. The list of
// one alone is kept.
func (c *Client) forgetTags(most int) {
	total := 0
	for i, s := range slices.SortedFunc(maps.Values(c.sessions), func(a, b *session) int { return b.used.Compare(a.used) }) {
		s.mu.Lock()
		if total += len(s.tags); total > most && i > 0 {
			s.tags, s.tagsAsOf = nil, time.Time{}
		}
		s.mu.Unlock()
	}
}

// Close lets idle connections go. A Client can be used on.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		for _, transport := range []http.RoundTripper{t.registry, t.elsewhere} {
			(&http.Client{Transport: transport}).CloseIdleConnections()
		}
	}
}

// sessionKey names everything that a session is made of, so that another credential is another session.
func sessionKey(repository string, a Access, u source.Upstream) string {
	return keyOf(u, func(field string) bool {
		return field == "secretRef" || strings.HasPrefix(field, "serviceAccountName[") || connects(field)
	}, repository, fmt.Sprint(a.Insecure, u.Identity), a.Provider, a.ServiceAccountName)
}

// connects says whether a Secret has to do with the connection.
func connects(field string) bool { return field == "certSecretRef" || field == "proxySecretRef" }

// keyOf names some Secrets' contents, and what else is given.
func keyOf(u source.Upstream, counts func(field string) bool, others ...string) string {
	sum := sha256.New()
	part := func(text string) { _, _ = fmt.Fprintf(sum, "%d:%s", len(text), text) }
	for _, other := range others {
		part(other)
	}
	for _, field := range slices.Sorted(maps.Keys(u.Secrets)) {
		if !counts(field) {
			continue
		}
		part(field)
		for _, key := range slices.Sorted(maps.Keys(u.Secrets[field])) {
			part(key)
			part(string(u.Secrets[field][key]))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (c *Client) newSession(u source.Upstream, a Access, repository name.Repository) (*session, error) {
	s := &session{repository: repository, insecure: a.Insecure, heads: map[string]head{}}
	if err := c.credentials(s, u, a); err != nil {
		return nil, err
	}
	shared, err := c.connect(u, a)
	if err != nil {
		return nil, err
	}
	s.connect(shared)
	return s, nil
}

// transports are how a registry is spoken to, and how blobs are had from elsewhere: a client's certificate is for the registry
// and its token service alone.
type transports struct{ registry, elsewhere http.RoundTripper }

// maxTransports bounds the connections that are kept for reuse; a session keeps its own as long as it lives.
const maxTransports = 200

// connect returns the transports for what the Secrets say.
func (c *Client) connect(u source.Upstream, a Access) (transports, error) {
	key := keyOf(u, connects, fmt.Sprint(a.Insecure), u.Route())
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, there := c.transports[key]; there {
		return known, nil
	}
	trust, proxy, err := connection(u, a)
	if err != nil {
		return transports{}, err
	}
	config := source.ClientConfig{TLS: trust, Proxy: proxy, Route: u.Route(), Limit: answerLimit}
	made := transports{registry: c.network.Transport(config)}
	made.elsewhere = made.registry
	if trust != nil && len(trust.Certificates) > 0 {
		config.TLS = trust.Clone()
		config.TLS.Certificates = nil
		made.elsewhere = c.network.Transport(config)
	}
	if len(c.transports) >= maxTransports {
		clear(c.transports)
	}
	c.transports[key] = made
	return made, nil
}

// connection is what the Secrets say of TLS and of a proxy.
func connection(u source.Upstream, a Access) (trust *tls.Config, proxy *url.URL, err error) {
	certs := u.Secrets["certSecretRef"]
	trust, err = source.TLSConfig(certs["ca.crt"], certs["tls.crt"], certs["tls.key"])
	if err != nil {
		return nil, nil, u.Fail(source.KindAuth, "spec.certSecretRef: %s", err)
	}
	if certs != nil && trust == nil {
		return nil, nil, u.Fail(source.KindAuth, "spec.certSecretRef: the Secret has none of ca.crt, tls.crt and tls.key")
	}
	if trust == nil && a.Insecure {
		trust = &tls.Config{InsecureSkipVerify: true} // as Flux has it: insecure, and nothing said of whom to trust
	}
	if secret := u.Secrets["proxySecretRef"]; secret != nil {
		if proxy, err = source.ProxyURL(secret); err != nil {
			return nil, nil, u.Fail(source.KindAuth, "%s", err)
		}
	}
	return trust, proxy, nil
}

// credentials finds what to log in with.
func (c *Client) credentials(s *session, u source.Upstream, a Access) error {
	var err error
	s.credential, s.given, err = fromSecrets(u, s.repository)
	if err != nil {
		return err
	}
	if s.given || a.Provider == "" || a.Provider == "generic" {
		return nil // as in Flux, Secrets go before the identity
	}
	s.identity = c.identities[a.Provider]
	switch {
	case s.identity == nil:
		return u.Fail(source.KindInvalid, "spec.provider %q is not one of a registry", a.Provider)
	case a.ServiceAccountName != "":
		return u.Fail(source.KindInvalid, "spec.serviceAccountName has no imagePullSecrets, and the hub has no identity of a ServiceAccount at a cloud: remove it, or give it imagePullSecrets")
	case !u.Identity:
		return u.Fail(source.KindAuth, "spec.provider is the hub's own identity, which is used only where a Credential of an administrator grants it for this address and namespace; ask for one, or use spec.secretRef")
	}
	return nil
}
