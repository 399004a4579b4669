package lab

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"
)

// ProxyConfig says how a proxy is reached and by whom.
type ProxyConfig struct {
	SiteConfig
	// Username and Password use it; both empty: anybody.
	Username, Password string
}

// Proxy passes requests on to where they are meant for: those of http as they are, connections for https by CONNECT. It
// connects to loopback addresses alone, and answers 403 for any other: no test leaves the machine by it.
// Its Visits are the requests and the CONNECTs, with their targets as Path.
type Proxy struct {
	*Site
	config  ProxyConfig
	forward http.Handler

	tunnels sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]bool
	passed  map[string]int // by host and port
}

// StartProxy begins to pass on.
func StartProxy(config ProxyConfig) (*Proxy, error) {
	p := &Proxy{config: config, open: map[net.Conn]bool{}, passed: map[string]int{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header.Del("Proxy-Authorization")
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	var err error
	p.Site, err = startSite(config.SiteConfig, http.HandlerFunc(p.serveProxy))
	return p, err
}

// TestProxy is a proxy of the test's own.
func TestProxy(t testing.TB, config ProxyConfig) *Proxy {
	t.Helper()
	p, err := StartProxy(config)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, p.Stop)
	return p
}

// Down refuses connections, and breaks what runs through the proxy.
func (p *Proxy) Down() {
	p.Site.Down()
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.tunnels.Wait()
}

// Stop ends the proxy. It may be called more than once.
func (p *Proxy) Stop() error {
	p.Clear()
	p.Down()
	return nil
}

// Passed counts requests and connections to a host and port.
func (p *Proxy) Passed(host string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[host]
}

// Denied counts what came without the right user and password.
func (p *Proxy) Denied() int {
	return p.Count(func(v Visit) bool { return v.Status == http.StatusProxyAuthRequired })
}

func (p *Proxy) serveProxy(w http.ResponseWriter, r *http.Request) {
	if p.config.Username != "" || p.config.Password != "" {
		as := &http.Request{Header: http.Header{"Authorization": r.Header.Values("Proxy-Authorization")}}
		if !basicAuth(as, p.config.Username, p.config.Password) {
			w.Header().Set("Proxy-Authenticate", `Basic realm="lab"`)
			http.Error(w, SecretOfServer, http.StatusProxyAuthRequired)
			return
		}
	}
	if r.Method != http.MethodConnect && r.URL.Host == "" {
		http.Error(w, "not a request for a proxy", http.StatusBadRequest)
		return
	}
	if !onLoopback(r.Host) || (r.Method != http.MethodConnect && !onLoopback(r.URL.Host)) {
		http.Error(w, SecretOfServer, http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.passed[r.Host]++
	p.mu.Unlock()
	if r.Method == http.MethodConnect {
		p.tunnel(w, r)
		return
	}
	p.forward.ServeHTTP(w, r)
}

// onLoopback is true of an address and port on this machine. A name is not looked up.
func onLoopback(host string) bool {
	at, err := netip.ParseAddrPort(host)
	return err == nil && at.Addr().IsLoopback()
}

// tunnel copies both ways until one side has ended.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	target, err := net.DialTimeout("tcp", r.Host, 10*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = target.Close()
		return
	}
	p.mu.Lock()
	p.open[client], p.open[target] = true, true
	p.mu.Unlock()
	end := func() {
		_ = client.Close()
		_ = target.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, client)
		delete(p.open, target)
	}
	p.tunnels.Go(func() {
		defer end()
		_, _ = io.Copy(target, buffered)
	})
	p.tunnels.Go(func() {
		defer end()
		_, _ = io.Copy(client, target)
	})
}

// Through is the URL that clients use the proxy by, with user and password in it.
func (p *Proxy) Through() *url.URL {
	through, err := url.Parse(p.URL())
	if err != nil {
		panic(err) // made of an address and a port
	}
	if p.config.Username != "" || p.config.Password != "" {
		through.User = url.UserPassword(p.config.Username, p.config.Password)
	}
	return through
}
