package lab

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// SiteConfig says how a server is reached. The zero value is plain HTTP, open to all.
type SiteConfig struct {
	// Authority signs the server's certificate; nil: plain HTTP.
	Authority *Authority
	// ClientCertificates serves those clients alone that have a certificate of the Authority.
	ClientCertificates bool
}

// Site is where a server of HTTP is: on loopback, at the same address after it was down. It notes its visitors, and
// fails as its Faults are set. It is safe for concurrent use.
type Site struct {
	Faults

	config  SiteConfig
	handler http.Handler

	mu     sync.Mutex
	port   int
	http   *http.Server // nil while down
	served chan struct{}
	visits []*Visit
}

// Visit is one request, noted before it is answered.
type Visit struct {
	Method, Path, Query string
	Header              http.Header
	// Status of the answer; 0 while there is none, and of connections that were broken.
	Status int
}

// startSite begins to serve. The handler sees only requests that the Faults let through.
func startSite(config SiteConfig, handler http.Handler) (*Site, error) {
	if config.ClientCertificates && config.Authority == nil {
		return nil, errors.New("client certificates need an Authority")
	}
	s := &Site{config: config, handler: handler}
	return s, s.Up()
}

// stopAfter ends a part with the test.
func stopAfter(t testing.TB, stop func() error) {
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// Up begins to listen, after Down on the same port as before.
func (s *Site) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // clients that break off are what tests are about
	}
	if s.config.Authority != nil {
		var err error
		if server.TLSConfig, err = s.tls(); err != nil {
			return err
		}
	}
	listener, port, err := listen(s.port)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if server.TLSConfig != nil {
			_ = server.ServeTLS(listener, "", "") // ends by Close only
			return
		}
		_ = server.Serve(listener)
	}()
	s.port, s.http, s.served = port, server, served
	return nil
}

func (s *Site) tls() (*tls.Config, error) {
	certificate, err := s.config.Authority.pair("server")
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if s.config.ClientCertificates {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, s.config.Authority.pool()
	}
	return config, nil
}

// Down refuses connections, and breaks those that are open.
func (s *Site) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	_ = s.http.Close()
	<-s.served
	s.http = nil
}

// Stop ends the server. It may be called more than once.
func (s *Site) Stop() error {
	s.Clear() // nobody hangs on
	s.Down()
	return nil
}

// URL is the site's root without a slash at the end, whether it is up or down.
func (s *Site) URL() string {
	if s.config.Authority != nil {
		return "https://" + s.Host()
	}
	return "http://" + s.Host()
}

// Host is address and port.
func (s *Site) Host() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return loopback(s.port)
}

// Client is one that the site serves: it trusts the authority, and has a certificate where one is asked for.
func (s *Site) Client() (*http.Client, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	if s.config.Authority != nil {
		name := ""
		if s.config.ClientCertificates {
			name = "lab"
		}
		var err error
		if transport.TLSClientConfig, err = s.config.Authority.client(name); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: transport}, nil
}

// Visits are all requests so far, in the order in which they came.
func (s *Site) Visits() []Visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	visits := make([]Visit, len(s.visits))
	for i, v := range s.visits {
		visits[i] = *v
	}
	return visits
}

// Count is how many visits match.
func (s *Site) Count(match func(Visit) bool) int {
	return len(slices.DeleteFunc(s.Visits(), func(v Visit) bool { return !match(v) }))
}

func (s *Site) serve(w http.ResponseWriter, r *http.Request) {
	visit := &Visit{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone()}
	s.mu.Lock()
	s.visits = append(s.visits, visit)
	s.mu.Unlock()
	noting := &notingWriter{ResponseWriter: w, sent: r.Body, note: func(status int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if visit.Status == 0 {
			visit.Status = status
		}
	}}
	s.Handler(s.handler).ServeHTTP(noting, r)
	noting.note(http.StatusOK) // what a handler that wrote nothing has answered
}

// notingWriter tells the status before the client can know it.
type notingWriter struct {
	http.ResponseWriter
	sent io.Reader // by the client
	note func(status int)
}

// WriteHeader reads first what a client sends that is refused: where its connection ends with the answer, it would find
// a broken one instead, now and then.
func (w *notingWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		_, _ = io.Copy(io.Discard, w.sent)
	}
	w.note(status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *notingWriter) Write(p []byte) (int, error) {
	w.note(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *notingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// basicAuth is true of a request with that user and password.
func basicAuth(r *http.Request, user, password string) bool {
	gotUser, gotPassword, _ := r.BasicAuth()
	return subtle.ConstantTimeCompare([]byte(gotUser), []byte(user)) == 1 &&
		subtle.ConstantTimeCompare([]byte(gotPassword), []byte(password)) == 1
}
