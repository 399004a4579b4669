package release_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/test/lab"

	"github.com/prometheus/client_golang/prometheus"
)

func TestMain(m *testing.M) {
	render.Main() // does not return in a build worker
	lab.Main(m)
}

var admin = fleet.Caller{Principal: "user:admin"}

// bundle is a running loop on a database and a Git server of its own.
type bundle struct {
	*store.Store
	t        *testing.T
	server   *lab.GitServer
	repo     *lab.Repo
	registry *prometheus.Registry
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.Context(), store.Config{URL: lab.TestDatabase(t), Sealer: root, KeyFingerprint: root.Fingerprint(), Log: log, MaxConnections: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bundle{Store: s, t: t, server: lab.TestGit(t), registry: prometheus.NewRegistry()}
	if _, err := b.server.NewRepo("app"); err != nil {
		t.Fatal(err)
	}
	if b.repo, err = b.server.Clone(t.Context(), "app", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	builder, err := render.New(render.Config{Workers: 1, Log: log, Metrics: b.registry})
	if err != nil {
		t.Fatal(err)
	}
	git, err := source.NewGit(source.GitConfig{Dir: t.TempDir(), Store: s.Blobs(), Log: log, Metrics: b.registry})
	if err != nil {
		t.Fatal(err)
	}
	wake, _ := s.Watch(store.TopicObjects, store.TopicSources, store.TopicApps)
	loop := release.New(release.Config{Store: s, Blobs: s.Blobs(), Fetcher: git, Builder: builder, Name: root.MAC, Wake: wake, Log: log, Metrics: b.registry})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- run.All(ctx, run.Named{Name: "store", Task: s.Run}, run.Named{Name: "builds", Task: builder.Run}, run.Named{Name: "releases", Task: loop.Run})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bundle) push(files map[string]string) string {
	b.t.Helper()
	for path, content := range files {
		if err := b.repo.Write(path, content); err != nil {
			b.t.Fatal(err)
		}
	}
	hash, err := b.repo.Commit(b.t.Context(), "change")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.repo.Push(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return hash
}

func (b *bundle) apply(text string) {
	b.t.Helper()
	o, err := resource.Decode([]byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	if _, _, _, err := b.ApplyObject(b.t.Context(), admin, o, fleet.Order{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) applyGit(name, extra string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","url":%q,"ref":{"branch":"main"}%s}}`,
		name, b.server.URL("app"), extra))
}

func (b *bundle) applyApp(name, path string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":%q,"sourceRef":{"kind":"GitRepository","name":"app"}}}`, name, path))
}

func key(name string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}
}

// eventually waits until the App is as check wants it.
func (b *bundle) eventually(name string, check func(fleet.AppState) error) fleet.AppState {
	b.t.Helper()
	var state fleet.AppState
	lab.Eventually(b.t, 2*time.Minute, "App "+name, func() error {
		states, err := b.AppStates(b.t.Context())
		if err != nil {
			return err
		}
		state = states[key(name)]
		return check(state)
	})
	return state
}

func at(hash string) func(fleet.AppState) error {
	return func(s fleet.AppState) error {
		if !strings.HasSuffix(string(s.Revision), hash) || s.Release.IsZero() {
			return fmt.Errorf("at %+v, not at %s", s, hash)
		}
		return nil
	}
}

func failing(words string) func(fleet.AppState) error {
	return func(s fleet.AppState) error {
		if !strings.Contains(s.Message, words) {
			return fmt.Errorf("says %q, not %q", s.Message, words)
		}
		return nil
	}
}

// reconcile asks for a look at the source and waits until it is served.
func (b *bundle) reconcile(name string) {
	b.t.Helper()
	request, err := b.RequestReconcile(b.t.Context(), admin, "GitRepository", "apps", name, nil, false)
	if err != nil {
		b.t.Fatal(err)
	}
	lab.Eventually(b.t, 2*time.Minute, "the request is served", func() error {
		states, err := b.SourceStates(b.t.Context(), "GitRepository")
		if err != nil {
			return err
		}
		if got := states["apps/"+name].HandledReconcileAt; got != request.At {
			return fmt.Errorf("handled %q, asked %q", got, request.At)
		}
		return nil
	})
}

func (b *bundle) metric(name, label string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: default}\ndata: {value: %q}\n"

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
	lab.Eventually(t, 2*time.Minute, "both are fetched", func() error {
		states, err := b.SourceStates(t.Context(), "GitRepository")
		if err != nil {
			return err
		}
		for name, state := range states {
			if state.Revision == "" {
				return fmt.Errorf("%s is not", name)
			}
		}
		return nil
	})
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
	source := func(want string) {
		t.Helper()
		lab.Eventually(t, 2*time.Minute, "the source says "+want, func() error {
			states, err := b.SourceStates(t.Context(), "GitRepository")
			if err != nil {
				return err
			}
			if got := states["apps/app"].Reason + " " + states["apps/app"].Message; !strings.Contains(got, want) {
				return errors.New(got)
			}
			return nil
		})
	}
	source("Secret/apps/git is not given to the hub")
	secret := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps"},"stringData":{"username":"user","password":"%s"}}`
	b.apply(fmt.Sprintf(secret, "wrong"))
	source("AuthenticationFailed")
	b.apply(fmt.Sprintf(secret, "right"))
	b.eventually("app", at(hash))
	b.server.Down()
	b.reconcile("app")
	source("GitOperationFailed")
	b.server.Up()
	b.reconcile("app")
	b.eventually("app", at(hash))
}

// A look whose outcome could not be saved, as when the database was away for a moment, leaves a claim behind; the
// replica that made it takes it again, and another one does not.
func TestClaimWhoseLookWasNotSavedIsTakenAgainByItsReplica(t *testing.T) {
	t.Parallel()
	url := lab.TestDatabase(t)
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	replica := func() *store.Store {
		s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
		if err != nil {
			t.Fatal(err)
		}
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
		wake, stop := s.Watch(store.TopicObjects)
		defer stop()
		<-wake // it is alive
		return s
	}
	one, other := replica(), replica()
	id := fleet.DigestOf([]byte("upstream"))
	if err := one.BindSource(t.Context(), "GitRepository", "apps", "app", 1, id, "", ""); err != nil {
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
