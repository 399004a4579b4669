package release_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/pkg/build"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/render"
	"flotilla.dev/flotilla/test/lab"
)

// applyTenant declares a Source of the bundle's repository and Apps on it in a namespace.
func (b *bundle) applyTenant(namespace string, paths ...string) {
	b.t.Helper()
	b.apply(fmt.Sprintf(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":%q},"spec":{"interval":"10m","url":%q,"ref":{"branch":"main"}}}`,
		namespace, b.server.URL("app")))
	for _, path := range paths {
		b.apply(fmt.Sprintf(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":%q},"spec":{"interval":"10m","prune":true,"path":%q,"sourceRef":{"kind":"GitRepository","name":"app"}}}`,
			path, namespace, path))
	}
}

func keyIn(namespace, name string) fleet.Key {
	return fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: namespace, Name: name}
}

// holdingBuilder makes the builds of a tenant wait.
type holdingBuilder struct {
	release.Builder
	tenant string
	goOn   chan struct{}

	mu    sync.Mutex
	holds int
}

func (h *holdingBuilder) Build(ctx context.Context, job render.Job) (render.Result, error) {
	if job.Tenant == h.tenant {
		h.mu.Lock()
		h.holds++
		h.mu.Unlock()
		select {
		case <-h.goOn:
		case <-ctx.Done():
			return render.Result{}, context.Cause(ctx)
		}
	}
	return h.Builder.Build(ctx, job)
}

func (h *holdingBuilder) held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.holds
}

func TestANamespacesLongBuildsHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	builder := &holdingBuilder{tenant: "hog", goOn: make(chan struct{})}
	b := newBundleWith(t, func(c *release.Config) {
		builder.Builder, c.Builder, c.Parallel = c.Builder, builder, 2
	})
	files := map[string]string{"good/a.yaml": fmt.Sprintf(configMap, "a", "1")}
	var paths []string
	for i := range 20 {
		path := fmt.Sprintf("d%02d", i)
		paths = append(paths, path)
		files[path+"/a.yaml"] = fmt.Sprintf(configMap, "a", path)
	}
	hash := b.push(files)
	b.applyTenant("hog", paths...)
	lab.Eventually(t, time.Minute, "the first builds begin", func() error {
		if held := builder.held(); held < 2 {
			return fmt.Errorf("%d are begun", held)
		}
		return nil
	})
	b.applyTenant("good", "good")
	b.eventuallyKey(keyIn("good", "good"), at(hash))
	if held := builder.held(); held > 2 {
		t.Errorf("%d builds of one namespace were begun, of 2 that may be", held)
	}
	close(builder.goOn)
	for _, path := range paths {
		b.eventuallyKey(keyIn("hog", path), at(hash))
	}
}

// slowEarlier reads what earlier builds of a tenant looked at until it is to go on.
type slowEarlier struct {
	release.Store
	tenant string
	goOn   chan struct{}
	begun  atomic.Bool
}

func (s *slowEarlier) EarlierInputs(ctx context.Context, app fleet.Key, recipe fleet.Digest) ([][]byte, error) {
	if app.Namespace == s.tenant {
		s.begun.Store(true)
		select {
		case <-s.goOn:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return s.Store.EarlierInputs(ctx, app, recipe)
}

// Sixteen builds that looked at many files are read slowly. Apps of others on the same Tree do not wait for that.
func TestWhatANamespacesEarlierBuildsLookedAtHoldsUpNoOthers(t *testing.T) {
	t.Parallel()
	slow := &slowEarlier{tenant: "hog", goOn: make(chan struct{})}
	b := newBundleWith(t, func(c *release.Config) { slow.Store, c.Store, c.Parallel = c.Store, slow, 1 })
	first := b.push(map[string]string{"hog/a.yaml": fmt.Sprintf(configMap, "a", "1"), "good/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyTenant("hog", "hog")
	lab.Eventually(t, time.Minute, "the look at earlier builds begins", func() error {
		if !slow.begun.Load() {
			return errors.New("it has not")
		}
		return nil
	})
	b.applyTenant("good", "good")
	b.eventuallyKey(keyIn("good", "good"), at(first))
	close(slow.goOn)
	b.eventuallyKey(keyIn("hog", "hog"), at(first))
}

// differingBuilder says of builds of one path that kustomize came to something else, unless it is told to distrust them.
type differingBuilder struct {
	release.Builder
	path  string
	shape fleet.Digest

	mu         sync.Mutex
	distrusted map[string][]fleet.Digest
}

func (d *differingBuilder) Distrust(tenant string, shapes ...fleet.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.distrusted[tenant] = shapes
}

func (d *differingBuilder) distrusts(tenant string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.distrusted[tenant], d.shape)
}

func (d *differingBuilder) Build(ctx context.Context, job render.Job) (render.Result, error) {
	result, err := d.Builder.Build(ctx, job)
	if job.Path == d.path && !d.distrusts(job.Tenant) {
		result.Difference = &build.Difference{Dir: job.Path, Shape: d.shape, What: "Deployment/default/web has another content"}
	}
	return result, err
}

// The difference is told, and what was built before in the namespace, maybe as wrong, is built again at the next commit: by
// a builder that is told what to distrust, whichever replica found that out.
func TestABuildThatDiffersIsToldAndReleasedAndThoseBeforeItForgotten(t *testing.T) {
	t.Parallel()
	builder := &differingBuilder{path: "deploy", shape: fleet.DigestOf([]byte("shape")), distrusted: map[string][]fleet.Digest{}}
	b := newBundleWith(t, func(c *release.Config) { builder.Builder, c.Builder = c.Builder, builder })
	files := map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "before/a.yaml": fmt.Sprintf(configMap, "b", "1")}
	hash := b.push(files)
	b.applyGit("app", "")
	b.applyApp("before", "before")
	b.eventually("before", at(hash))
	b.applyTenant("other", "before")
	b.eventuallyKey(keyIn("other", "before"), at(hash))
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "Kustomization", Name: "app", Warnings: true})
	if err != nil || len(events) != 1 || events[0].Reason != fleet.ReasonBuildDiffered || !strings.Contains(events[0].Message, "Deployment/default/web has another content") {
		t.Errorf("events %+v, error %v", events, err)
	}
	if builder.distrusts("apps") {
		t.Error("it was told before there was anything to tell")
	}
	files["readme"] = "new"
	hash = b.push(files)
	b.reconcile("app")
	b.eventually("app", at(hash))
	b.eventually("before", at(hash))
	if !builder.distrusts("apps") || builder.distrusts("other") {
		t.Errorf("it is told to distrust %v", builder.distrusted)
	}
	if built := b.metric("flotilla_hub_builds_total", "built"); built != 4 {
		t.Errorf("%v builds: want three, and one again that was made before the difference", built)
	}
}

// forgetfulStore cannot store once what is to be distrusted.
type forgetfulStore struct {
	release.Store
	failed, kept atomic.Bool
}

func (s *forgetfulStore) Distrust(ctx context.Context, namespace, builder string, shape fleet.Digest) error {
	if !s.failed.Swap(true) {
		return fmt.Errorf("distrust: %w", fleet.ErrUnavailable)
	}
	s.kept.Store(true)
	return s.Store.Distrust(ctx, namespace, builder, shape)
}

// onceDiffering says once that a build differed.
type onceDiffering struct {
	release.Builder
	said atomic.Bool
}

func (o *onceDiffering) Build(ctx context.Context, job render.Job) (render.Result, error) {
	result, err := o.Builder.Build(ctx, job)
	if !o.said.Swap(true) {
		result.Difference = &build.Difference{Dir: job.Path, Shape: fleet.DigestOf([]byte("shape")), What: "it has another content"}
	}
	return result, err
}

func TestWhatIsToBeDistrustedIsStoredLaterWhereItCannotBeNow(t *testing.T) {
	t.Parallel()
	store := &forgetfulStore{}
	b := newBundleWith(t, func(c *release.Config) {
		store.Store, c.Store = c.Store, store
		c.Builder = &onceDiffering{Builder: c.Builder}
	})
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	if !store.kept.Load() {
		t.Error("it is not stored")
	}
}

// Trees that no build can be made of, each in a namespace of its own, and a good one beside them.
func TestAHostileTreeFailsItsAppAlone(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	pool, err := render.New(render.Config{Workers: 2, Memory: 192 << 20, CPU: 5 * time.Second, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- pool.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	b := newBundleWith(t, func(c *release.Config) { c.Builder = pool })
	bomb := fmt.Sprintf(configMap, "a", "1") + "spec:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	var generator strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&generator, "  - k%d=large.txt\n", i)
	}
	hash := b.push(map[string]string{
		"bomb/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n", "bomb/a.yaml": bomb,
		"deep/kustomization.yaml": "resources: [a.yaml]\n", "deep/a.yaml": strings.Repeat("{a: ", 100_000),
		"huge/kustomization.yaml": "configMapGenerator:\n- name: c\n  files:\n" + generator.String(), "huge/large.txt": strings.Repeat("x", 1<<20),
		"good/a.yaml": fmt.Sprintf(configMap, "a", "1"),
	})
	hostile := map[string]string{"bomb": "bomb/a.yaml", "deep": "a.yaml", "huge": "huge/large.txt"}
	for name := range hostile {
		b.applyTenant(name, name)
	}
	b.applyTenant("good", "good")
	b.eventuallyKey(keyIn("good", "good"), at(hash))
	for name, file := range hostile {
		b.eventuallyKey(keyIn(name, name), func(s fleet.AppState) error {
			if s.Reason != fleet.ReasonBuildFailed || !strings.HasPrefix(s.Message, "build "+name+": ") || !strings.Contains(s.Message, file) {
				return fmt.Errorf("%+v has not failed with a message that names %s", s, file)
			}
			return nil
		})
		b.eventsOf("Kustomization", name, 1)
		events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "Kustomization", Namespace: name, Name: name, Warnings: true})
		if err != nil || len(events) != 1 || !strings.Contains(events[0].Message, file) {
			t.Errorf("%s: events %+v, error %v", name, events, err)
		}
	}
}
