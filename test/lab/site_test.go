package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"flotilla.dev/flotilla/test/lab"
)

func TestFaultsStrikeAndEnd(t *testing.T) {
	t.Parallel()
	for _, config := range []lab.SiteConfig{{}, {Authority: lab.TestAuthority(t)}} {
		elsewhere := lab.TestSite(t, config, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, "elsewhere "+r.URL.RequestURI())
		}))
		site := lab.TestSite(t, config, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/x-lab")
			_, _ = fmt.Fprint(w, "content of "+r.URL.Path)
		}))
		for name, tc := range map[string]struct {
			fault lab.Fault
			check func(status int, body string, err error) bool
		}{
			"reset": {lab.Reset, func(_ int, _ string, err error) bool { return err != nil }},
			"half": {lab.Half, func(status int, body string, err error) bool {
				return status == 200 && body == "content " && err != nil
			}},
			"garbage": {lab.Garbage, func(status int, body string, err error) bool { return status == 200 && len(body) == 4096 && err == nil }},
			"redirect": {lab.Redirect(elsewhere.URL()), func(_ int, body string, _ error) bool {
				return body == "elsewhere /of/it?x=1"
			}},
			"moved here": {lab.MovedHere, func(_ int, body string, _ error) bool { return body == "content of /of/it" }},
			"loop":       {lab.RedirectLoop, func(_ int, _ string, err error) bool { return err != nil }},
			"status": {lab.Status(404), func(status int, body string, _ error) bool {
				return status == 404 && strings.Contains(body, lab.SecretOfServer)
			}},
		} {
			site.Set(tc.fault)
			status, body, err := ask(t, site, "/of/it?x=1")
			if !tc.check(status, body, err) || site.Struck() == 0 {
				t.Errorf("%s: %d %q %v", name, status, body, err)
			}
			site.Clear()
			if _, body, err := ask(t, site, "/of/it"); body != "content of /of/it" || err != nil {
				t.Errorf("after %s: %q %v", name, body, err)
			}
		}
	}
}

func TestWhoSendsMuchGetsTheAnswerThatRefusesIt(t *testing.T) {
	t.Parallel()
	site := lab.TestSite(t, lab.SiteConfig{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusForbidden)
	}))
	conn, err := net.Dial("tcp", site.Host())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 32 << 20 // more than lies in buffers
	head := fmt.Sprintf("PUT / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", size)
	if _, err := conn.Write(append([]byte(head), make([]byte, size)...)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("answer %v, error %v", answer, err)
	}
}

func TestHangingAnswerEndsWithItsClientOrTheFault(t *testing.T) {
	t.Parallel()
	for _, config := range []lab.SiteConfig{{}, {Authority: lab.TestAuthority(t)}} {
		site := lab.TestSite(t, config, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, "content")
		}))
		for name, fault := range map[string]lab.Fault{"hang": lab.Hang, "hang halfway": lab.HangHalfway} {
			for _, end := range []string{"client", "fault"} {
				site.Set(fault)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					_, _, err := askContext(ctx, site, "/")
					done <- err
				}()
				lab.Eventually(t, 30*time.Second, "the request has come", func() error {
					if site.Struck() == 0 {
						return errors.New("not yet")
					}
					return nil
				})
				select {
				case err := <-done:
					t.Errorf("%s: it ended by itself: %v", name, err)
				default:
				}
				if end == "client" {
					cancel()
				} else {
					site.Clear()
				}
				if err := <-done; err == nil || (end == "client") != errors.Is(err, context.Canceled) {
					t.Errorf("%s, ended by the %s: %v", name, end, err)
				}
				cancel()
				site.Clear()
			}
		}
	}
}

func TestFaultStrikesWhatItIsMeantFor(t *testing.T) {
	t.Parallel()
	site := lab.TestSite(t, lab.SiteConfig{}, http.NotFoundHandler())
	site.SetFor(func(r *http.Request) bool { return r.URL.Path == "/one" }, lab.StatusRetryAfter(429, 7*time.Second))
	if status, _, _ := ask(t, site, "/one"); status != 429 {
		t.Errorf("status %d, want 429", status)
	}
	if status, _, _ := ask(t, site, "/other"); status != 404 {
		t.Errorf("status %d of what it is not meant for", status)
	}
	if site.Struck() != 1 {
		t.Errorf("it struck %d times, want once", site.Struck())
	}
}

func TestSiteThatIsDownRefusesAndComesBackWhereItWas(t *testing.T) {
	t.Parallel()
	site := lab.TestSite(t, lab.SiteConfig{}, http.NotFoundHandler())
	site.Down()
	if _, _, err := ask(t, site, "/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v, want that it refuses", err)
	}
	if err := site.Up(); err != nil {
		t.Fatal(err)
	}
	if status, _, err := ask(t, site, "/"); status != 404 {
		t.Errorf("%d, %v", status, err)
	}
}

func TestSiteOfClientCertificatesServesNobodyElse(t *testing.T) {
	t.Parallel()
	authority := lab.TestAuthority(t)
	site := lab.TestSite(t, lab.SiteConfig{Authority: authority, ClientCertificates: true}, http.NotFoundHandler())
	if status, _, err := ask(t, site, "/"); status != 404 {
		t.Errorf("with a certificate: %d, %v", status, err)
	}
	open := lab.TestSite(t, lab.SiteConfig{Authority: authority}, http.NotFoundHandler())
	client, err := open.Client() // trusts, and has none
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(site.URL()); err == nil {
		t.Error("it serves a client without a certificate")
	}
	if len(site.Visits()) != 1 {
		t.Errorf("visits %v, want one", site.Visits())
	}
}

// ask returns what was read, and what ended it.
func ask(t *testing.T, site *lab.Site, path string) (status int, body string, err error) {
	t.Helper()
	return askContext(t.Context(), site, path)
}

func askContext(ctx context.Context, site *lab.Site, path string) (status int, body string, err error) {
	client, err := site.Client()
	if err != nil {
		return 0, "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, site.URL()+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	bytes, err := io.ReadAll(response.Body)
	return response.StatusCode, string(bytes), err
}
