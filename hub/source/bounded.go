package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounded bounds the bodies of answers, counts them, and ends those that stall.
type bounded struct {
	network *Network
	limit   func(*http.Request) (int64, string)
	errors  int64
	host    string
	next    *http.Transport
	proxied bool // by a proxy of HTTP
	// route is the upstream's; unknown: there is one, and nobody said which.
	route   string
	unknown bool
}

// CloseIdleConnections is asked of the transport by http.Client.
func (b *bounded) CloseIdleConnections() { b.next.CloseIdleConnections() }

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.proxied {
		if err := b.network.CheckBehind(req.Context(), req.URL.Hostname()); err != nil {
			return nil, err
		}
	}
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if b.proxied && res.StatusCode == http.StatusProxyAuthRequired {
		_ = res.Body.Close()
		return nil, answeredByProxy(res.StatusCode)
	}
	if !b.unknown {
		b.network.hosts.answered(hostName{b.hostOf(req), b.route}, res)
	}
	received := b.network.receivedFor(req.Context())
	if (res.StatusCode < 200 || res.StatusCode > 299) && res.StatusCode != http.StatusNotModified {
		if b.errors > 0 {
			res.Body = newBody(res.Body, received, b.errors, io.EOF)
			return res, nil
		}
		_ = res.Body.Close()
		res.Body = http.NoBody // a server's text is neither read nor shown
		return res, nil
	}
	bytes, problem := b.limit(req)
	res.Body = newBody(res.Body, received, bytes, &TooLargeError{problem})
	return res, nil
}

// passed is an http.Transport's OnProxyConnectResponse.
func passed(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return answeredByProxy(res.StatusCode)
	}
	return nil
}

// TooLargeError is something larger than a source may have it, in words for people.
type TooLargeError struct{ Problem string }

func (e *TooLargeError) Error() string { return e.Problem }

// stalledError is an answer that stopped before its end.
type stalledError struct{}

func (*stalledError) Error() string { return fmt.Sprintf("the server sent nothing for %s", StallTime) }

// body reads an answer within its bounds.
type body struct {
	io.ReadCloser
	received prometheus.Counter
	left     int64
	limit    error
	timer    *time.Timer
	stalled  atomic.Bool
}

func newBody(from io.ReadCloser, received prometheus.Counter, bytes int64, limit error) *body {
	b := &body{ReadCloser: from, received: received, left: bytes, limit: limit}
	b.timer = time.AfterFunc(StallTime, func() {
		b.stalled.Store(true)
		_ = from.Close()
	})
	b.timer.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(StallTime)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop() // whoever reads may take its time
	b.received.Add(float64(n))
	if b.left -= int64(n); b.left < 0 {
		// Not a byte more than the limit: a reader that has all it needs would not look at the error.
		return int(max(int64(n)+b.left, 0)), b.limit
	}
	if err != nil && err != io.EOF && b.stalled.Load() {
		err = &stalledError{}
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

// Bounded is what an upstream sends by another protocol than HTTP, bounded, counted and ended as the Client's answers
// are: a stalled one is closed. ctx is that of the call to the Fetcher.
func (n *Network) Bounded(ctx context.Context, from io.ReadCloser, bytes int64, problem string) io.ReadCloser {
	return newBody(from, n.receivedFor(ctx), bytes, &TooLargeError{problem})
}

// hostOf is the host that an answer counts for.
func (b *bounded) hostOf(req *http.Request) string {
	if b.host != "" {
		return hostOf(&url.URL{Scheme: req.URL.Scheme, Host: b.host})
	}
	return hostOf(req.URL)
}
