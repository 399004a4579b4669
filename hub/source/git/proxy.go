package git

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/net/proxy"

	"flotilla.dev/flotilla/hub/source"
)

// dial connects to host:port, through the proxy when there is one. The policy on addresses holds for whom the hub connects
// to, and as far as it can tell for whom the proxy does.
func dial(ctx context.Context, network *source.Network, through *url.URL, address string) (net.Conn, error) {
	if through == nil {
		return network.Dial(ctx, "tcp", address)
	}
	if through.Scheme == "socks5" {
		var auth *proxy.Auth
		if through.User != nil {
			password, _ := through.User.Password()
			auth = &proxy.Auth{User: through.User.Username(), Password: password}
		}
		socks, err := proxy.SOCKS5("tcp", hostPort(through, "1080"), auth, direct{network})
		if err != nil {
			return nil, err
		}
		conn, err := socks.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
		return conn, ofProxy(err)
	}
	return connect(ctx, network, through, address)
}

// direct is how a proxy itself is reached.
type direct struct{ network *source.Network }

func (d direct) Dial(network, address string) (net.Conn, error) {
	return d.network.Dial(context.Background(), network, address)
}

func (d direct) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.network.Dial(ctx, network, address)
}

// proxyError is a failure of the proxy's.
type proxyError struct{ err error }

func (e *proxyError) Error() string { return e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

func ofProxy(err error) error {
	if err == nil {
		return nil
	}
	return &proxyError{err}
}

func hostPort(u *url.URL, port string) string {
	if u.Port() != "" {
		port = u.Port()
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// connect has an HTTP proxy connect to the address (RFC 9110, 9.3.6).
func connect(ctx context.Context, network *source.Network, through *url.URL, address string) (net.Conn, error) {
	port := "80"
	if through.Scheme == "https" {
		port = "443"
	}
	conn, err := network.Dial(ctx, "tcp", hostPort(through, port))
	if err != nil {
		return nil, ofProxy(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if through.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: through.Hostname(), MinVersion: tls.VersionTLS12})
	}
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if through.User != nil {
		password, _ := through.User.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(through.User.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		_ = conn.Close()
		return nil, ofProxy(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(&oneByOne{reader}, maxProxyAnswer)), request)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the proxy answered %d", response.StatusCode)
	}
	if err != nil {
		_ = conn.Close()
		return nil, ofProxy(err)
	}
	return &rest{conn, reader}, nil
}

// maxProxyAnswer bounds what a proxy says before it lets through.
const maxProxyAnswer = 64 << 10

// oneByOne keeps a reader from taking more than it needs: what follows is the server's.
type oneByOne struct{ from io.Reader }

func (o *oneByOne) Read(p []byte) (int, error) { return o.from.Read(p[:min(len(p), 1)]) }

// rest reads what is left in a buffer first.
type rest struct {
	net.Conn
	reader *bufio.Reader
}

func (r *rest) Read(p []byte) (int, error) { return r.reader.Read(p) }
