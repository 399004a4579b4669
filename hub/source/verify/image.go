package verify

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore-go/pkg/root"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// Config is what a Verifier needs.
type Config struct {
	// TrustedRoot is whom keyless signatures are trusted by where a Source does not say: Sigstore's trusted_root.json; nil:
	// such a Source has to say.
	TrustedRoot []byte
	// HTTP asks whether certificates were revoked, at the addresses that they name.
	HTTP *http.Client
}

// Verifier verifies signatures of what registries hold.
type Verifier struct {
	trusted *root.TrustedRoot
	http    *http.Client
}

// New returns a Verifier. A trusted root that is none is fleet.ErrInvalid.
func New(config Config) (*Verifier, error) {
	if config.HTTP == nil {
		return nil, fmt.Errorf("signatures: %w: no HTTP client", fleet.ErrInvalid)
	}
	v := &Verifier{http: config.HTTP}
	if config.TrustedRoot != nil {
		trusted, err := root.NewTrustedRootFromJSON(config.TrustedRoot)
		if err != nil {
			return nil, fmt.Errorf("signatures: %w: the trusted root (--trusted-root) is not one of Sigstore's (trusted_root.json)", fleet.ErrInvalid)
		}
		v.trusted = trusted
	}
	return v, nil
}

// Registry is the repository in which an artifact and its signatures are. What is not there is fleet.ErrNotFound.
type Registry interface {
	// Name is registry/repository.
	Name() string
	// Raw returns a manifest by tag or digest, and its descriptor. One of a digest is of that digest.
	Raw(ctx context.Context, reference string) (ocispec.Descriptor, []byte, error)
	// Referrers are the manifests of a type that refer to the one of the digest.
	Referrers(ctx context.Context, subject, artifactType string) ([]ocispec.Descriptor, error)
	// ReadBlob returns a blob that may have so many bytes, which is of its descriptor's digest.
	ReadBlob(ctx context.Context, d ocispec.Descriptor, most int64) ([]byte, error)
}

// Image verifies the manifest of the digest ("sha256:HEX"), as spec says, and returns whose signature it found, in words for
// people; they are empty where a trust policy lets pass what has no good one. Secrets are those of verify.secretRef and
// verify.trustedRootSecretRef. A signature that is missing or wrong is a KindSignature error, and so is
// a Secret that will not do; what the registry answers is
// returned as it is.
func (v *Verifier) Image(ctx context.Context, u source.Upstream, registry Registry, digest string, spec flux.OCIVerify, secrets source.Secrets) (whose string, err error) {
	defer func() {
		// What libraries do with the signatures of strangers must not end the hub.
		if recover() != nil {
			whose, err = "", u.Fail(source.KindSignature, "the signatures of %s are such that they could not be verified; remove those that are broken", digest)
		}
	}()
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil || len(sum) != 32 || !strings.HasPrefix(digest, "sha256:") {
		return "", u.Fail(source.KindInvalid, "a signature can be verified for a sha256 digest alone")
	}
	c := check{upstream: u, registry: registry, digest: digest, sum: sum}
	switch spec.Provider {
	case flux.Notation:
		return v.notation(ctx, c, secrets)
	case flux.Cosign, "":
		return v.cosign(ctx, c, spec, secrets)
	}
	return "", u.Fail(source.KindInvalid, "spec.verify.provider %q is not cosign or notation", spec.Provider)
}

// badSecret is the failure of a Secret that nothing can be verified by. It is no fault of the spec, which may be as it was when
// the Secret is mended, so it is tried again: as what is signed wrongly is, of which it has the reason in Flux.
func badSecret(u source.Upstream, field, format string, args ...any) error {
	return u.Fail(source.KindSignature, "spec.verify.%s: %s", field, fmt.Sprintf(format, args...))
}

// check is one verification.
type check struct {
	upstream source.Upstream
	registry Registry
	digest   string // sha256:HEX
	sum      []byte
	// seen are the signatures that were looked at, flaws what was wrong with them.
	seen  int
	flaws []string
}

// flaw records why a signature does not count, for people.
func (c *check) flaw(why string) {
	if !slices.Contains(c.flaws, why) && len(c.flaws) < maxFlaws {
		c.flaws = append(c.flaws, why)
	}
}

const maxFlaws = 5

// none says that no signature was good, and what was expected.
func (c *check) none(expected string) error {
	if c.seen == 0 {
		return c.upstream.Fail(source.KindSignature, "there is no signature of %s, and %s is expected; sign it, or push its signature to this repository", c.digest, expected)
	}
	return c.upstream.Fail(source.KindSignature, "%s has no signature that is good, and %s is expected; %d looked at: %s", c.digest, expected, c.seen, strings.Join(c.flaws, "; "))
}

// absent tells that something is not in the registry from other errors.
func absent(err error) bool { return errors.Is(err, fleet.ErrNotFound) }
