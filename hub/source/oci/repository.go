package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
)

// Repository is a repository of a registry. Its errors are worded for people where the registry answered, and for Explain
// where it did not.
type Repository struct {
	session  *session
	upstream source.Upstream
}

// Bounds of what a registry answers.
const (
	maxManifest = 4 << 20
	maxTagsPage = 4 << 20
	maxTags     = 100_000
	maxPages    = 200
)

var (
	tagName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestName = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Name is registry/repository, as signatures know it.
func (r *Repository) Name() string { return r.session.repository.Name() }

// HTTP is a client for addresses that what was pulled names, such as those of revocation lists: it goes by the same policy
// and has no credential.
func (c *Client) HTTP(bytes int64, problem string) *http.Client {
	return c.network.Client(source.ClientConfig{Limit: func(*http.Request) (int64, string) { return bytes, problem }})
}

// Digest is the digest of the manifest that a tag points to now. What was known at asOf or later will do, unless it is zero.
func (r *Repository) Digest(ctx context.Context, tag string, asOf time.Time) (string, error) {
	if known, fresh := r.session.head(tag, asOf); fresh {
		return known, nil
	}
	begun := time.Now()
	res, err := r.do(ctx, http.MethodHead, "manifests/"+tag, manifestTypes, limit{maxManifest, "its manifest"})
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
		manifest, err := r.Manifest(ctx, tag)
		if err != nil {
			return "", err
		}
		found = manifest.Digest.String()
	}
	r.session.setHead(tag, found, begun)
	return found, nil
}

// Manifest returns the manifest of a tag or a digest. One of a digest is of that digest.
func (r *Repository) Manifest(ctx context.Context, reference string) (*Manifest, error) {
	if !tagName.MatchString(reference) && !digestName.MatchString(reference) {
		return nil, r.upstream.Fail(source.KindInvalid, "%q is neither a tag nor a sha256 digest", source.Shown(reference))
	}
	res, err := r.do(ctx, http.MethodGet, "manifests/"+reference, manifestTypes, limit{maxManifest, fmt.Sprintf("its manifest has more than %d MiB", maxManifest>>20)})
	if err != nil {
		return nil, err
	}
	defer closing(res)
	if res.StatusCode == http.StatusNotFound {
		return nil, r.missing(ctx, reference)
	}
	if res.StatusCode != http.StatusOK {
		return nil, r.refused(res)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	found := digest.FromBytes(raw)
	if digestName.MatchString(reference) && found.String() != reference {
		return nil, r.upstream.Fail(source.KindContent, "the registry sent another manifest than the one of %s", reference)
	}
	manifest, err := parseManifest(raw, res.Header.Get("Content-Type"))
	if err != nil {
		return nil, r.upstream.Fail(source.KindContent, "the manifest of %s %s", reference, err)
	}
	manifest.Digest = found
	return manifest, nil
}

// Tags are the names of all tags. What was listed at asOf or later will do, unless it is zero.
func (r *Repository) Tags(ctx context.Context, asOf time.Time) ([]string, error) {
	if known, fresh := r.session.listed(asOf); fresh {
		return known, nil
	}
	begun := time.Now()
	var tags []string
	path := "tags/list?n=1000"
	for page := 0; path != ""; page++ {
		res, err := r.do(ctx, http.MethodGet, path, nil, limit{maxTagsPage, fmt.Sprintf("a page of its list of tags has more than %d MiB", maxTagsPage>>20)})
		if err != nil {
			return nil, err
		}
		var list struct {
			Tags names `json:"tags"`
		}
		path, err = r.page(res, &list)
		if err != nil {
			return nil, err
		}
		for _, tag := range list.Tags {
			if tagName.MatchString(tag) {
				tags = append(tags, tag)
			}
		}
		if len(tags) > maxTags || page >= maxPages {
			return nil, r.upstream.Fail(source.KindLimit, "its list of tags has more than %d names or %d pages; name a tag or a digest in spec.ref", maxTags, maxPages)
		}
	}
	r.session.setListed(tags, begun)
	return tags, nil
}

// page reads a page of a list, and returns the path of the next.
func (r *Repository) page(res *http.Response, list any) (next string, err error) {
	defer closing(res)
	if res.StatusCode == http.StatusNotFound {
		return "", r.upstream.Fail(source.KindRepository, "the repository is not there; check spec.url")
	}
	if res.StatusCode != http.StatusOK {
		return "", r.refused(res)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var many *tooManyError
	if err := json.Unmarshal(raw, list); errors.As(err, &many) {
		return "", r.upstream.Fail(source.KindLimit, "the registry's list %s", many)
	} else if err != nil {
		return "", r.upstream.Fail(source.KindServer, "the registry's list was not understood; is spec.url that of a registry?")
	}
	link := res.Header.Get("Link")
	if link == "" {
		return "", nil
	}
	target, _, found := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	base, parsed := res.Request.URL, (*url.URL)(nil)
	if parsed, err = url.Parse(target); err != nil || !found {
		return "", r.upstream.Fail(source.KindServer, "the registry's list goes on at an address that is none")
	}
	parsed = base.ResolveReference(parsed)
	prefix := "/v2/" + r.session.repository.RepositoryStr() + "/"
	if parsed.Host != base.Host || !strings.HasPrefix(parsed.Path, prefix) || parsed.User != nil {
		return "", r.upstream.Fail(source.KindRedirect, "the registry's list goes on at another host, which is not followed")
	}
	return strings.TrimPrefix(parsed.Path, prefix) + "?" + parsed.RawQuery, nil
}

// Referrers are the manifests that refer to the one of the digest and are of the type, at most 100 of them.
func (r *Repository) Referrers(ctx context.Context, subject, artifactType string) ([]ocispec.Descriptor, error) {
	var index struct {
		Manifests descriptors `json:"manifests"`
	}
	res, err := r.do(ctx, http.MethodGet, "referrers/"+subject+"?artifactType="+url.QueryEscape(artifactType), []string{ocispec.MediaTypeImageIndex}, limit{maxManifest, "its list of referrers is too long"})
	if err != nil {
		return nil, err
	}
	switch {
	case res.StatusCode == http.StatusOK:
		if _, err := r.page(res, &index); err != nil {
			return nil, err
		}
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden, res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		closing(res)
		return nil, r.refused(res)
	default: // a registry from before there were referrers has them as an index by that tag
		closing(res)
		manifest, err := r.Manifest(ctx, strings.Replace(subject, ":", "-", 1))
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		index.Manifests = manifest.Manifests
	}
	var found []ocispec.Descriptor
	for _, d := range index.Manifests {
		if d.ArtifactType == artifactType && digestName.MatchString(d.Digest.String()) && len(found) < maxReferrers {
			found = append(found, d)
		}
	}
	return found, nil
}

const maxReferrers = 100

// Blob opens a blob. Its end is an error unless size and digest are those of the descriptor.
func (r *Repository) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if !digestName.MatchString(d.Digest.String()) {
		return nil, r.upstream.Fail(source.KindContent, "the manifest names a blob by %q, which is not a sha256 digest", source.Shown(d.Digest.String()))
	}
	if d.Size < 0 {
		return nil, r.upstream.Fail(source.KindContent, "the manifest says that blob %s has %d bytes", d.Digest, d.Size)
	}
	// One byte more, so that a blob that is too long is seen.
	res, err := r.do(ctx, http.MethodGet, "blobs/"+d.Digest.String(), nil, limit{d.Size + 1, fmt.Sprintf("blob %s has more than the %d bytes that the manifest says", d.Digest, d.Size)})
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusNotFound {
		closing(res)
		return nil, r.upstream.Fail(source.KindContent, "blob %s, which the manifest names, is not there; push the artifact again", d.Digest)
	}
	if res.StatusCode != http.StatusOK {
		closing(res)
		return nil, r.refused(res)
	}
	return &verified{ReadCloser: res.Body, of: r, want: d, sum: sha256.New()}, nil
}

// ReadBlob returns a blob that may have that many bytes.
func (r *Repository) ReadBlob(ctx context.Context, d ocispec.Descriptor, most int64) ([]byte, error) {
	if d.Size > most {
		return nil, r.upstream.Fail(source.KindLimit, "blob %s has %d bytes; one of its kind may have %d", d.Digest, d.Size, most)
	}
	blob, err := r.Blob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = blob.Close() }()
	var out bytes.Buffer
	_, err = io.Copy(&out, blob)
	return out.Bytes(), err
}

// verified compares a blob with its descriptor as it is read.
type verified struct {
	io.ReadCloser
	of    *Repository
	want  ocispec.Descriptor
	sum   hash.Hash
	count int64
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.ReadCloser.Read(p)
	v.count += int64(n)
	_, _ = v.sum.Write(p[:n])
	switch {
	case v.count > v.want.Size:
		return 0, v.of.upstream.Fail(source.KindContent, "blob %s has more than the %d bytes that the manifest says", v.want.Digest, v.want.Size)
	case err == io.EOF && v.count < v.want.Size:
		return n, v.of.upstream.Fail(source.KindContent, "blob %s ended after %d of %d bytes; it is tried again", v.want.Digest, v.count, v.want.Size)
	case err == io.EOF && "sha256:"+hex.EncodeToString(v.sum.Sum(nil)) != v.want.Digest.String():
		return n, v.of.upstream.Fail(source.KindContent, "what the registry sent as blob %s is not of that digest", v.want.Digest)
	}
	return n, err
}

func closing(res *http.Response) { _ = res.Body.Close() }

func (s *session) head(tag string, asOf time.Time) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, there := s.heads[tag]
	return known.digest, there && !asOf.IsZero() && !known.asOf.Before(asOf)
}

// maxHeads bounds what is remembered of tags.
const maxHeads = 1000

func (s *session) setHead(tag, digest string, asOf time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads) >= maxHeads {
		clear(s.heads)
	}
	s.heads[tag] = head{digest, asOf}
}

func (s *session) listed(asOf time.Time) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tags, !asOf.IsZero() && !s.tagsAsOf.Before(asOf)
}

func (s *session) setListed(tags []string, asOf time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tags, s.tagsAsOf = tags, asOf
}

// Raw returns a manifest as it is, and its descriptor.
func (r *Repository) Raw(ctx context.Context, reference string) (ocispec.Descriptor, []byte, error) {
	m, err := r.Manifest(ctx, reference)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Raw))}, m.Raw, nil
}
