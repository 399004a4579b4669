package release_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/render"
)

// failingBuilder fails as it is told to, before it builds.
type failingBuilder struct {
	release.Builder
	mu       sync.Mutex
	failures []error
}

func (f *failingBuilder) fail(errs ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = append(f.failures, errs...)
}

func (f *failingBuilder) Build(ctx context.Context, job render.Job) (render.Result, error) {
	f.mu.Lock()
	var err error
	if len(f.failures) > 0 {
		err, f.failures = f.failures[0], f.failures[1:]
	}
	f.mu.Unlock()
	if err != nil {
		return render.Result{}, err
	}
	return f.Builder.Build(ctx, job)
}

// A database that is away for a moment, or a worker that is killed, says nothing of the App: it stays as it was until
// the build is made.
func TestFailureOfTheHubIsNotTheApps(t *testing.T) {
	t.Parallel()
	builder := &failingBuilder{}
	b := newBundleWith(t, func(c *release.Config) { builder.Builder, c.Builder = c.Builder, builder })
	first := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	before := b.eventually("app", at(first))
	second := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "2")})
	killed := errors.New("the render worker was killed from outside: canary")
	builder.fail(fmt.Errorf("look up a build: %w", fleet.ErrUnavailable), killed, killed, fmt.Errorf("read: %w", fleet.ErrConflict))
	if _, err := b.RequestReconcile(t.Context(), admin, "GitRepository", "apps", "app", nil, fleet.LookOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually("app", func(s fleet.AppState) error {
		if !strings.HasSuffix(string(s.Revision), second) && s != before {
			t.Errorf("meanwhile the App is %+v, was %+v", s, before)
		}
		return at(second)(s)
	})
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "Kustomization", Warnings: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 || events[0].Reason != fleet.ReasonBuildFailed || strings.Contains(events[0].Message, "canary") {
		t.Errorf("events %+v", events)
	}
}

func TestFileThatTheHubLostIsFetchedAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	lost := fmt.Sprintf(configMap, "b", "1")
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1"), "lost/b.yaml": lost})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	digest := fleet.DigestOf([]byte(lost))
	for _, sql := range []string{`DELETE FROM blob_part WHERE part = $1`, `DELETE FROM blob WHERE digest = $1`} {
		if _, err := conn.Exec(t.Context(), sql, digest.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	b.applyApp("lost", "lost")
	b.eventually("lost", at(hash))
}

func TestReconcileBuildsAnAppAgainThatFailed(t *testing.T) {
	t.Parallel()
	builder := &failingBuilder{}
	b := newBundleWith(t, func(c *release.Config) { builder.Builder, c.Builder = c.Builder, builder })
	limit := fmt.Errorf("build deploy: %w: it took longer than 1m0s", fleet.ErrInvalid)
	builder.fail(limit, limit, limit)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", failing("it took longer"))
	request := func(source *flux.SourceRef) string {
		t.Helper()
		requested, err := b.RequestReconcile(t.Context(), admin, "Kustomization", "apps", "app", source, fleet.LookOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return requested.At
	}
	served := func(requested string) {
		t.Helper()
		b.eventually("app", func(s fleet.AppState) error {
			if s.HandledReconcileAt != requested || s.Reason == "" {
				return fmt.Errorf("%+v has not failed again since %s", s, requested)
			}
			return nil
		})
	}
	served(request(nil))
	withSource := request(&flux.SourceRef{Kind: "GitRepository", Name: "app"})
	b.eventuallySource("app", func(s fleet.SourceState) error {
		if s.HandledReconcileAt != withSource {
			return fmt.Errorf("handled %q", s.HandledReconcileAt)
		}
		return nil
	})
	served(withSource) // before the Source's request is
	request(nil)
	b.eventually("app", at(hash))
}

func TestAChangedBuildFieldIsANewRelease(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	plain := b.eventually("app", at(hash)).Release
	with := func(fields string) fleet.Digest {
		t.Helper()
		b.apply(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"path":"deploy","sourceRef":{"kind":"GitRepository","name":"app"},` + fields + `}}`)
		object, err := b.Object(t.Context(), "Kustomization", "apps", "app")
		if err != nil {
			t.Fatal(err)
		}
		return b.eventually("app", func(s fleet.AppState) error {
			if s.ObservedGeneration != object.Metadata.Generation {
				return fmt.Errorf("at generation %d, not %d", s.ObservedGeneration, object.Metadata.Generation)
			}
			return at(hash)(s)
		}).Release
	}
	prefixed := with(`"namePrefix":"p-"`)
	if prefixed == plain {
		t.Error("the Release is the same with a prefix")
	}
	if again := with(`"namePrefix":""`); again != plain {
		t.Error("without the prefix it is not the first Release again")
	}
	with(`"components":["../none"],"ignoreMissingComponents":true`)
}

// What is encrypted would else be shipped as if it were the data.
func TestABuildFromAnEncryptedFileFailsAndNamesIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.push(map[string]string{
		"deploy/kustomization.yaml": "secretGenerator: [{name: s, envs: [secret.env]}]\n",
		"deploy/secret.env":         "PASSWORD=ENC[AES256_GCM,data:canary]\nsops_mac=ENC[AES256_GCM,data:canary]\n",
	})
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	state := b.eventually("app", failing("deploy/secret.env: encrypted with SOPS"))
	if state.Reason != fleet.ReasonBuildFailed || !strings.Contains(state.Message, "spec.decryption") || strings.Contains(state.Message, "canary") || !state.Release.IsZero() {
		t.Errorf("the App is %+v", state)
	}
}

func TestBuildReadsItsFilesSeveralAtATime(t *testing.T) {
	t.Parallel()
	counter := &countedBlobs{}
	b := newBundleWith(t, func(c *release.Config) { counter.Blobs, c.Blobs = c.Blobs, counter })
	files := map[string]string{"elsewhere/large.bin": strings.Repeat("x", 1<<20)}
	for i := range 400 {
		files[fmt.Sprintf("deploy/%d.yaml", i)] = fmt.Sprintf(configMap, fmt.Sprint("c", i), "1")
	}
	hash := b.push(files)
	b.applyGit("app", "")
	b.applyApp("app", "deploy")
	b.eventually("app", at(hash))
	if reads, bytes := counter.counts(); reads > 7 || bytes > 1<<20 {
		t.Errorf("%d reads of %d bytes together for 400 files", reads, bytes)
	}
}

// countedBlobs counts how often files are read, and how much.
type countedBlobs struct {
	release.Blobs
	mu    sync.Mutex
	reads int
	bytes int
}

func (c *countedBlobs) counts() (reads, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads, c.bytes
}

func (c *countedBlobs) Get(ctx context.Context, digest fleet.Digest) ([]byte, error) {
	data, err := c.Blobs.Get(ctx, digest)
	c.count(map[fleet.Digest][]byte{digest: data})
	return data, err
}

func (c *countedBlobs) GetAll(ctx context.Context, digests []fleet.Digest) (map[fleet.Digest][]byte, error) {
	found, err := c.Blobs.GetAll(ctx, digests)
	c.count(found)
	return found, err
}

func (c *countedBlobs) count(found map[fleet.Digest][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	for _, data := range found {
		c.bytes += len(data)
	}
}

// An App that was declared before its Source says so until the Source is there, and then why it still waits.
func TestAppDeclaredBeforeItsSourceIsBuiltOnceThatIsFetched(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.applyApp("app", "deploy")
	b.eventually("app", failing("GitRepository/apps/app: not found"))
	b.applyGit("app", `,"secretRef":{"name":"git"}`)
	b.eventually("app", failing("GitRepository/apps/app: nothing was fetched yet"))
	b.applySecret("git", "any")
	hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
	b.reconcile("app")
	b.eventually("app", at(hash))
}
