package git_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/test/lab"
)

func TestFailuresSayWhatWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	shared := newBundle(t)
	shared.push(map[string]string{"a.yaml": "1"})
	for name, tc := range map[string]struct {
		arrange  func(*testing.T, *bundle, *source.Upstream)
		kind     source.Kind
		sentinel error
		want     string
	}{
		"no credential": {
			func(t *testing.T, b *bundle, u *source.Upstream) { b.protect("anna", "correct-horse") },
			source.KindAuth, fleet.ErrDenied, "the source has none; name a Secret in spec.secretRef",
		},
		"a Secret without a user": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				b.protect("anna", "correct-horse")
				u.Secrets = secret()
			},
			source.KindAuth, fleet.ErrDenied, "the Secret that spec.secretRef names has none; add the keys username and password",
		},
		"wrong password": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				b.protect("anna", "correct-horse")
				u.Secrets = secret("username", "anna", "password", "hunter2")
			},
			source.KindAuth, fleet.ErrDenied, "the user or the password is wrong; correct the Secret",
		},
		"no such repository": {
			func(t *testing.T, b *bundle, u *source.Upstream) { u.URL = strings.Replace(u.URL, "/repo", "/none", 1) },
			source.KindRepository, fleet.ErrNotFound, "no such repository",
		},
		"no such branch": {
			func(t *testing.T, b *bundle, u *source.Upstream) { follow(u, flux.GitReference{Branch: "none"}) },
			source.KindRef, fleet.ErrNotFound, "branch none not found; check spec.ref",
		},
		"no such tag": {
			func(t *testing.T, b *bundle, u *source.Upstream) { follow(u, flux.GitReference{Tag: "none"}) },
			source.KindRef, fleet.ErrNotFound, "tag none not found",
		},
		"no master": {
			func(t *testing.T, b *bundle, u *source.Upstream) { follow(u, flux.GitReference{}) },
			source.KindRef, fleet.ErrNotFound, "branch master not found",
		},
		"no such commit": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				follow(u, flux.GitReference{Commit: strings.Repeat("a", 40)})
			},
			source.KindRef, fleet.ErrNotFound, "commit " + strings.Repeat("a", 40) + " not found",
		},
		"no such commit, and none by hash": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				b.server("config", "uploadpack.allowAnySHA1InWant", "false")
				t.Cleanup(func() { shared.server("config", "uploadpack.allowAnySHA1InWant", "true") })
				follow(u, flux.GitReference{Commit: strings.Repeat("a", 40)})
			},
			source.KindRef, fleet.ErrNotFound, "not found",
		},
		"server down": { // a port that nothing has, unlike one that was let go
			func(t *testing.T, b *bundle, u *source.Upstream) { u.URL = "http://127.0.0.1:1/repo.git" },
			source.KindConnect, nil, "the connection was refused",
		},
		"unknown name": {
			func(t *testing.T, b *bundle, u *source.Upstream) { u.URL = "http://no-such-host.invalid/repo.git" },
			source.KindConnect, nil, "the name no-such-host.invalid is not known",
		},
		"no answer": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL, u.Timeout = serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), 100*time.Millisecond
			},
			source.KindTimeout, nil, "no answer within 100ms",
		},
		"half an answer": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "1000")
					_, _ = fmt.Fprint(w, "001e# service=git-upload-pack\n0000")
				})
			},
			source.KindServer, nil, "not understood",
		},
		"no Git": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "<html>hello</html>") })
			},
			source.KindServer, nil, "is this the address of a Git repository?",
		},
		"broken server": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "stack trace", http.StatusBadGateway) })
			},
			source.KindServer, nil, "the server answered 502 (Bad Gateway)",
		},
		"forbidden": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "secret", http.StatusForbidden) })
			},
			source.KindAuth, fleet.ErrDenied, "may not read it",
		},
		"unknown authority": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = lab.TestSite(t, lab.SiteConfig{Authority: lab.TestAuthority(t)}, b.lab).URL() + "/repo.git"
			},
			source.KindTLS, nil, "give it as ca.crt in the Secret",
		},
		"plain text where TLS is expected": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = strings.Replace(u.URL, "http://", "https://", 1)
			},
			source.KindTLS, nil, "does not speak TLS",
		},
		"another scheme": {
			func(t *testing.T, b *bundle, u *source.Upstream) { u.URL = "file:///etc" },
			source.KindInvalid, fleet.ErrInvalid, "is not http",
		},
		"password in the URL": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.URL = strings.Replace(u.URL, "//", "//anna:hunter2@", 1)
			},
			source.KindInvalid, fleet.ErrInvalid, "give them in a Secret",
		},
		"an option as a branch": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				follow(u, flux.GitReference{Branch: "--upload-pack=x"})
			},
			source.KindInvalid, fleet.ErrInvalid, "is not a name of a branch",
		},
		"half a commit": {
			func(t *testing.T, b *bundle, u *source.Upstream) { follow(u, flux.GitReference{Commit: "abc"}) },
			source.KindInvalid, fleet.ErrInvalid, "40 hex digits",
		},
		"no certificate as ca.crt": {
			func(t *testing.T, b *bundle, u *source.Upstream) {
				u.Secrets = secret("ca.crt", "x")
			},
			source.KindAuth, fleet.ErrDenied, "ca.crt of the Secret",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := shared.in(t)
			b.protect("", "") // whatever the one before has asked for
			u := b.upstream(flux.GitReference{Branch: "main"})
			tc.arrange(t, b, &u)
			err := b.try(u)
			if err == nil || source.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%s error %v; want %s with %q", source.KindOf(err), err, tc.kind, tc.want)
			}
			if tc.sentinel != nil && !errors.Is(err, tc.sentinel) {
				t.Errorf("error %v is no %v", err, tc.sentinel)
			}
			for _, secret := range []string{"hunter2", "correct-horse", "stack trace", "secret\n"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q shows too much", err)
				}
			}
			var failure *source.Error
			if tc.kind != source.KindInvalid && (!errors.As(err, &failure) || !strings.HasPrefix(err.Error(), u.URL+": ")) {
				t.Errorf("error %q does not begin with the URL", err)
			}
		})
	}
}

func TestGitAuthenticates(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	b.protect("anna", "correct-horse")
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.Secrets = secret("username", "anna", "password", "correct-horse")
	if got := b.fetch(u); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
}

func TestACredentialGoesNowhereElse(t *testing.T) {
	t.Parallel()
	var trapped atomic.Int64
	trap := serve(t, func(w http.ResponseWriter, r *http.Request) { trapped.Add(1) })
	b := newBundle(t)
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.Secrets = secret("username", "anna", "password", "hunter2")
	u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, trap+r.URL.Path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
	})
	err := b.try(u)
	if source.KindOf(err) != source.KindRedirect || !strings.Contains(err.Error(), trap) {
		t.Errorf("error %v, want one about the redirect to %s", err, trap)
	}
	if trapped.Load() != 0 {
		t.Error("another server was asked")
	}
}

func TestARedirectAtTheSameHostIsFollowed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	target, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: target.Scheme, Host: target.Host})
	u := b.upstream(flux.GitReference{Branch: "main"})
	u.URL = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if rest, old := strings.CutPrefix(r.URL.Path, "/old.git"); old {
			http.Redirect(w, r, "/repo.git"+rest+"?"+r.URL.RawQuery, http.StatusFound)
			return
		}
		proxy.ServeHTTP(w, r)
	}) + "/old.git"
	if got := b.fetch(u); got["a.yaml"] != "1" {
		t.Errorf("tree %v, want a.yaml: 1", got)
	}
}

func TestAForbiddenAddressIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	strict := b.newGit(git.Config{Dir: t.TempDir(), Network: network(source.Addresses{DenyPrivate: true})})
	before := b.lab.Traffic("repo")
	_, err := strict.Resolve(t.Context(), b.upstream(flux.GitReference{Branch: "main"}))
	if source.KindOf(err) != source.KindAddress || !errors.Is(err, fleet.ErrDenied) || !strings.Contains(err.Error(), "127.0.0.1 is not allowed") {
		t.Errorf("error %v, want that the address is not allowed", err)
	}
	if b.lab.Traffic("repo") != before {
		t.Error("the server was asked")
	}
	allowed := b.newGit(git.Config{Dir: t.TempDir(), Network: network(source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})})
	if _, err := allowed.Resolve(t.Context(), b.upstream(flux.GitReference{Branch: "main"})); err != nil {
		t.Errorf("an exception: %v", err)
	}
}

func TestNewGitRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	if _, err := git.New(git.Config{}); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("error %v, want it refused", err)
	}
}

func (b *bundle) protect(user, password string) {
	b.t.Helper()
	if err := b.lab.Protect("repo", user, password); err != nil {
		b.t.Fatal(err)
	}
}

// try resolves and fetches, and returns the error of either.
func (b *bundle) try(u source.Upstream) error {
	u = named(u)
	found, err := b.fetcher.Resolve(b.t.Context(), u)
	if err == nil {
		_, err = b.fetcher.Fetch(b.t.Context(), u, found)
	}
	return err
}

// serve answers with the function, on loopback, until the test ends.
func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	return lab.TestSite(t, lab.SiteConfig{}, answer).URL()
}

// An error among the objects is the server's own, as when its disk has lost some.
func TestAServerWhoseGitFailsIsSaidTo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{"a.yaml": "1"})
	blob, err := (&lab.Repo{Dir: b.lab.Path("repo")}).Git(t.Context(), "rev-parse", "main:a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.lab.Path("repo"), "objects", blob[:2], blob[2:])); err != nil {
		t.Fatal(err)
	}
	err = b.try(b.upstream(flux.GitReference{Branch: "main"}))
	if source.KindOf(err) != source.KindServer || !strings.Contains(err.Error(), "the server's Git failed while it sent objects") || strings.Contains(err.Error(), "corruption") {
		t.Errorf("error %v, want that the server's Git failed", err)
	}
}
