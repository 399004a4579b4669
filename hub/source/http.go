package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stallTime is how long an upstream may send nothing while it should.
const stallTime = 30 * time.Second

// client is an upstream's HTTP: its own trust, the policy on addresses, bounds on what is read.
type client struct {
	*http.Client
	received prometheus.Counter
}

func newClient(addresses Addresses, limits Limits, credential *Credential, m *metrics) (*client, error) {
	roots, err := authorities(credential)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: addresses.control}
	c := &client{received: m.received}
	c.Client = &http.Client{
		CheckRedirect: sameHost,
		Transport: &bounded{client: c, limits: limits, next: &http.Transport{
			Proxy:                 nil, // the environment's would be connected to in place of what is checked
			DialContext:           dialer.DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: stallTime,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConnsPerHost:   1,
			ForceAttemptHTTP2:     true,
			// Packs are compressed already; and an answer that grows as it is read is not wanted.
			DisableCompression: true,
		}},
	}
	return c, nil
}

func authorities(credential *Credential) (*x509.CertPool, error) {
	if credential == nil || len(credential.CAFile) == 0 {
		return nil, nil // the system's
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(credential.CAFile) {
		return nil, errors.New("ca.crt of the Secret holds no certificate in PEM form")
	}
	return roots, nil
}

// redirectError is a redirect to where the credential may not go.
type redirectError struct{ host string }

func (e *redirectError) Error() string {
	return "it redirects to " + e.host + ", which is not followed"
}

// sameHost follows redirects that stay at the host and port, or go from http to https on their usual ports. The
// credential is sent along.
func sameHost(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
	if !strings.EqualFold(from.Hostname(), to.Hostname()) || from.Port() != to.Port() || (from.Scheme != to.Scheme && !upgrade) {
		return &redirectError{to.Scheme + "://" + to.Host}
	}
	if len(via) > 5 {
		return &redirectError{"itself over and over"}
	}
	return nil
}

// CloseIdleConnections is asked of the transport by http.Client.
func (b *bounded) CloseIdleConnections() {
	if next, ok := b.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// bounded bounds the bodies of answers, counts them, and ends those that stall.
type bounded struct {
	client *client
	limits Limits
	next   http.RoundTripper
}

// maxListing bounds the list of refs: a few hundred thousand.
const maxListing = 64 << 20

func (b *bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		_ = res.Body.Close()
		res.Body = http.NoBody // a server's text is neither read nor shown
		return res, nil
	}
	limit := &tooLargeError{fmt.Sprintf("its objects have more than %d MiB; a source may have that much", b.limits.Pack>>20)}
	bytes := b.limits.Pack
	if req.Method == http.MethodGet {
		limit, bytes = &tooLargeError{fmt.Sprintf("its list of branches and tags has more than %d MiB", maxListing>>20)}, maxListing
	}
	res.Body = newBody(res.Body, b.client, bytes, limit)
	return res, nil
}

// tooLargeError is something larger than a source may have it.
type tooLargeError struct{ why string }

func (e *tooLargeError) Error() string { return e.why }

// stalledError is an answer that stopped before its end.
type stalledError struct{}

func (*stalledError) Error() string { return fmt.Sprintf("the server sent nothing for %s", stallTime) }

// body reads an answer within its bounds.
type body struct {
	io.ReadCloser
	client  *client
	left    int64
	limit   error
	timer   *time.Timer
	stalled atomic.Bool
}

func newBody(from io.ReadCloser, c *client, bytes int64, limit error) *body {
	b := &body{ReadCloser: from, client: c, left: bytes, limit: limit}
	b.timer = time.AfterFunc(stallTime, func() {
		b.stalled.Store(true)
		_ = from.Close()
	})
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(stallTime)
	n, err := b.ReadCloser.Read(p)
	b.client.received.Add(float64(n))
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
