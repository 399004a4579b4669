package helm

import (
	"net/url"
	"path"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
)

// index is the address of the repository's index.
func (c *client) index() *url.URL {
	address := *c.base
	address.RawPath, address.Path = path.Join(address.RawPath, "index.yaml"), path.Join("/", address.Path, "index.yaml")
	return &address
}

// chart is the address of a chart that the index names: absolute, or relative to the repository, whose query it has then.
func (c *client) chart(reference string) (*url.URL, error) {
	parsed, err := url.Parse(reference)
	if err != nil {
		return nil, wrong("index.yaml has %q for the address of a chart, which is no URL", source.Shown(source.Redact(reference)))
	}
	if !parsed.IsAbs() {
		directory := *c.base
		directory.RawPath, directory.Path = strings.TrimSuffix(directory.RawPath, "/")+"/", strings.TrimSuffix(directory.Path, "/")+"/"
		parsed = directory.ResolveReference(parsed)
		parsed.RawQuery = c.base.RawQuery
	}
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return nil, wrong("index.yaml has %q for the address of a chart, which is not of HTTP or HTTPS", source.Shown(source.Redact(reference)))
	}
	parsed.User = nil // a credential is the Secret's to give
	return parsed, nil
}

// trusts reports whether the credential goes to the address: to the repository's server and, if it is to be passed, to where
// the repository says that a chart is; not to where a redirect from there leads, nor unprotected if the repository is not.
func (c *client) trusts(at *url.URL, named bool) bool {
	same := strings.EqualFold(at.Hostname(), c.base.Hostname()) && (port(at) == port(c.base) && at.Scheme == c.base.Scheme ||
		c.base.Scheme == "http" && at.Scheme == "https" && at.Port() == "" && c.base.Port() == "")
	if c.upstream.Within != "" { // an administrator's, which goes nowhere else, at the same server even
		place := *at
		place.RawQuery, place.Fragment = "", ""
		return same && fleet.IsWithin(c.upstream.Within, place.String())
	}
	return same || named && c.everywhere && (at.Scheme == "https" || c.base.Scheme == "http")
}

func port(address *url.URL) string {
	switch {
	case address.Port() != "":
		return address.Port()
	case address.Scheme == "https":
		return "443"
	}
	return "80"
}

// redirected is where a redirect leads, which is not from a protected connection to one that is not.
func redirected(from *url.URL, location, what string) (*url.URL, error) {
	next, err := from.Parse(location)
	if err != nil || (next.Scheme != "http" && next.Scheme != "https") || next.Host == "" {
		return nil, &problem{source.KindRedirect, what + " redirects to where there is no HTTP"}
	}
	if from.Scheme == "https" && next.Scheme == "http" {
		return nil, &problem{source.KindRedirect, what + " redirects from https to " + "http://" + next.Host + ", which is not followed"}
	}
	next.User = nil
	return next, nil
}
