package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/reach"
)

// Addresses is the administrator's policy on where sources may be.
type Addresses = reach.Addresses

// NetworkConfig is what a Network needs.
type NetworkConfig struct {
	// Addresses is the policy on where upstreams may be.
	Addresses Addresses
	// PerHost is how many conversations a host has at a time; default 4.
	PerHost int
	Metrics *Metrics
}

// Network is how all kinds reach upstreams: only where the policy allows, and no host more than it can bear.
type Network struct {
	addresses Addresses
	received  *prometheus.CounterVec
	hosts     *hosts
	// proxyRoots are the authorities of https:// proxies; nil: the system's.
	proxyRoots *x509.CertPool
	// proxyTime is how long a proxy may take until it lets through.
	proxyTime time.Duration
}

// NewNetwork returns a Network.
func NewNetwork(config NetworkConfig) *Network {
	return &Network{
		addresses: config.Addresses, received: config.Metrics.received, hosts: newHosts(cmp.Or(config.PerHost, 4)),
		proxyTime: StallTime,
	}
}

const (
	// StallTime is how long an upstream may send nothing while it should.
	StallTime   = 30 * time.Second
	dialTimeout = 10 * time.Second
)

// CheckBehind refuses a host that a proxy would connect to, where the policy can tell: by the address that its name
// resolves to here. A name that only the proxy knows is the proxy's to judge.
func (n *Network) CheckBehind(ctx context.Context, host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return n.addresses.Check(addr)
	}
	if endsInANumber(host) {
		return &reach.Refusal{Host: host}
	}
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // unknown here: see above
	for _, addr := range addrs {
		if err := n.addresses.Check(addr); err != nil {
			return err
		}
	}
	return nil
}

// endsInANumber reports whether a host is an address for whoever reads it as inet_aton does (WHATWG URL, "ends in a number
// checker"): 2852039166, 0xa9fea9fe, 169.254.43518.
func endsInANumber(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 10, 64); err == nil {
		return true
	}
	digits, hexadecimal := strings.CutPrefix(strings.ToLower(last), "0x")
	_, err := strconv.ParseUint(digits, 16, 64)
	return hexadecimal && (err == nil || digits == "")
}

// ClientConfig is what an upstream's HTTP needs.
type ClientConfig struct {
	// TLS is what Secrets say of it; nil: the system's authorities, and no certificate.
	TLS *tls.Config
	// Proxy to go through; nil: none. The environment's are not asked: it would be connected to in place of what is
	// checked.
	Proxy *url.URL
	// Route is the Upstream's: what is learnt of a host counts for it. Without one, an answer through a Proxy or by
	// authorities of TLS counts for nobody.
	Route string
	// Limit is how many bytes the answer to a request may have, and what is more than that, in words: "its objects have
	// more than 512 MiB; a source may have that much".
	Limit func(*http.Request) (bytes int64, problem string)
	// Errors is how many bytes of the body of an answer other than 2xx and 304 are left to read, where what is wrong is
	// said nowhere else; default none. It is a server's text, never to be shown.
	Errors int64
	// Host is whose turns and pauses the requests count for; default each request's own. It is that of the Upstream's URL
	// where requests go to other names of the same server.
	Host string
	// Patience is how long the beginning of an answer is waited for; default StallTime.
	Patience time.Duration
	// Redirect says whether a redirect is followed; default SameHost.
	Redirect func(req *http.Request, via []*http.Request) error
}

// Client returns an upstream's HTTP: its own trust, the policy on addresses, bounds on what is read and on waiting.
// Answers other than 2xx and 304 have no body, unless Errors says so: a server's text is neither read nor shown.
func (n *Network) Client(config ClientConfig) *http.Client {
	redirect := config.Redirect
	if redirect == nil {
		redirect = SameHost
	}
	return &http.Client{CheckRedirect: redirect, Transport: n.Transport(config)}
}

// Transport is the Client's, for libraries that want one.
func (n *Network) Transport(config ClientConfig) http.RoundTripper {
	settings := config.TLS.Clone()
	if settings == nil {
		settings = &tls.Config{}
	}
	settings.MinVersion = max(settings.MinVersion, tls.VersionTLS12)
	unknown := config.Route == "" && (config.Proxy != nil || settings.RootCAs != nil)
	transport := &http.Transport{
		OnProxyConnectResponse: passed,
		DialContext:            n.Dial,
		TLSClientConfig:        settings,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  cmp.Or(config.Patience, StallTime),
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    n.hosts.limit,
		ForceAttemptHTTP2:      true,
		// What is fetched is compressed already; and an answer that grows as it is read is not wanted.
		DisableCompression: true,
	}
	switch proxy := config.Proxy; {
	case proxy == nil:
	case proxy.Scheme == "socks5":
		transport.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
			return n.DialThrough(ctx, proxy, address)
		}
	case proxy.Scheme == "https":
		// TLSClientConfig would count for the proxy as well.
		transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dialProxy(ctx, proxy) }
		transport.Proxy = http.ProxyURL(proxy)
	default:
		transport.Proxy = http.ProxyURL(proxy)
	}
	return &bounded{network: n, limit: config.Limit, errors: config.Errors, host: config.Host, proxied: transport.Proxy != nil, route: config.Route, unknown: unknown, next: transport}
}
