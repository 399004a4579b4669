package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

func (b *bundle) suspend(name string, yes bool) {
	b.t.Helper()
	var err error
	if yes {
		_, _, err = b.Suspend(b.t.Context(), admin, "GitRepository", "apps", name, false)
	} else {
		_, _, err = b.Resume(b.t.Context(), admin, "GitRepository", "apps", name, false)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// lookedAll makes every upstream due and waits until the loop has looked at that of the Source, which takes no Git
// traffic of another one's repository.
func (b *bundle) lookedAll(name string) {
	b.t.Helper()
	started, err := b.BeginRecovery(b.t.Context(), admin)
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventuallySource(name, func(s fleet.SourceState) error {
		if s.CheckedAt.Before(started) {
			return errors.New("not looked at")
		}
		return nil
	})
}

func TestSuspendedSourceIsLeftAloneUntilItIsResumed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.pushTo(b.newRepo("witness"), map[string]string{"a.yaml": fmt.Sprintf(configMap, "w", "1")})
	b.applyGit("app", "")
	b.applySource("witness", b.server.URL("witness"), "")
	b.applyApp("app", "deploy")
	before := b.eventually("app", at(first))
	b.suspend("app", true)
	b.reconcile("witness") // the loop has seen the suspension
	second := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	quiet := b.server.Traffic("app")
	for range 3 {
		b.lookedAll("witness")
	}
	if got := b.server.Traffic("app"); got.Fetches != quiet.Fetches || got.Listings != quiet.Listings || got.Advertisements != quiet.Advertisements {
		t.Errorf("traffic of a suspended source: %+v, before %+v", got, quiet)
	}
	if now := b.eventually("app", at(first)); now.Release != before.Release {
		t.Error("the App of a suspended source moved")
	}
	b.suspend("app", false)
	b.eventually("app", at(second))
}

func TestLookUnderWayDoesNotMoveASourceThatWasSuspendedMeanwhile(t *testing.T) {
	t.Parallel()
	gate := &gatedFetcher{}
	b := newBundleWith(t, func(c *release.Config) { gate.Fetcher, c.Fetcher = c.Fetcher, gate })
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(first))
	b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	entered, leave := gate.close()
	started, err := b.BeginRecovery(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	b.suspend("app", true)
	close(leave)
	b.eventuallySource("app", func(s fleet.SourceState) error {
		if s.CheckedAt.Before(started) || s.Claimed {
			return errors.New("not looked at")
		}
		return nil
	})
	b.eventuallySource("app", fetched(first))
	b.eventually("app", at(first))
}

// gatedFetcher lets Resolve wait.
type gatedFetcher struct {
	source.Fetcher
	mu      sync.Mutex
	entered chan struct{}
	leave   chan struct{}
}

// close makes the next Resolve say when it has begun, and wait until leave is closed.
func (g *gatedFetcher) close() (entered <-chan struct{}, leave chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entered, g.leave = make(chan struct{}), make(chan struct{})
	return g.entered, g.leave
}

func (g *gatedFetcher) Resolve(ctx context.Context, u source.Upstream) (source.Found, error) {
	g.mu.Lock()
	entered, leave := g.entered, g.leave
	g.entered, g.leave = nil, nil
	g.mu.Unlock()
	found, err := g.Fetcher.Resolve(ctx, u)
	if entered != nil {
		close(entered)
		select {
		case <-leave:
		case <-ctx.Done():
		}
	}
	return found, err
}

func TestActiveSourceMovesWithoutTheSuspendedOneOfTheSameUpstream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyGit("other", "")
	b.applyApp("app", "deploy")
	b.applyAppOn("other", "other", "deploy")
	b.eventually("app", at(first))
	b.eventually("other", at(first))
	b.suspend("app", true)
	second := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	b.reconcile("other")
	b.eventually("other", at(second))
	b.eventuallySource("app", fetched(first))
	b.eventually("app", at(first))
	b.applyApp("app", "./deploy/") // an edit of the App is built from what its source has
	b.eventually("app", func(s fleet.AppState) error {
		if s.ObservedGeneration != 2 {
			return fmt.Errorf("generation %d is built", s.ObservedGeneration)
		}
		return at(first)(s)
	})
}

func TestSourcesShareAFetchOnlyWithTheSameSecret(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applySecret("one", "a")
	b.applySecret("two", "b")
	b.applyGit("app", `,"secretRef":{"name":"one"}`)
	b.applyGit("same", `,"secretRef":{"name":"one"}`)
	b.eventuallySource("app", fetched(hash))
	b.eventuallySource("same", fetched(hash))
	if traffic := b.server.Traffic("app"); traffic.Fetches != 1 {
		t.Errorf("%d fetches with one Secret", traffic.Fetches)
	}
	b.applyGit("other", `,"secretRef":{"name":"two"}`)
	b.eventuallySource("other", fetched(hash))
	if traffic := b.server.Traffic("app"); traffic.Fetches != 2 {
		t.Errorf("%d fetches with two Secrets", traffic.Fetches)
	}
}

func TestWrongPasswordAfterTheRightOneLeavesTheArtifactToBuildFrom(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "next/b.yaml": fmt.Sprintf(configMap, "b", "1")})
	if err := b.server.Protect("app", "user", "right"); err != nil {
		t.Fatal(err)
	}
	b.applySecret("git", "right")
	b.applyGit("app", `,"secretRef":{"name":"git"}`)
	b.applyApp("app", "deploy")
	before := b.eventually("app", at(hash))
	tree := b.eventuallySource("app", fetched(hash)).Tree
	b.applySecret("git", "wrong")
	if state := b.eventuallySource("app", saying("AuthenticationFailed")); state.Tree != tree || !strings.HasSuffix(string(state.Revision), hash) {
		t.Errorf("artifact %s at %q is left, not %s", state.Tree, state.Revision, tree)
	}
	b.applyApp("app", "next")
	b.eventually("app", func(s fleet.AppState) error {
		if s.ObservedGeneration != 2 || s.Release == before.Release {
			return fmt.Errorf("generation %d is built to %s", s.ObservedGeneration, s.Release)
		}
		return at(hash)(s)
	})
}

func TestSecretThatIsMissingOrIncompleteIsToldInTheLogAndOnceAsAnEvent(t *testing.T) {
	t.Parallel()
	log := &testLog{}
	logging := func(c *release.Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) }
	b := newBundleWith(t, logging)
	b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", `,"secretRef":{"name":"git"}`)
	b.eventuallySource("app", saying("is not given to the hub"))
	b.replica(logging) // both see what follows
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps"},"stringData":{"username":"user"}}`)
	b.eventuallySource("app", saying("the Secret has username, and no password"))
	b.applyGit("witness", "")
	b.reconcile("witness") // they have looked again
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "GitRepository", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	wants := []string{"Secret/apps/git is not given to the hub", "the Secret has username, and no password"}
	if len(events) != len(wants) {
		t.Fatalf("events %+v, want %d", events, len(wants))
	}
	for i, want := range wants {
		if e := events[i]; !e.Warning || e.Namespace != "apps" || e.Reason != "AuthenticationFailed" || !strings.Contains(e.Message, want) {
			t.Errorf("event %+v, want a warning with %q", e, want)
		}
		lab.Eventually(t, time.Minute, "log", func() error {
			if !strings.Contains(log.text(), want) {
				return fmt.Errorf("it lacks %q:\n%s", want, log.text())
			}
			return nil
		})
	}
}

// testLog is a log that may be read while it is written.
type testLog struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(line)
}

func (l *testLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func TestSecretWhoseKeysDoNotGoTogetherIsRefusedByTheirNames(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	for key, want := range map[string]string{
		"bearerToken": "the Secret has bearerToken and username", "tls.crt": "one of tls.crt and tls.key", "ca.crt": "ca.crt of the Secret holds no certificate",
		"githubAppID": "set spec.provider to github",
	} {
		name := strings.ToLower(strings.ReplaceAll(key, ".", "-"))
		b.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":"apps"},"stringData":{"username":"user","password":"any",%q:"any"}}`, name, key))
		b.applyGit(name, fmt.Sprintf(`,"secretRef":{"name":%q}`, name))
		b.eventuallySource(name, func(s fleet.SourceState) error {
			if s.Reason != "AuthenticationFailed" || !strings.Contains(s.Message, want) {
				return fmt.Errorf("it says %s %q, not %q", s.Reason, s.Message, want)
			}
			return nil
		})
	}
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"unknown","namespace":"apps"},"stringData":{"username":"user","password":"any","note":"any"}}`)
	b.applyGit("unknown", `,"secretRef":{"name":"unknown"}`)
	b.eventuallySource("unknown", fetched(hash))
}

func TestSourceThatDoesNotAnswerInTimeSaysSo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.applySource("app", silent(t), `,"timeout":"100ms"`)
	b.eventuallySource("app", saying("no answer within 100ms"))
}

func TestShortTimeoutDoesNotCutOffASourceOfTheSameUpstream(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	url := silent(t)
	b.applySource("hasty", url, `,"timeout":"100ms"`)
	b.applySource("patient", url, `,"timeout":"200ms"`)
	b.eventuallySource("patient", saying("no answer within 200ms"))
	b.eventuallySource("hasty", saying("no answer within 200ms"))
}

// silent is the URL of a repository whose server never answers.
func silent(t *testing.T) string {
	t.Helper()
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	return server.URL + "/app.git"
}

func TestSourceWhoseSecretCannotBeReadLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applySecret("git", "any")
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), `UPDATE object SET sealed = 'broken' WHERE kind = 'Secret'`); err != nil {
		t.Fatal(err)
	}
	b.applyGit("a-broken-one", `,"secretRef":{"name":"git"}`)
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
}
