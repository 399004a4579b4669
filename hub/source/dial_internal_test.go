package source

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

// through says how an upstream is reached through a proxy: by HTTP, and by another protocol.
func through(t *testing.T, network *Network, config ClientConfig, site *lab.Site) map[string]func() error {
	t.Helper()
	config.Limit = func(*http.Request) (int64, string) { return 1 << 20, "too much" }
	client := network.Client(config)
	t.Cleanup(client.CloseIdleConnections)
	return map[string]func() error{
		"HTTP": func() error {
			response, err := client.Get(site.URL())
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, response.Body)
			return errors.Join(err, response.Body.Close())
		},
		"another protocol": func() error {
			conn, err := network.DialThrough(t.Context(), config.Proxy, site.Host())
			if err != nil {
				return err
			}
			return conn.Close()
		},
	}
}

// explained is the kind and the text of an error.
func explained(ctx context.Context, err error) (Kind, string) {
	if err == nil {
		return "", ""
	}
	if failure := (Upstream{Kind: "GitRepository"}).Explain(ctx, ctx, err); failure != nil {
		return failure.Kind, failure.Text
	}
	return KindServer, err.Error()
}

// What a source says of its upstream's TLS is not said of the proxy: a hub that trusts no authority of the test's meets one
// that has it.
func TestAProxyIsJudgedByTheSystemAndNotByTheSource(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	certificate, key, err := authority.Issue("hub")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := tlsConfig(authority.PEM(), certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	trust.InsecureSkipVerify = true // as spec.insecure
	proxy := lab.TestProxy(t, lab.ProxyConfig{SiteConfig: lab.SiteConfig{Authority: authority}})
	curious := lab.TestProxy(t, lab.ProxyConfig{SiteConfig: lab.SiteConfig{Authority: authority, ClientCertificates: true}})
	for scheme, site := range map[string]*lab.Site{
		"http":  lab.TestSite(t, lab.SiteConfig{}, http.NotFoundHandler()),
		"https": lab.TestSite(t, lab.SiteConfig{Authority: authority, ClientCertificates: true}, http.NotFoundHandler()),
	} {
		network := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
		for name, call := range through(t, network, ClientConfig{TLS: trust, Proxy: proxy.Through()}, site) {
			kind, text := explained(t.Context(), call())
			if kind != KindTLS || !strings.Contains(text, "the certificate of the proxy") || proxy.Passed(site.Host()) > 0 {
				t.Errorf("%s to %s: %s %q, want that the proxy is not known", name, scheme, kind, text)
			}
		}
		network.proxyRoots = x509.NewCertPool()
		network.proxyRoots.AppendCertsFromPEM(authority.PEM())
		for name, call := range through(t, network, ClientConfig{TLS: trust, Proxy: proxy.Through()}, site) {
			if err := call(); err != nil {
				t.Errorf("%s to %s: %v", name, scheme, err)
			}
		}
		if proxy.Passed(site.Host()) != 2 {
			t.Errorf("%s: %d connections passed the proxy, want 2", scheme, proxy.Passed(site.Host()))
		}
		for name, call := range through(t, network, ClientConfig{TLS: trust, Proxy: curious.Through()}, site) {
			if err := call(); err == nil || curious.Passed(site.Host()) > 0 {
				t.Errorf("%s to %s: the proxy was shown the certificate", name, scheme)
			}
		}
	}
}

func TestASOCKSProxyIsGoneThroughByAll(t *testing.T) {
	t.Parallel()
	site := lab.TestSite(t, lab.SiteConfig{}, http.NotFoundHandler())
	proxy := startSOCKS(t)
	network := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
	for name, tc := range map[string]struct {
		password string
		reply    byte
		kind     Kind
		text     string
	}{
		"the right password":  {password: "right"},
		"another password":    {"wrong", 0, KindAuth, "the proxy wants another user and password"},
		"too long a password": {strings.Repeat("x", 256), 0, KindAuth, "the proxy wants another user and password"},
		"none":                {"", 0, KindAuth, "the proxy wants another user and password"},
		"not allowed":         {"right", 2, KindConnect, "the proxy does not connect to it (connection not allowed by ruleset)"},
	} {
		proxy.reply.Store(int32(tc.reply))
		address := &url.URL{Scheme: "socks5", Host: proxy.address}
		if tc.password != "" {
			address.User = url.UserPassword("anna", tc.password)
		}
		for protocol, call := range through(t, network, ClientConfig{Proxy: address}, site) {
			err := call()
			if kind, text := explained(t.Context(), err); kind != tc.kind || !strings.HasPrefix(text, tc.text) || (err == nil) != (tc.kind == "") {
				t.Errorf("%s, %s: %v; %s %q, want %s %q", name, protocol, err, kind, text, tc.kind, tc.text)
			}
		}
	}
	if proxy.passed.Load() != 2 {
		t.Errorf("%d connections passed the proxy, want 2", proxy.passed.Load())
	}
	proxy.listener.Close()
	address := &url.URL{Scheme: "socks5", Host: proxy.address}
	for protocol, call := range through(t, network, ClientConfig{Proxy: address}, site) {
		if kind, text := explained(t.Context(), call()); kind != KindConnect || !strings.HasPrefix(text, "the proxy cannot be reached") {
			t.Errorf("the proxy is down, %s: %s %q", protocol, kind, text)
		}
	}
}

func TestAProxyThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	network := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
	for _, scheme := range []string{"http", "https", "socks5"} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := network.DialThrough(ctx, &url.URL{Scheme: scheme, Host: listener.Addr().String()}, "127.0.0.1:1")
		if failure := (Upstream{Kind: "GitRepository"}).Explain(t.Context(), ctx, err); failure == nil || failure.Kind != KindTimeout {
			t.Errorf("%s: %v, want a timeout", scheme, err)
		}
		cancel()
	}
}

// The client's request is given up, and nobody waits for its proxy any more: nor may a connection to it.
func TestNothingIsLeftOfAProxyThatHangsWhenItsRequestIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https", "socks5"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		network := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
		network.proxyTime = 200 * time.Millisecond
		client := network.Client(ClientConfig{Proxy: &url.URL{Scheme: scheme, Host: listener.Addr().String()}})
		ctx, cancel := context.WithCancel(t.Context())
		closed := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, err = conn.Read(make([]byte, 1)) // it is asked: before, it might be kept for the next request
			}
			cancel()
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
			closed <- err
		}()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Do(request); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, error %v; want that it was given up", scheme, response, err)
		}
		if err := <-closed; err != nil {
			t.Errorf("%s: the connection is kept: %v", scheme, err)
		}
	}
}

func TestAProxyThatHangsIsToBlame(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	network := NewNetwork(NetworkConfig{Metrics: NewMetrics(nil)})
	network.proxyTime = 200 * time.Millisecond
	for _, scheme := range []string{"http", "https", "socks5"} {
		_, err := network.DialThrough(t.Context(), &url.URL{Scheme: scheme, Host: listener.Addr().String()}, "127.0.0.1:1")
		if kind, text := explained(t.Context(), err); kind != KindTimeout || !strings.HasPrefix(text, "the proxy answered nothing for 200ms") {
			t.Errorf("%s: %v: %s %q, want that the proxy is silent", scheme, err, kind, text)
		}
	}
}

// socks is a SOCKS5 proxy for anna with the password "right" (RFC 1928, RFC 1929), for addresses of IPv4.
type socks struct {
	listener net.Listener
	address  string
	reply    atomic.Int32 // 0: it connects
	passed   atomic.Int32
}

func startSOCKS(t *testing.T) *socks {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socks{listener: listener, address: listener.Addr().String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				s.serve(conn)
			}()
		}
	}()
	return s
}

func (s *socks) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	next := func(n int) []byte {
		data := make([]byte, n)
		_, _ = io.ReadFull(reader, data)
		return data
	}
	methods := next(int(next(2)[1]))
	if !strings.Contains(string(methods), "\x02") {
		_, _ = conn.Write([]byte{5, 0xff})
		return
	}
	_, _ = conn.Write([]byte{5, 2})
	user := string(next(int(next(2)[1])))
	if password := string(next(int(next(1)[0]))); user != "anna" || password != "right" {
		_, _ = conn.Write([]byte{1, 1})
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	to := next(10)
	reply := byte(s.reply.Load())
	_, _ = conn.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
	if reply != 0 {
		return
	}
	there, err := net.Dial("tcp", (&net.TCPAddr{IP: to[4:8], Port: int(to[8])<<8 | int(to[9])}).String())
	if err != nil {
		return
	}
	defer there.Close()
	s.passed.Add(1)
	go func() { _, _ = io.Copy(there, reader); there.Close() }()
	_, _ = io.Copy(conn, there)
}
