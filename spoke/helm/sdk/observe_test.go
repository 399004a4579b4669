package sdk_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"flotilla.dev/flotilla/spoke/helm/job"
)

// through has the bundle reach its cluster by a way that refuses what it is told to.
func (b *bundle) through(refuses func(*http.Request) bool) {
	b.Helper()
	config := b.cluster.REST()
	transport, err := rest.TransportFor(config)
	if err != nil {
		b.Fatal(err)
	}
	to, err := url.Parse(config.Host)
	if err != nil {
		b.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = transport
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses(r) {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	b.Cleanup(server.Close)
	b.job.Connection = job.Connection{Host: server.URL}
}

// An action that is done is done, whether or not it can be seen.
func TestAnActionIsNoFailureBecauseItsOutcomeCannotBeSeen(t *testing.T) {
	b := newBundle(t)
	var deployed, back atomic.Bool
	b.through(func(r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/secrets/") {
			deployed.Store(true)
		}
		return deployed.Load() && !back.Load() && r.Method == http.MethodGet
	})
	s := b.session()
	answer := s.Do(t.Context(), job.Request{Action: job.Install})
	if answer.Failure != nil || answer.Unobserved == nil || !answer.Unobserved.Transient || len(answer.History) != 0 {
		t.Fatalf("failure %+v, unobserved %+v, history %q", answer.Failure, answer.Unobserved, history(answer))
	}
	if unseen := s.Do(t.Context(), job.Request{Action: job.Observe}); unseen.Failure == nil || unseen.Unobserved != nil {
		t.Errorf("failure %+v, unobserved %+v", unseen.Failure, unseen.Unobserved)
	}
	back.Store(true)
	seen := s.Do(t.Context(), job.Request{Action: job.Observe})
	b.historyIs(seen, "1 deployed")
	if seen.History[0].Action != "install" {
		t.Errorf("it is of %q", seen.History[0].Action)
	}
}
