package helm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"flotilla.dev/flotilla/hub/source"
)

// client asks the server of a HelmRepository, and other hosts that its charts are at.
type client struct {
	connections

	network  *source.Network
	upstream source.Upstream
	base     *url.URL

	username, password string
	// everywhere sends the credential to all hosts that charts are at.
	everywhere bool
}

func (h *Helm) client(u source.Upstream) (*client, error) {
	spec := repositorySpec(u)
	base, err := url.Parse(spec.URL)
	c := &client{network: h.config.Network, upstream: u, base: base, everywhere: spec.PassCredentials}
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" {
		return nil, &problem{source.KindInvalid, u.Field("url") + " is not the address of a repository over HTTP"}
	}
	secret := u.Secrets[secretRef]
	c.username, c.password = string(secret["username"]), string(secret["password"])
	if (c.username == "") != (c.password == "") {
		return nil, halfCredential(u)
	}
	certificates := certSecretRef
	if u.Secrets[certSecretRef] == nil {
		certificates = secretRef // deprecated, and still honoured by Flux
	}
	own, err := u.TLS(certificates)
	if err != nil {
		return nil, err
	}
	c.connections = h.memories.of(u).connected(func() connections {
		made := connections{own: c.http(own)}
		if made.others = made.own; own != nil && len(own.Certificates) > 0 {
			others := own.Clone()
			others.Certificates = nil
			made.others = c.http(others)
		}
		return made
	})
	return c, nil
}

// http is how servers are met with those settings.
func (c *client) http(settings *tls.Config) *http.Client {
	return c.network.Client(source.ClientConfig{
		TLS:      settings,
		Route:    c.upstream.Route(),
		Limit:    limitOf,
		Redirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}

// halfCredential is the failure of a Secret with a user or a password alone.
func halfCredential(u source.Upstream) error {
	return u.BadSecret(secretRef, "the Secret has one of username and password, and both are needed")
}

// answer is what a server said of what it sent. Nothing was sent when nothing changed.
type answer struct {
	header    http.Header
	unchanged bool
}

// file is what is asked for.
type file struct {
	// name is for errors: "index.yaml".
	name string
	// condition is under which it is sent; nil: it always is.
	condition http.Header
	limit     int64
	// to gets the content. Its errors are of the hub's own disk.
	to io.Writer
}

func (f file) tooLarge() error {
	return tooLarge("%s has more than %d MiB, which is what it may have", f.name, f.limit>>20)
}

type fileKey struct{}

// limitOf is how much the answer to a request for a file may have.
func limitOf(req *http.Request) (int64, string) {
	f, _ := req.Context().Value(fileKey{}).(file)
	return f.limit, f.tooLarge().Error()
}

// get asks for an address, and follows redirects to wherever the policy on addresses allows: the credential stays at the
// repository's server. ctx is the caller's; limited the one with the upstream's timeout.
func (c *client) get(ctx, limited context.Context, at *url.URL, want file) (*answer, error) {
	first := at
	for range source.MaxRedirects + 1 {
		got, next, err := c.ask(limited, at, want, at == first)
		if err != nil {
			return nil, c.explain(ctx, limited, first, at, err)
		}
		if next == nil {
			return got, nil
		}
		at = next
	}
	return nil, &problem{source.KindRedirect, want.name + " redirects over and over; write its present address into " + c.upstream.Field("url")}
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

// ask makes one request. named: the address is what the repository says, and not where a redirect leads.
func (c *client) ask(ctx context.Context, at *url.URL, want file, named bool) (*answer, *url.URL, error) {
	done, err := c.network.Turn(ctx, c.at(at))
	if err != nil {
		return nil, nil, err
	}
	defer done()
	req, err := http.NewRequestWithContext(context.WithValue(ctx, fileKey{}, want), http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, nil, &problem{source.KindInvalid, "its address is not a URL"}
	}
	for key, values := range want.condition {
		req.Header[key] = values
	}
	through := c.others
	if c.trusts(at, named) {
		through = c.own
		if c.username != "" {
			req.SetBasicAuth(c.username, c.password)
		}
	}
	res, err := through.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusNotModified:
		return &answer{header: res.Header, unchanged: true}, nil, nil
	case res.StatusCode == http.StatusOK && res.ContentLength > want.limit:
		return nil, nil, want.tooLarge()
	case res.StatusCode == http.StatusOK:
		_, err := io.Copy(want.to, res.Body)
		return &answer{header: res.Header}, nil, err
	case res.StatusCode >= 300 && res.StatusCode < 400 && res.Header.Get("Location") != "":
		next, err := redirected(at, res.Header.Get("Location"), want.name)
		return nil, next, err
	}
	return nil, nil, c.refused(res.StatusCode, want.name)
}

func (c *client) refused(status int, what string) error {
	has := "the Secret of " + c.upstream.Field(secretRef) + " has none"
	if c.username != "" {
		has = "the ones in the Secret of " + c.upstream.Field(secretRef) + " are wrong"
	} else if c.upstream.Secrets[secretRef] == nil {
		has = c.upstream.Field(secretRef) + " names no Secret"
	}
	switch status {
	case http.StatusUnauthorized:
		return &problem{source.KindAuth, what + ": the server wants a user and a password, and " + has}
	case http.StatusForbidden:
		return &problem{source.KindAuth, what + ": the server does not let it be read; give that user the right, or another Secret"}
	case http.StatusNotFound, http.StatusGone:
		return &problem{source.KindRepository, what + " is not there; check " + c.upstream.Field("url")}
	}
	answered := problem{source.KindServer, fmt.Sprintf("%s: the server answered %d (%s); it is tried again", what, status, http.StatusText(status))}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		return &busyError{answered}
	}
	return &answered
}
