package oci

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/flux"
)

// client is the hub's side of conversations with registries. What was learnt in one (tokens, which scheme is spoken, the
// list of tags) is there for the next.
type client struct {
	network    *source.Network
	identities map[string]Identity

	sessions *source.Recent[string, *session]
	// lists are of tags, by session.
	lists *source.Recent[string, listing]
	// transports have the connections that sessions share, by what Secrets say of TLS and of a proxy.
	transports *source.Recent[string, transports]
}

// Bounds of what is remembered.
const (
	maxSessions = 1000
	// maxListed is how many tags are remembered over all sessions: some 60 MiB.
	maxListed = 500_000
	// maxTransports bounds the connections that are kept for reuse; a session keeps its own as long as it lives.
	maxTransports = 200
)

func newClient(network *source.Network, identities map[string]Identity) *client {
	return &client{
		network: network, identities: identities, sessions: source.NewRecent[string, *session](maxSessions),
		lists: source.NewRecent[string, listing](maxListed), transports: source.NewRecent[string, transports](maxTransports),
	}
}

// access says which repository is meant, and how it is reached.
type access struct {
	// URL is oci://host/path.
	URL string
	// Insecure also allows a certificate that is not verified, and plain HTTP.
	Insecure bool
	// Provider of the hub's own identity: aws, azure or gcp; empty or generic: none.
	Provider string
	// ServiceAccountName is what the Secrets of that name in the upstream come from.
	ServiceAccountName string
}

// open returns the repository. It asks nothing of it yet. The upstream's Secrets count: secretRef, serviceAccountName[N],
// certSecretRef and proxySecretRef.
func (c *client) open(u source.Upstream, a access) (*repository, error) {
	if problem := flux.OCIURLProblem(a.URL); problem != "" {
		return nil, u.Fail(source.KindInvalid, "the address of the repository %s", problem)
	}
	named, err := name.NewRepository(strings.TrimPrefix(a.URL, "oci://"))
	if err != nil {
		return nil, u.Fail(source.KindInvalid, "the address of the repository is not one of a registry; it is oci://host/path")
	}
	if _, err := u.Proxy(); err != nil { // which no session that is there has looked for
		return nil, err
	}
	key := sessionKey(named.Name(), a, u)
	s, err := c.sessions.GetOr(key, func() (*session, error) { return c.newSession(key, u, a, named) })
	if err != nil {
		return nil, err
	}
	return &repository{session: s, upstream: u}, nil
}

// http is a client for addresses that what was pulled names, such as those of revocation lists: it goes by the same policy
// and has no credential.
func (c *client) http(bytes int64, problem string) *http.Client {
	return c.network.Client(source.ClientConfig{Limit: func(*http.Request) (int64, string) { return bytes, problem }})
}

// sessionKey names everything that a session is made of, so that another credential is another session.
func sessionKey(repository string, a access, u source.Upstream) string {
	return keyOf(u, func(field string) bool {
		return field == secretRef || strings.HasPrefix(field, "serviceAccountName[") || connects(field)
	}, repository, fmt.Sprint(a.Insecure, u.Identity), a.Provider, a.ServiceAccountName)
}

// connects says whether a Secret has to do with the connection.
func connects(field string) bool { return field == certSecretRef || field == proxySecretRef }

// The fields that name Secrets.
const (
	secretRef      = "secretRef"
	certSecretRef  = "certSecretRef"
	proxySecretRef = "proxySecretRef"
)

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

func (c *client) newSession(key string, u source.Upstream, a access, named name.Repository) (*session, error) {
	s := &session{repository: named, insecure: a.Insecure, key: key, lists: c.lists, heads: source.NewRecent[string, head](maxHeads)}
	if err := c.credentials(s, u, a); err != nil {
		return nil, err
	}
	shared, err := c.transports.GetOr(keyOf(u, connects, fmt.Sprint(a.Insecure), u.Route()), func() (transports, error) { return c.connect(u, a) })
	if err != nil {
		return nil, err
	}
	s.connect(shared)
	return s, nil
}

// transports are how a registry is spoken to, and how blobs are had from elsewhere: a client's certificate is for the registry
// and its token service alone.
type transports struct{ registry, elsewhere http.RoundTripper }

// connect makes the transports for what the Secrets say.
func (c *client) connect(u source.Upstream, a access) (transports, error) {
	trust, err := u.TLS(certSecretRef)
	if err != nil {
		return transports{}, err
	}
	if trust == nil && a.Insecure {
		trust = &tls.Config{InsecureSkipVerify: true} // as Flux has it: insecure, and nothing said of whom to trust
	}
	proxy, err := u.Proxy()
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
	return made, nil
}

// credentials finds what to log in with.
func (c *client) credentials(s *session, u source.Upstream, a access) error {
	var err error
	s.credential, s.hasSecrets, err = fromSecrets(u, s.repository)
	if err != nil {
		return err
	}
	if s.hasSecrets || a.Provider == "" || a.Provider == "generic" {
		return nil // as in Flux, Secrets go before the identity
	}
	s.identity = c.identities[a.Provider]
	switch {
	case s.identity == nil:
		return u.Fail(source.KindInvalid, "%s %q is not one of a registry", u.Field("provider"), a.Provider)
	case a.ServiceAccountName != "":
		return u.Fail(source.KindInvalid, "spec.serviceAccountName has no imagePullSecrets, and the hub has no identity of a ServiceAccount at a cloud: remove it, or give it imagePullSecrets")
	case !u.Identity:
		return u.Fail(source.KindAuth, "%s is the hub's own identity, which is used only where a Credential of an administrator grants it for this address and namespace; ask for one, or use %s", u.Field("provider"), u.Field(secretRef))
	}
	return nil
}
