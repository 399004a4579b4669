package release_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/pkg/run"
	"flotilla.dev/flotilla/test/lab"
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
	url      string
	root     identity.Root
	server   *lab.GitServer
	repo     *lab.Repo
	registry *prometheus.Registry
	// crossing lets Apps have Sources of other namespaces.
	crossing bool
	// stop ends the first replica.
	stop func()
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	return newBundleWith(t, nil)
}

// newBundleWith lets the test put its own parts around the loop's.
func newBundleWith(t *testing.T, change func(*release.Config)) *bundle {
	t.Helper()
	return newBundleThat(t, false, change)
}

// newBundleThat lets Apps have Sources of other namespaces, or not.
func newBundleThat(t *testing.T, crossing bool, change func(*release.Config)) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, url: lab.TestDatabaseFrom(t, "schema", store.Migrate), root: root, server: lab.TestGit(t), crossing: crossing}
	b.repo = b.newRepo("app")
	first := b.replica(change)
	b.Store, b.registry, b.stop = first.Store, first.registry, first.stop
	return b
}

// restart ends the first replica and starts another in its place, which lets Apps have Sources of other namespaces, or
// not.
func (b *bundle) restart(crossing bool) {
	b.t.Helper()
	b.stop()
	b.crossing = crossing
	next := b.replica(nil)
	b.Store, b.registry, b.stop = next.Store, next.registry, next.stop
}

func (b *bundle) newRepo(name string) *lab.Repo {
	b.t.Helper()
	if _, err := b.server.NewRepo(name); err != nil {
		b.t.Fatal(err)
	}
	repo, err := b.server.Clone(b.t.Context(), name, b.t.TempDir())
	if err != nil {
		b.t.Fatal(err)
	}
	return repo
}

// replica is a loop on the bundle's database, with parts of its own.
type replica struct {
	*store.Store
	registry *prometheus.Registry
	// stop ends it; its Store still reads and writes.
	stop func()
}

func (b *bundle) replica(change func(*release.Config)) *replica {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(b.t.Context(), store.Config{URL: b.url, Sealer: b.root, KeyFingerprint: b.root.Fingerprint(), CrossNamespaceRefs: b.crossing, Log: log, MaxConnections: 8})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	r := &replica{Store: s, registry: prometheus.NewRegistry()}
	builder, err := render.New(render.Config{Workers: 1, Log: log, Metrics: r.registry})
	if err != nil {
		b.t.Fatal(err)
	}
	metrics := source.NewMetrics(r.registry)
	mirrors, err := git.New(git.Config{Dir: b.t.TempDir(), Store: s.Blobs(), Network: source.NewNetwork(source.NetworkConfig{Metrics: metrics}), Metrics: metrics, Registry: r.registry, Log: log})
	if err != nil {
		b.t.Fatal(err)
	}
	wake, _ := s.Watch(store.TopicObjects, store.TopicSources, store.TopicApps)
	config := release.Config{Store: s, Blobs: s.Blobs(), Fetcher: source.Measured(source.Kinds{"GitRepository": mirrors}, metrics), Builder: builder, Name: b.root.MAC, CrossNamespaceRefs: b.crossing, Wake: wake, Log: log, Metrics: r.registry}
	if change != nil {
		change(&config)
	}
	loop := release.New(config)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- run.All(ctx, run.Named{Name: "store", Task: s.Run}, run.Named{Name: "builds", Task: builder.Run}, run.Named{Name: "releases", Task: loop.Run})
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(r.stop)
	return r
}

func (b *bundle) push(files map[string]string) string {
	b.t.Helper()
	return b.pushTo(b.repo, files)
}

func (b *bundle) pushTo(repo *lab.Repo, files map[string]string) string {
	b.t.Helper()
	for path, content := range files {
		if err := repo.Write(path, content); err != nil {
			b.t.Fatal(err)
		}
	}
	hash, err := repo.Commit(b.t.Context(), "change")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := repo.Push(b.t.Context()); err != nil {
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
	b.applySource(name, b.server.URL("app"), extra)
}

func (b *bundle) applySource(name, url, extra string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","url":%q,"ref":{"branch":"main"}%s}}`,
		name, url, extra))
}

func (b *bundle) applySecret(name, password string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":"apps"},"stringData":{"username":"user","password":%q}}`, name, password))
}

func (b *bundle) applyApp(name, path string) {
	b.t.Helper()
	b.applyAppOn("app", name, path)
}

func (b *bundle) applyAppOn(source, name, path string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":%q,"sourceRef":{"kind":"GitRepository","name":%q}}}`, name, path, source))
}

func key(name string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: name}
}

// eventually waits until the App is as check wants it.
func (b *bundle) eventually(name string, check func(fleet.AppState) error) fleet.AppState {
	b.t.Helper()
	return b.eventuallyKey(key(name), check)
}

func (b *bundle) eventuallyKey(app fleet.Key, check func(fleet.AppState) error) fleet.AppState {
	b.t.Helper()
	var state fleet.AppState
	lab.Eventually(b.t, 2*time.Minute, app.Words(), func() error {
		states, err := b.AppStates(b.t.Context())
		if err != nil {
			return err
		}
		state = states[app]
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

// eventuallySource waits until the Source is as check wants it.
func (b *bundle) eventuallySource(name string, check func(fleet.SourceState) error) fleet.SourceState {
	b.t.Helper()
	var state fleet.SourceState
	lab.Eventually(b.t, 2*time.Minute, "Source "+name, func() error {
		states, err := b.SourceStates(b.t.Context(), "GitRepository")
		if err != nil {
			return err
		}
		state = states["apps/"+name]
		return check(state)
	})
	return state
}

func fetched(hash string) func(fleet.SourceState) error {
	return func(s fleet.SourceState) error {
		if !strings.HasSuffix(string(s.Revision), hash) || s.TreeBlob.IsZero() || s.Reason != "" {
			return fmt.Errorf("at %+v, not at %s", s, hash)
		}
		return nil
	}
}

func saying(words string) func(fleet.SourceState) error {
	return func(s fleet.SourceState) error {
		if got := s.Reason + " " + s.Message; !strings.Contains(got, words) {
			return fmt.Errorf("says %q, not %q", got, words)
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
	request, err := b.RequestReconcile(b.t.Context(), admin, "GitRepository", "apps", name, nil, fleet.LookOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventuallySource(name, func(s fleet.SourceState) error {
		if s.HandledReconcileAt != request.At {
			return fmt.Errorf("handled %q, asked %q", s.HandledReconcileAt, request.At)
		}
		return nil
	})
}

func (b *bundle) metric(name, label string) float64 {
	b.t.Helper()
	return metric(b.t, b.registry, name, label)
}

func metric(t *testing.T, registry *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
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
