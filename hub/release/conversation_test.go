package release_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// many are GitRepositories over a few repositories, that differ in all that makes no conversation of its own.
const (
	manySources = 1000
	manyRemotes = 10
)

// applyMany declares the sources, which are due again a long time after they were looked at.
func (b *bundle) applyMany() {
	b.t.Helper()
	for i := range manySources {
		ref := []string{`{"branch":"main"}`, `{"branch":"main"}`, `{"tag":"v1"}`, `{"branch":"next"}`}[i%4]
		b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"source-%d","namespace":"team-%d"},
			"spec":{"interval":"%dm","timeout":"%ds","url":%q,"ref":%s,"ignore":"*.%d"}}`, i, i%7, 60+i%5, 30+i%9, b.server.URL(remoteName(i%manyRemotes)), ref, i%3))
	}
}

func remoteName(i int) string { return fmt.Sprintf("many-%d", i) }

// newMany makes the repositories, with what the sources name.
func (b *bundle) newMany() {
	b.t.Helper()
	for i := range manyRemotes {
		if _, err := b.server.NewRepo(remoteName(i)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.pushMany("1", "main:next", "main:refs/tags/v1")
}

// pushMany makes a commit, and has it in each repository, whose main it becomes, and what else is named.
func (b *bundle) pushMany(content string, refs ...string) {
	b.t.Helper()
	b.push(map[string]string{"a.yaml": fmt.Sprintf(configMap, "a", content)})
	for i := range manyRemotes {
		// The disk is faster than HTTP, and counts as no traffic.
		args := append([]string{"push", "--quiet", b.server.Path(remoteName(i)), "main"}, refs...)
		if _, err := b.repo.Git(b.t.Context(), args...); err != nil {
			b.t.Fatal(err)
		}
	}
}

// traffic is that of all repositories together.
func (b *bundle) traffic() (all lab.GitTraffic) {
	for i := range manyRemotes {
		t := b.server.Traffic(remoteName(i))
		all.Advertisements += t.Advertisements
		all.Listings += t.Listings
		all.Fetches += t.Fetches
	}
	return all
}

// lookedAllSince waits until everything was looked at since then, and is not being looked at.
func (b *bundle) lookedAllSince(since time.Time, count int) {
	b.t.Helper()
	lab.Eventually(b.t, 3*time.Minute, "all were looked at", func() error {
		states, err := b.Sources(b.t.Context())
		if err != nil {
			return err
		}
		looked := 0
		for key, s := range states {
			if s.Reason != "" {
				return fmt.Errorf("%s: %s", key, s.Message)
			}
			if s.CheckedAt.After(since) && !s.Claimed && !s.TreeBlob.IsZero() && s.TreeBlob == s.Latest.TreeBlob {
				looked++
			}
		}
		if looked < count {
			return fmt.Errorf("%d of %d", looked, count)
		}
		return nil
	})
}

// interval makes every upstream due, as it is after an interval, and waits until all were looked at.
func (b *bundle) interval() {
	b.t.Helper()
	started, err := b.BeginRecovery(b.t.Context(), admin)
	if err != nil {
		b.t.Fatal(err)
	}
	b.lookedAllSince(started, manySources)
	if _, err := b.EndRecovery(b.t.Context(), admin, false); err != nil {
		b.t.Fatal(err)
	}
}

func TestAThousandSourcesOverTenRemotesAreTenConversationsAnInterval(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d replicas", replicas), func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			for range replicas - 1 {
				b.replica(nil)
			}
			b.newMany()
			b.applyMany()
			b.lookedAllSince(time.Time{}, manySources)
			for _, step := range []struct {
				name           string
				lists, fetches int
			}{{"nothing moved", manyRemotes, 0}, {"nothing moved again", manyRemotes, 0}, {"all moved", manyRemotes, manyRemotes}} {
				if step.fetches > 0 {
					b.pushMany(step.name)
				}
				before := b.traffic()
				b.interval()
				after := b.traffic()
				lists, fetches := after.Advertisements-before.Advertisements, after.Fetches-before.Fetches
				if lists != step.lists || fetches != step.fetches {
					t.Errorf("%s: %d lists and %d fetches, want %d and %d", step.name, lists, fetches, step.lists, step.fetches)
				}
			}
		})
	}
}

func TestSourcesThatHangDoNotSlowOneOfTheSameNamespace(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var hanging atomic.Int64
	done := make(chan struct{})
	for i := range 20 {
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			hanging.Add(1)
			select {
			case <-r.Context().Done():
			case <-done:
			}
		}))
		t.Cleanup(server.Close)
		b.applySource(fmt.Sprintf("hanging-%d", i), server.URL+"/app.git", `,"timeout":"10m"`)
	}
	t.Cleanup(func() { close(done) }) // before the servers close, which wait for what hangs
	lab.Eventually(t, time.Minute, "20 hang", func() error {
		if n := hanging.Load(); n < 20 {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	for i := range 3 {
		hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", fmt.Sprint(i))})
		if i == 0 {
			b.applyGit("app", "")
		} else {
			b.reconcile("app")
		}
		b.eventuallySource("app", fetched(hash))
	}
	if n := hanging.Load(); n != 20 {
		t.Errorf("%d hang: some gave up meanwhile, so that nothing is proved", n)
	}
}

func TestFailureOfARemoteIsNotTriedForEachOfItsSources(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	b.stop()
	for i := range 30 {
		b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app-%d","namespace":"apps"},"spec":{"interval":"10m","url":%q,"ref":{"tag":"v%d"}}}`,
			i, server.URL+"/app.git", i))
	}
	loop := b.replica(nil)
	b.Store = loop.Store
	b.eventuallySource("app-0", saying("AuthenticationFailed"))
	for i := range 30 {
		b.eventuallySource(fmt.Sprintf("app-%d", i), saying("AuthenticationFailed"))
	}
	// Bindings come one after the other, and each may be looked at before the next one; a failure is tried again after a
	// second. Thirty sources that each ask are thirty questions at once.
	if n := asked.Load(); n > 15 {
		t.Errorf("%d questions for 30 sources of one remote", n)
	}
}

func TestReplicaThatLookedLastLooksAgain(t *testing.T) {
	t.Parallel()
	url, root := lab.TestDatabase(t), newRoot(t)
	one, other := openReplica(t, url, root), openReplica(t, url, root)
	id := fleet.DigestOf([]byte("upstream"))
	o, err := resource.Decode([]byte(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := one.ApplyObject(t.Context(), admin, o, fleet.Order{}); err != nil {
		t.Fatal(err)
	}
	if err := one.BindSource(t.Context(), fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: id, Remote: id}); err != nil {
		t.Fatal(err)
	}
	claimed := func(by interface {
		ClaimUpstreams(context.Context, int, []fleet.Digest) ([]fleet.UpstreamState, error)
	}) int {
		t.Helper()
		found, err := by.ClaimUpstreams(t.Context(), 10, nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := claimed(one); n != 1 {
		t.Fatalf("%d claimed", n)
	}
	if err := one.SaveChecked(t.Context(), []fleet.Checked{{ID: id}}); err != nil { // due again at once
		t.Fatal(err)
	}
	if n := claimed(other); n != 0 {
		t.Error("the other one took what is warm at the first")
	}
	if _, err := connect(t, url).Exec(t.Context(), `UPDATE upstream SET due_at = due_at - interval '6 seconds'`); err != nil {
		t.Fatal(err)
	}
	if n := claimed(other); n != 1 {
		t.Error("the other one does not take over what the first leaves")
	}
}

// connect goes past the store, to have time pass.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // nothing depends on it
	return conn
}

func newRoot(t *testing.T) identity.Root {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// renewals are the claims that were renewed.
type renewals struct {
	release.Store
	of chan fleet.Digest
}

func (r *renewals) KeepClaims(ctx context.Context, remotes []fleet.Digest) error {
	for _, remote := range remotes {
		select {
		case r.of <- remote:
		default:
		}
	}
	return r.Store.KeepClaims(ctx, remotes)
}

// Ten minutes are enough for one look, not for a conversation about many upstreams, one after the other.
func TestClaimsAreRenewedWhileAConversationLasts(t *testing.T) {
	t.Parallel()
	renewed := &renewals{of: make(chan fleet.Digest, 1)}
	b := newBundleWith(t, func(c *release.Config) {
		renewed.Store, c.Store, c.Renew, c.Period = c.Store, renewed, time.Millisecond, 10*time.Millisecond
	})
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	b.applySource("hanging", server.URL+"/app.git", `,"timeout":"10m"`)
	select {
	case <-renewed.of:
	case <-time.After(time.Minute):
		t.Error("the claim was not renewed while the server hung")
	}
}
