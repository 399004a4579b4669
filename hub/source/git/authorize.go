package git

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

// authorizer says who asks in every request of an upstream's. Its requests stay at one host: redirects to another are
// refused.
type authorizer struct {
	next  http.RoundTripper
	fixed credential
	// fetch gets a token that ends; nil: the credential is a fixed one.
	fetch func(ctx context.Context, u source.Upstream) (token string, until time.Time, err error)
	// bearer: the token goes as one, in place of a password.
	bearer bool

	asking chan struct{} // held by the one that fetches a token

	mu    sync.Mutex // of what follows, for no longer than it takes to look: requests under way want it
	token string
	until time.Time
}

func newAuthorizer(next http.RoundTripper, fixed credential) *authorizer {
	return &authorizer{next: next, fixed: fixed, asking: make(chan struct{}, 1)}
}

// early is how long before its end a token is not used any more: a conversation takes its time.
const early = 5 * time.Minute

// refresh gets a new token when the last one has ended or will soon. It is asked before a conversation, not within: its host
// may be the same.
func (a *authorizer) refresh(ctx context.Context, u source.Upstream) error {
	if a.fetch == nil {
		return nil
	}
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	a.mu.Lock()
	fresh := a.token != "" && time.Until(a.until) > early
	a.mu.Unlock()
	if fresh {
		return nil
	}
	token, until, err := a.fetch(ctx, u)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token, a.until = token, until
	return nil
}

// forget has the next refresh get a new token: the server did not take this one.
func (a *authorizer) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = ""
}

// RoundTrip implements http.RoundTripper.
func (a *authorizer) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	token := a.token
	a.mu.Unlock()
	req = req.Clone(req.Context())
	switch {
	case token != "" && a.bearer:
		req.Header.Set("Authorization", "Bearer "+token)
	case token != "":
		req.SetBasicAuth("x-access-token", token) // GitHub's name for whoever has a token
	case a.fixed.bearer != "":
		req.Header.Set("Authorization", "Bearer "+a.fixed.bearer)
	case a.fixed.username != "":
		req.SetBasicAuth(a.fixed.username, a.fixed.password)
	}
	response, err := a.next.RoundTrip(req)
	if err == nil && req.Method == http.MethodPost { // a list may be moved; what is asked for by it is not sent elsewhere
		if err := source.Redirected(response); err != nil {
			_ = response.Body.Close()
			return nil, err
		}
		response.Body = struct {
			io.Reader
			io.Closer
		}{newAcked(response.Body), response.Body}
	}
	if err == nil && a.fetch != nil && response.StatusCode == http.StatusUnauthorized {
		a.forget()
	}
	return response, err
}

// CloseIdleConnections is asked of the transport by http.Client.
func (a *authorizer) CloseIdleConnections() {
	if next, can := a.next.(interface{ CloseIdleConnections() }); can {
		next.CloseIdleConnections()
	}
}
