package source

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"

	"flotilla.dev/flotilla/pkg/artifact"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Fetcher brings what Sources declare. Errors that say what a person can do are an *Error.
type Fetcher interface {
	// Resolve asks upstream what the spec points to now, cheaply.
	Resolve(ctx context.Context, u Upstream) (Found, error)
	// Fetch brings what was found as a Tree: verified, ignore-filtered, limits checked; only blobs that the store lacks
	// are written.
	Fetch(ctx context.Context, u Upstream, found Found) (*Artifact, error)
}

// Upstream is what is asked: all that declared Sources with the same spec and credentials have in common.
type Upstream struct {
	// ID is a stable key of all that an artifact follows from but for what upstream holds: kind, spec, secrets, and the
	// same of the inputs.
	ID string
	// Remote is a stable key of whom the conversation is with: kind, URL and secrets. Upstreams with the same Remote
	// share one mirror and one list.
	Remote string
	// Kind is the declared kind, "GitRepository".
	Kind string
	// URL of upstream, without user and password, for errors and for hosts' limits.
	URL string
	// Spec is the kind's spec of package flux, by value.
	Spec any
	// Secrets are what the references of the spec hold, or what stands in for them.
	Secrets Secrets
	// Identity: the hub's own identity at a cloud may be used, for spec.provider.
	Identity bool
	// Within is the URL prefix that an administrator gave the Secrets or the identity for: to what is elsewhere, at the same
	// host even, they do not go along. Empty: they are the Source's own.
	Within string
	// Party is the tenant that asks, whose turn at the host it is.
	Party string
	// Timeout of one Resolve or Fetch; zero is 60 s, Flux's default. More than maxTimeout is that.
	Timeout time.Duration
	// AsOf lets what was listed of the Remote since then do; zero: nothing.
	AsOf time.Time
	// Inputs are the other Sources that the artifact is made of.
	Inputs []Input
	// Repositories are the HelmRepositories of the namespace, whose credentials a chart's dependencies are fetched with.
	Repositories []Upstream
}

// Secrets are the keys of Secrets, by the path of the field that names one, below spec: "secretRef",
// "verify.secretRef".
type Secrets map[string]map[string][]byte

// Input is another Source, and what was fetched of it last.
type Input struct {
	// Field is the path of the field that names it, below spec: "sourceRef", "include[0].repository".
	Field string
	// Name of the Source, which is of the same namespace.
	Name string
	Upstream
	// Revision and Tree are zero as long as nothing was fetched.
	Revision fleet.Revision
	Tree     fleet.Digest
	// TreeBlob is the digest of the Tree's encoding, which is a blob.
	TreeBlob fleet.Digest
}

// Found is what an artifact follows from beside its Upstream. While it stays the same, so does the artifact.
type Found struct {
	Revision fleet.Revision
	// Inputs names what of the inputs is in the artifact and not in the Revision; zero: nothing.
	Inputs fleet.Digest
}

// Artifact is what was fetched. A packaged chart, a layer that is not extracted or a repository's index is a Tree of one
// file.
type Artifact struct {
	Tree *artifact.Tree
	// Detail is for the Source's status.
	Detail fleet.ArtifactDetail
}

// defaultTimeout is Flux's.
const defaultTimeout = time.Minute

// maxTimeout bounds what a Source may ask for: a conversation takes a place at the hub and at the host.
const maxTimeout = 15 * time.Minute

// TimeLimit is the Timeout within its bound, or the default.
func (u Upstream) TimeLimit() time.Duration {
	return min(cmp.Or(u.Timeout, defaultTimeout), maxTimeout)
}

// Kinds are the Fetchers by kind; it is one itself.
type Kinds map[string]Fetcher

var _ Fetcher = Kinds{}

// Resolve implements Fetcher.
func (k Kinds) Resolve(ctx context.Context, u Upstream) (Found, error) {
	fetcher, err := k.of(u)
	if err != nil {
		return Found{}, err
	}
	return fetcher.Resolve(ctx, u)
}

// Fetch implements Fetcher.
func (k Kinds) Fetch(ctx context.Context, u Upstream, found Found) (*Artifact, error) {
	fetcher, err := k.of(u)
	if err != nil {
		return nil, err
	}
	return fetcher.Fetch(ctx, u, found)
}

func (k Kinds) of(u Upstream) (Fetcher, error) {
	fetcher, found := k[u.Kind]
	if !found {
		return nil, fmt.Errorf("%w: nothing is fetched for a %s", fleet.ErrInvalid, u.Kind)
	}
	return fetcher, nil
}

// Redact is a URL as it may be shown: without user, password and query.
func Redact(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "(a malformed URL)"
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}

// Static reports whether nothing is ever fetched for the spec: a HelmRepository of a registry only says where charts are, and
// an ExternalArtifact is pushed.
func Static(spec any) bool {
	switch spec := spec.(type) {
	case flux.HelmRepository:
		return spec.Type == flux.HelmRepositoryOCI
	case flux.ExternalArtifact:
		return true
	}
	return false
}
