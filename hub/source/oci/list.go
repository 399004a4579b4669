package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"flotilla.dev/flotilla/hub/source"
)

// Bounds of a list of tags.
const (
	maxTagsPage = 4 << 20
	maxTags     = 100_000
	maxPages    = 200
)

// tags are the names of all tags. What was listed at asOf or later will do, unless it is zero.
func (r *repository) tags(ctx context.Context, asOf time.Time) ([]string, error) {
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
			return nil, r.upstream.Fail(source.KindLimit, "its list of tags has more than %d names or %d pages; %s", maxTags, maxPages, wordsOf(r.upstream).naming)
		}
	}
	r.session.setListed(tags, begun)
	return tags, nil
}

// page reads a page of a list, and returns the path of the next.
func (r *repository) page(res *http.Response, list any) (next string, err error) {
	defer closing(res)
	if res.StatusCode == http.StatusNotFound {
		return "", r.noRepository()
	}
	if res.StatusCode != http.StatusOK {
		return "", r.refused(res)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var many *tooManyError
	if err := json.Unmarshal(raw, list); errors.As(err, &many) && many.what == ofTags {
		return "", r.upstream.Fail(source.KindLimit, "the registry's list %s; %s", many, wordsOf(r.upstream).naming)
	} else if many != nil {
		return "", r.upstream.Fail(source.KindLimit, "the registry's list %s", many)
	} else if err != nil {
		return "", r.upstream.Fail(source.KindServer, "the registry's list was not understood; is %s that of a registry?", r.upstream.Field("url"))
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
func (r *repository) Referrers(ctx context.Context, subject, artifactType string) ([]ocispec.Descriptor, error) {
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
		manifest, err := r.manifest(ctx, strings.Replace(subject, ":", "-", 1))
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
