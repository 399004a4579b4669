package source

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// Dial connects to host:port, if the address that the name resolves to is allowed.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: n.addresses.Control}
	return dialer.DialContext(ctx, network, address)
}

// DialThrough connects to host:port through a proxy, or without one where through is nil. The policy on addresses holds for
// whom the hub connects to, and as far as it can tell for whom the proxy does. [Upstream.Explain] knows what a proxy is to
// blame for.
func (n *Network) DialThrough(ctx context.Context, through *url.URL, address string) (net.Conn, error) {
	if through == nil {
		return n.Dial(ctx, "tcp", address)
	}
	// An http.Transport dials on when its request is given up, so that the context has no end.
	limited, cancel := context.WithTimeout(ctx, n.proxyTime)
	defer cancel()
	conn, err := n.dialThrough(limited, through, address)
	if err != nil && isOver(limited, ctx) {
		return nil, &proxyError{silent: true, said: "nothing for " + n.proxyTime.String()}
	}
	return conn, err
}

// isOver reports whether the time of limited is over, and is not that of the caller's ctx. A connection's deadline may be a
// moment ahead of its context's, so that neither is asked for its error.
func isOver(limited, ctx context.Context) bool {
	limit, _ := limited.Deadline()
	callers, has := ctx.Deadline()
	return !time.Now().Before(limit) && (!has || limit.Before(callers))
}

func (n *Network) dialThrough(ctx context.Context, through *url.URL, address string) (_ net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := n.CheckBehind(ctx, host); err != nil {
		return nil, err
	}
	conn, err := n.dialProxy(ctx, through)
	if err != nil {
		return nil, &net.OpError{Op: proxyConnect, Net: "tcp", Err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		if err != nil {
			_ = conn.Close()
		}
	}()
	if through.Scheme == "socks5" {
		return socksThrough(ctx, conn, through.User, address)
	}
	return connectThrough(conn, through.User, address)
}

// proxyConnect is net/http's word for a connection to a proxy, which tells its failures from those of the upstream's.
const proxyConnect = "proxyconnect"

// dialProxy connects to a proxy itself. Of what a source says of its upstream's TLS nothing counts for the proxy: its
// certificate is judged by the system's authorities, and it is shown none.
func (n *Network) dialProxy(ctx context.Context, through *url.URL) (net.Conn, error) {
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080"}[through.Scheme]
	if through.Port() != "" {
		port = through.Port()
	}
	conn, err := n.Dial(ctx, "tcp", net.JoinHostPort(through.Hostname(), port))
	if err != nil || through.Scheme != "https" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{ServerName: through.Hostname(), MinVersion: tls.VersionTLS12, RootCAs: n.proxyRoots})
	limited, cancel := context.WithTimeout(ctx, min(dialTimeout, n.proxyTime))
	defer cancel()
	if err := secure.HandshakeContext(limited); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// socksThrough has a SOCKS5 proxy connect to the address (RFC 1928), whose name the proxy resolves.
func socksThrough(ctx context.Context, conn net.Conn, user *url.Userinfo, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if user != nil {
		password, _ := user.Password()
		auth = &proxy.Auth{User: user.Username(), Password: password}
	}
	socks, err := proxy.SOCKS5("tcp", "", auth, dialed{conn})
	if err != nil {
		return nil, err
	}
	through, err := socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, socksFailure(err)
	}
	return through, nil
}

// dialed is a Dialer whose connection is there.
type dialed struct{ conn net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.conn, nil }

func (d dialed) DialContext(context.Context, string, string) (net.Conn, error) { return d.conn, nil }

// socksFailure tells what a SOCKS5 proxy answered from what befell the connection to it. The library says so in words
// alone, which are its own.
func socksFailure(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	text := op.Err.Error()
	switch {
	case errors.Is(op.Err, os.ErrDeadlineExceeded): // the only deadline is the context's, which may be a moment behind it
		return context.DeadlineExceeded
	// "username/password authentication failed", "invalid username/password", "no acceptable authentication methods"
	case strings.Contains(text, "authentication"), strings.Contains(text, "username/password"):
		return &proxyError{denied: true, said: text}
	case strings.HasPrefix(text, "unknown error "):
		return &proxyError{said: strings.TrimPrefix(text, "unknown error ")}
	}
	return &net.OpError{Op: proxyConnect, Net: "tcp", Err: op.Err}
}

// connectThrough has an HTTP proxy connect to the address (RFC 9110, 9.3.6).
func connectThrough(conn net.Conn, user *url.Userinfo, address string) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, &net.OpError{Op: proxyConnect, Net: "tcp", Err: err}
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(&oneByOne{reader}, maxProxyAnswer)), request)
	if err != nil {
		return nil, &net.OpError{Op: proxyConnect, Net: "tcp", Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return nil, answeredByProxy(response.StatusCode)
	}
	return &rest{conn, reader}, nil
}

// maxProxyAnswer bounds what a proxy says before it lets through.
const maxProxyAnswer = 64 << 10

// proxyError is what a proxy answered in place of passing on.
type proxyError struct {
	// denied: it wants another user and password.
	denied bool
	// silent: it did not answer in time.
	silent bool
	// said is what it answered, in the words of its protocol.
	said string
}

func (e *proxyError) Error() string { return "the proxy answered " + e.said }

func answeredByProxy(status int) *proxyError {
	return &proxyError{denied: status == http.StatusProxyAuthRequired, said: strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))}
}

// oneByOne keeps a reader from taking more than it needs: what follows is the server's.
type oneByOne struct{ from io.Reader }

func (o *oneByOne) Read(p []byte) (int, error) { return o.from.Read(p[:min(len(p), 1)]) }

// rest reads what is left in a buffer first.
type rest struct {
	net.Conn
	reader *bufio.Reader
}

func (r *rest) Read(p []byte) (int, error) { return r.reader.Read(p) }
