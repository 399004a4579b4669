package lab_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

func TestProxyPassesOnWhoMayUseIt(t *testing.T) {
	t.Parallel()
	p := lab.TestProxy(t, lab.ProxyConfig{Username: "anna", Password: "correct-horse"})
	for name, config := range map[string]lab.SiteConfig{"http": {}, "https": {Authority: lab.TestAuthority(t)}} {
		site := lab.TestSite(t, config, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, "answer", r.Header.Get("Proxy-Authorization"))
		}))
		stranger, err := url.Parse(p.URL())
		if err != nil {
			t.Fatal(err)
		}
		denied := p.Denied()
		if body, err := through(t, site, stranger); body == "answer" || p.Denied() != denied+1 {
			t.Errorf("%s: a stranger got %q, %v; %d were denied", name, body, err, p.Denied())
		}
		if body, err := through(t, site, p.Through()); body != "answer" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if passed := p.Passed(site.Host()); passed != 1 {
			t.Errorf("%s: %d passed, want 1", name, passed)
		}
	}
}

func TestProxyConnectsToThisMachineAlone(t *testing.T) {
	t.Parallel()
	p := lab.TestProxy(t, lab.ProxyConfig{})
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(p.Through())}}
	for _, target := range []string{"http://192.0.2.1:80/", "http://localhost.example:80/", "http://192.0.2.1/"} {
		response, err := client.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", target, response.StatusCode)
		}
	}
	if _, err := client.Get("https://192.0.2.1/"); err == nil {
		t.Error("it connects elsewhere")
	}
	if passed := p.Passed("192.0.2.1:80") + p.Passed("192.0.2.1:443"); passed != 0 {
		t.Errorf("%d were passed on", passed)
	}
}

func through(t *testing.T, site *lab.Site, proxy *url.URL) (body string, err error) {
	t.Helper()
	client, err := site.Client()
	if err != nil {
		t.Fatal(err)
	}
	client.Transport.(*http.Transport).Proxy = http.ProxyURL(proxy)
	response, err := client.Get(site.URL())
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	bytes, err := io.ReadAll(response.Body)
	return string(bytes), err
}
