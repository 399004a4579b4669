package release_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

func TestCommitBecomesARelease(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "./deploy")
	one := b.eventually("app", at(first))
	second := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	b.reconcile("app")
	if two := b.eventually("app", at(second)); two.Release == one.Release {
		t.Error("another object, the same Release")
	}
}

func TestUntouchedAppKeepsItsReleaseAtTheNewRevision(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	first := b.push(map[string]string{"a/a.yaml": fmt.Sprintf(configMap, "a", "1"), "b/b.yaml": fmt.Sprintf(configMap, "b", "1")})
	b.applyGit("app", "")
	b.applyApp("a", "a")
	b.applyApp("b", "b")
	a1, b1 := b.eventually("a", at(first)), b.eventually("b", at(first))
	second := b.push(map[string]string{"b/b.yaml": fmt.Sprintf(configMap, "b", "2")})
	b.reconcile("app")
	a2, b2 := b.eventually("a", at(second)), b.eventually("b", at(second))
	if a1.Release != a2.Release || b1.Release == b2.Release {
		t.Errorf("a: %s -> %s, b: %s -> %s", a1.Release, a2.Release, b1.Release, b2.Release)
	}
}

func TestSourcesOfOneUpstreamAreFetchedOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyGit("other", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	for _, name := range []string{"app", "other"} {
		b.eventuallySource(name, fetched(hash))
	}
	if traffic := b.server.Traffic("app"); traffic.Fetches != 1 {
		t.Errorf("%d fetches", traffic.Fetches)
	}
	if built := b.metric("flotilla_hub_builds_total", "built"); built != 1 {
		t.Errorf("%v builds", built)
	}
}

func TestWhatIsWrongIsSaidAndTheLastGoodStateStays(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	good := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "other/b.yaml": fmt.Sprintf(configMap, "b", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.applyApp("other", "other")
	before := b.eventually("app", at(good))
	b.eventually("other", at(good))
	for _, step := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"broken YAML", map[string]string{"deploy/a.yaml": "a: [\n"}, "deploy/a.yaml"},
		{"not an object", map[string]string{"deploy/a.yaml": "just: text\n"}, "deploy/a.yaml"},
		{"remote base", map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "deploy/kustomization.yaml": "resources: [a.yaml, \"https://example.com/x//y?ref=main\"]\n"}, "https://example.com/x"},
	} {
		hash := b.push(step.files)
		b.reconcile("app")
		state := b.eventually("app", failing(step.want))
		if state.Release != before.Release {
			t.Errorf("%s: the Release moved", step.name)
		}
		b.eventually("other", at(hash)) // goes on
	}
	if err := b.repo.Remove("deploy"); err != nil {
		t.Fatal(err)
	}
	b.push(nil)
	b.reconcile("app")
	if state := b.eventually("app", failing("path not found")); state.Release != before.Release {
		t.Error("a missing path moved the Release")
	}
}

func TestSourceThatCannotBeFetchedSaysWhyAndRecovers(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	if err := b.server.Protect("app", "user", "right"); err != nil {
		t.Fatal(err)
	}
	b.applyApp("app", "deploy")
	b.eventually("app", failing("GitRepository/apps/app"))
	b.applyGit("app", `,"secretRef":{"name":"git"}`)
	b.eventuallySource("app", saying("Secret/apps/git is not given to the hub"))
	b.applySecret("git", "wrong")
	b.eventuallySource("app", saying("AuthenticationFailed"))
	b.applySecret("git", "right")
	b.eventually("app", at(hash))
	b.server.Down()
	b.reconcile("app")
	b.eventuallySource("app", saying("GitOperationFailed"))
	b.server.Up()
	b.reconcile("app")
	b.eventually("app", at(hash))
}

// A look whose outcome could not be saved, as when the database was away for a moment, leaves a claim behind; the
// replica that made it takes it again, and another one does not.
func TestClaimWhoseLookWasNotSavedIsTakenAgainByItsReplica(t *testing.T) {
	t.Parallel()
	url := lab.TestDatabaseFrom(t, "schema", store.Migrate)
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	replica := func() *store.Store { return openReplica(t, url, root) }
	one, other := replica(), replica()
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
	for i, step := range []struct {
		by   *store.Store
		busy []fleet.Digest
		want int
	}{{one, nil, 1}, {other, nil, 0}, {one, []fleet.Digest{id}, 0}, {one, nil, 1}, {other, nil, 0}} {
		if ids, err := step.by.ClaimUpstreams(t.Context(), 10, step.busy); err != nil || len(ids) != step.want {
			t.Errorf("step %d: claimed %v, error %v; want %d", i, ids, err, step.want)
		}
	}
}

// openReplica opens a Store that is known to be alive.
func openReplica(t *testing.T, url string, root identity.Root) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	wake, stop := s.Watch(store.TopicObjects)
	defer stop()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		s.Close()
	})
	<-wake // it listens, and holds its claims
	return s
}
