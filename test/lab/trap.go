package lab

import (
	"net/http"
	"testing"
)

// TestTrap is a site where nobody should come: it fails the test when somebody does. Its URL is what a server redirects
// to.
func TestTrap(t testing.TB, config SiteConfig) *Site {
	t.Helper()
	trap, err := startSite(config, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s was asked of a host that must not be; it has a credential: %t", r.Method, r.URL.Path, r.Header.Get("Authorization") != "")
		http.NotFound(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, trap.Stop)
	return trap
}

// TestSite serves a handler of the test's own.
func TestSite(t testing.TB, config SiteConfig, handler http.Handler) *Site {
	t.Helper()
	site, err := startSite(config, handler)
	if err != nil {
		t.Fatal(err)
	}
	stopAfter(t, site.Stop)
	return site
}
