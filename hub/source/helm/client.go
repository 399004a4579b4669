package helm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// client asks the server of a HelmRepository, and other hosts that its charts are at.
type client struct {
	network  *source.Network
	upstream source.Upstream
	base     *url.URL

	username, password string
	// own is what the repository's server is met with, others what other hosts are: they get no certificate.
	own, others *tls.Config
	// everywhere sends the credential to all hosts.
	everywhere bool
}

func newClient(network *source.Network, u source.Upstream) (*client, error) {
	spec, _ := u.Spec.(flux.HelmRepository)
	base, err := url.Parse(spec.URL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, &problem{source.KindInvalid, "spec.url is not the address of a repository over HTTP"}
	}
	c := &client{network: network, upstream: u, base: base, everywhere: spec.PassCredentials}
	secret, certificates := u.Secrets["secretRef"], u.Secrets["certSecretRef"]
	c.username, c.password = string(secret["username"]), string(secret["password"])
	if (c.username == "") != (c.password == "") {
		return nil, &problem{source.KindAuth, "the Secret that spec.secretRef names has one of username and password, and both are needed"}
	}
	if certificates == nil {
		certificates = secret // deprecated, and still honoured by Flux
	}
	authority := either(certificates, "ca.crt", "caFile")
	if c.own, err = source.TLSConfig(authority, either(certificates, "tls.crt", "certFile"), either(certificates, "tls.key", "keyFile")); err != nil {
		return nil, &problem{source.KindAuth, err.Error()}
	}
	if c.others, err = source.TLSConfig(authority, nil, nil); err != nil {
		return nil, &problem{source.KindAuth, err.Error()}
	}
	return c, nil
}

// either is the key of a Secret, or an older name of it.
func either(secret map[string][]byte, key, older string) []byte {
	if value := secret[key]; len(value) > 0 {
		return value
	}
	return secret[older]
}

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

// answer is what a server said of what it sent. Nothing was sent when nothing changed.
type answer struct {
	header    http.Header
	unchanged bool
}

// wanted is what is asked for.
type wanted struct {
	// name is for errors: "index.yaml".
	name   string
	header http.Header
	limit  int64
	// to gets the content. Its errors are of the hub's own disk.
	to io.Writer
}

// maxRedirects is how many are followed.
const maxRedirects = 5

// get asks for an address, and follows redirects to wherever the policy on addresses allows: the credential stays at the
// repository's server. ctx is the caller's; limited the one with the upstream's timeout.
func (c *client) get(ctx, limited context.Context, at *url.URL, want wanted) (*answer, error) {
	first := at
	for range maxRedirects + 1 {
		got, next, err := c.ask(limited, at, want)
		if err != nil {
			return nil, c.explain(ctx, limited, first, at, err)
		}
		if next == nil {
			return got, nil
		}
		at = next
	}
	return nil, &problem{source.KindRedirect, want.name + " redirects over and over; write its present address into spec.url"}
}

// explain words an error of the upstream, which says where else it happened: a server, or an index, chose that place.
func (c *client) explain(ctx, limited context.Context, first, at *url.URL, err error) error {
	var busy *busyError
	if errors.As(err, &busy) {
		// It may have said for how long; then that is what whoever comes next hears.
		done, refused := c.network.Turn(limited, c.at(at))
		if refused == nil {
			done()
		} else {
			err = refused
		}
	}
	var failure *source.Error
	if err = explain(ctx, limited, c.upstream, err); !errors.As(err, &failure) {
		return err
	}
	elsewhere := *failure
	switch shown := source.Redact(at.String()); {
	case at != first:
		elsewhere.Text = fmt.Sprintf("it redirects to %s: %s", shown, failure.Text)
	case at.Host != c.base.Host:
		elsewhere.Text = fmt.Sprintf("index.yaml says that the chart is at %s: %s", shown, failure.Text)
	}
	return &elsewhere
}

// busyError is an answer of a server that has too much to do.
type busyError struct{ problem }

// at is the upstream with another address for errors and for hosts' limits.
func (c *client) at(address *url.URL) source.Upstream {
	u := c.upstream
	u.URL = source.Redact(address.String())
	return u
}

func (c *client) ask(ctx context.Context, at *url.URL, want wanted) (*answer, *url.URL, error) {
	done, err := c.network.Turn(ctx, c.at(at))
	if err != nil {
		return nil, nil, err
	}
	defer done()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, nil, &problem{source.KindInvalid, "its address is not a URL"}
	}
	for key, values := range want.header {
		req.Header[key] = values
	}
	settings := c.others
	if c.trusts(at) {
		settings = c.own
		if c.username != "" {
			req.SetBasicAuth(c.username, c.password)
		}
	}
	size := tooLarge("%s has more than %d MiB, which is what it may have", want.name, want.limit>>20)
	httpClient := c.network.Client(source.ClientConfig{
		TLS:      settings,
		Route:    c.upstream.Route(),
		Limit:    func(*http.Request) (int64, string) { return want.limit, size.Error() },
		Redirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	defer httpClient.CloseIdleConnections()
	res, err := httpClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotModified:
		return &answer{header: res.Header, unchanged: true}, nil, nil
	case res.StatusCode == http.StatusOK && res.ContentLength > want.limit:
		return nil, nil, size
	case res.StatusCode == http.StatusOK:
		_, err := io.Copy(want.to, res.Body)
		return &answer{header: res.Header}, nil, err
	case res.StatusCode >= 300 && res.StatusCode < 400 && res.Header.Get("Location") != "":
		next, err := redirected(at, res.Header.Get("Location"), want.name)
		return nil, next, err
	}
	return nil, nil, c.refused(res.StatusCode, want.name)
}

// trusts reports whether the address is of the repository's server, which alone gets the credential.
func (c *client) trusts(at *url.URL) bool {
	same := strings.EqualFold(at.Hostname(), c.base.Hostname()) && (port(at) == port(c.base) && at.Scheme == c.base.Scheme ||
		c.base.Scheme == "http" && at.Scheme == "https" && at.Port() == "" && c.base.Port() == "")
	if same && c.upstream.Within != "" { // and not elsewhere at the server
		place := *at
		place.RawQuery, place.Fragment = "", ""
		return fleet.IsWithin(c.upstream.Within, place.String())
	}
	return same || c.everywhere
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

func (c *client) refused(status int, what string) error {
	has := "the Secret of spec.secretRef has none"
	if c.username != "" {
		has = "the ones in the Secret of spec.secretRef are wrong"
	} else if c.upstream.Secrets["secretRef"] == nil {
		has = "spec.secretRef names no Secret"
	}
	switch status {
	case http.StatusUnauthorized:
		return &problem{source.KindAuth, what + ": the server wants a user and a password, and " + has}
	case http.StatusForbidden:
		return &problem{source.KindAuth, what + ": the server does not let it be read; give that user the right, or another Secret"}
	case http.StatusNotFound, http.StatusGone:
		return &problem{source.KindRepository, what + " is not there; check spec.url"}
	}
	answered := problem{source.KindServer, fmt.Sprintf("%s: the server answered %d (%s); it is tried again", what, status, http.StatusText(status))}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		return &busyError{answered}
	}
	return &answered
}
