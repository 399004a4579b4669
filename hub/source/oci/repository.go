package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
)

// repository is a repository of a registry. Its errors are worded for people where the registry answered, and for explain
// where it did not.
type repository struct {
	session  *session
	upstream source.Upstream
}

// maxManifest bounds what a registry sends as one.
const maxManifest = 4 << 20

var (
	tagName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestName = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Name is registry/repository, as signatures know it.
func (r *repository) Name() string { return r.session.repository.Name() }

// digest is the digest of the manifest that a tag points to now. What was known at asOf or later will do, unless it is zero.
func (r *repository) digest(ctx context.Context, tag string, asOf time.Time) (string, error) {
	if known, fresh := r.session.head(tag, asOf); fresh {
		return known, nil
	}
	begun := time.Now()
	res, err := r.do(ctx, http.MethodHead, "manifests/"+tag, manifestTypes, limit{})
	if err != nil {
		return "", err
	}
	_ = res.Body.Close()
	found := res.Header.Get("Docker-Content-Digest")
	switch {
	case res.StatusCode == http.StatusOK && digestName.MatchString(found):
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden,
		res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		return "", r.refused(res)
	default: // as Flux does: there are registries that know no HEAD, or say no digest
		manifest, err := r.manifest(ctx, tag)
		if err != nil {
			return "", err
		}
		found = manifest.Digest.String()
	}
	r.session.setHead(tag, found, begun)
	return found, nil
}

// manifest returns the manifest of a tag or a digest. One of a digest is of that digest.
func (r *repository) manifest(ctx context.Context, reference string) (*Manifest, error) {
	raw, contentType, err := r.unread(ctx, reference)
	if err != nil {
		return nil, err
	}
	manifest, err := parseManifest(raw, contentType)
	if err != nil {
		return nil, r.upstream.Fail(source.KindContent, "the manifest of %s %s", reference, err)
	}
	return manifest, nil
}

// Raw returns a manifest as it is, and its descriptor. What it says is for whoever asked to read.
func (r *repository) Raw(ctx context.Context, reference string) (ocispec.Descriptor, []byte, error) {
	raw, contentType, err := r.unread(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	var says struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(raw, &says) // see above
	return ocispec.Descriptor{MediaType: mediaType(says.MediaType, contentType), Digest: digest.FromBytes(raw), Size: int64(len(raw))}, raw, nil
}

// unread is what the registry sends as a manifest, as it is.
func (r *repository) unread(ctx context.Context, reference string) (raw []byte, contentType string, err error) {
	if !tagName.MatchString(reference) && !digestName.MatchString(reference) {
		return nil, "", r.upstream.Fail(source.KindInvalid, "%q is neither a tag nor a sha256 digest", source.Shown(reference))
	}
	res, err := r.do(ctx, http.MethodGet, "manifests/"+reference, manifestTypes, limit{maxManifest, fmt.Sprintf("its manifest has more than %d MiB", maxManifest>>20)})
	if err != nil {
		return nil, "", err
	}
	defer closing(res)
	if res.StatusCode == http.StatusNotFound {
		return nil, "", r.missing(ctx, reference)
	}
	if res.StatusCode != http.StatusOK {
		return nil, "", r.refused(res)
	}
	if raw, err = io.ReadAll(res.Body); err != nil {
		return nil, "", err
	}
	if digestName.MatchString(reference) && digest.FromBytes(raw).String() != reference {
		return nil, "", r.upstream.Fail(source.KindContent, "the registry sent another manifest than the one of %s", reference)
	}
	return raw, res.Header.Get("Content-Type"), nil
}
