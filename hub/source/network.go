package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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
}

// NewNetwork returns a Network.
func NewNetwork(config NetworkConfig) *Network {
	return &Network{
		addresses: config.Addresses, received: config.Metrics.received, hosts: newHosts(cmp.Or(config.PerHost, 4)),
	}
}

const (
	// StallTime is how long an upstream may send nothing while it should.
	StallTime   = 30 * time.Second
	dialTimeout = 10 * time.Second
)

// Dial connects to host:port, if the address that the name resolves to is allowed.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: n.addresses.control}
	return dialer.DialContext(ctx, network, address)
}

// CheckBehind refuses a host that a proxy would connect to, where the policy can tell: by the address that its name
// resolves to here. A name that only the proxy knows is the proxy's to judge.
func (n *Network) CheckBehind(ctx context.Context, host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return n.addresses.Check(addr)
	}
	if endsInANumber(host) {
		return &addressError{host: host}
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
	return &bounded{network: n, limit: config.Limit, errors: config.Errors, host: config.Host, proxied: config.Proxy != nil, route: config.Route, unknown: unknown, next: &http.Transport{
		Proxy:                  http.ProxyURL(config.Proxy),
		OnProxyConnectResponse: passed,
		DialContext:            n.Dial,
		TLSClientConfig:        settings,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  StallTime,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    n.hosts.limit,
		ForceAttemptHTTP2:      true,
		// What is fetched is compressed already; and an answer that grows as it is read is not wanted.
		DisableCompression: true,
	}}
}

// TLSConfig is what the PEM of a Secret's keys says: authorities to trust beside the system's, and a certificate to show
// with its key; nil for none of them. Its errors name the keys, for people.
func TLSConfig(ca, certificate, key []byte) (*tls.Config, error) {
	if len(ca) == 0 && len(certificate) == 0 && len(key) == 0 {
		return nil, nil
	}
	config := &tls.Config{}
	if len(ca) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("ca.crt of the Secret holds no certificate in PEM form")
		}
		config.RootCAs = roots
	}
	switch {
	case len(certificate) == 0 && len(key) == 0:
	case len(certificate) == 0 || len(key) == 0:
		return nil, fmt.Errorf("the Secret has one of tls.crt and tls.key, and both are needed")
	default:
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("tls.crt and tls.key of the Secret are no certificate with its key in PEM form")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// redirectError is a redirect to where the credential may not go, or one that leads nowhere.
type redirectError struct {
	host string
	loop bool
}

func (e *redirectError) Error() string {
	if e.loop {
		return "it redirects to itself over and over"
	}
	return "it redirects to " + e.host + ", which is not followed"
}

// Redirected is the error of an answer that is a redirect and is not followed, in the words for one to another host. Of
// any other answer it is nil.
func Redirected(res *http.Response) error {
	if res.StatusCode < 300 || res.StatusCode > 399 || res.StatusCode == http.StatusNotModified {
		return nil
	}
	if to, err := res.Location(); err == nil {
		return &redirectError{host: to.Scheme + "://" + to.Host}
	}
	return nil
}

// SameHost follows redirects that stay at the host and port, or go from http to https on their usual ports. The
// credential is sent along.
func SameHost(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
	if !strings.EqualFold(from.Hostname(), to.Hostname()) || from.Port() != to.Port() || (from.Scheme != to.Scheme && !upgrade) {
		return &redirectError{host: to.Scheme + "://" + to.Host}
	}
	if len(via) > 5 {
		return &redirectError{loop: true}
	}
	return nil
}
