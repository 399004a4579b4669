package release_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// oneOfEach declares a Source of each kind that is fetched, and returns what the memory calls it.
func (b *bundle) oneOfEach(namespace string) map[string]string {
	b.t.Helper()
	b.source("GitRepository", namespace, "app", `"interval":"10m","url":"https://git.example.com/app"`)
	b.source("OCIRepository", namespace, "app", `"interval":"10m","url":"oci://registry.example.com/app"`)
	b.source("Bucket", namespace, "app", `"interval":"10m","endpoint":"s3.example.com","bucketName":"app"`)
	b.source("HelmRepository", namespace, "app", `"interval":"10m","url":"https://charts.example.com"`)
	b.source("HelmChart", namespace, "app", `"interval":"10m","chart":"app","sourceRef":{"kind":"HelmRepository","name":"app"}`)
	return map[string]string{
		"GitRepository": "GitRepository https://git.example.com/app", "OCIRepository": "OCIRepository oci://registry.example.com/app",
		"Bucket": "Bucket https://s3.example.com/app", "HelmRepository": "HelmRepository https://charts.example.com",
		"HelmChart": "HelmChart https://charts.example.com",
	}
}

func atContent(content string) func(fleet.SourceState) error {
	return func(s fleet.SourceState) error {
		if string(s.Revision) != "sha256:"+content {
			return fmt.Errorf("at %q, not %q", s.Revision, content)
		}
		return good(s)
	}
}

func (b *bundle) reconcileOf(kind, namespace, name string) {
	b.t.Helper()
	request, err := b.RequestReconcile(b.t.Context(), admin, kind, namespace, name, nil, fleet.LookOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.eventuallyOf(kind, namespace, name, func(s fleet.SourceState) error {
		if s.HandledReconcileAt != request.At {
			return fmt.Errorf("handled %q, asked %q", s.HandledReconcileAt, request.At)
		}
		return nil
	})
}

func TestGitRepositoriesAndBucketsAreAskedAtTheirIntervals(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.source("GitRepository", "apps", "often", `"interval":"300ms","url":"https://git.example.com/often"`)
	b.source("Bucket", "apps", "often", `"interval":"300ms","endpoint":"s3.example.com","bucketName":"often"`)
	for kind, name := range map[string]string{"GitRepository": "GitRepository https://git.example.com/often", "Bucket": "Bucket https://s3.example.com/often"} {
		b.eventuallyOf(kind, "apps", "often", atContent(""))
		m.set(name, "1")
		b.eventuallyOf(kind, "apps", "often", atContent("1"))
	}
}

func TestEveryKindIsFetchedSuspendedResumedAndAskedFor(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	for kind, name := range b.oneOfEach("apps") {
		b.eventuallyOf(kind, "apps", "app", atContent(""))
		m.set(name, "1")
		b.reconcileOf(kind, "apps", "app")
		b.eventuallyOf(kind, "apps", "app", atContent("1"))
		if _, _, err := b.Suspend(t.Context(), admin, kind, "apps", "app", false); err != nil {
			t.Fatal(err)
		}
		b.eventuallyOf(kind, "apps", "app", func(s fleet.SourceState) error {
			if s.ObservedGeneration != 2 {
				return errors.New("the suspension is not seen")
			}
			return nil
		})
		m.set(name, "2")
		b.source("GitRepository", "apps", "witness-"+fmt.Sprint(len(name)), `"interval":"10m","url":"https://git.example.com/`+fmt.Sprint(len(name))+`"`)
		b.eventuallyOf("GitRepository", "apps", "witness-"+fmt.Sprint(len(name)), good) // the loop has gone around
		b.eventuallyOf(kind, "apps", "app", atContent("1"))
		if _, _, err := b.Resume(t.Context(), admin, kind, "apps", "app", false); err != nil {
			t.Fatal(err)
		}
		b.eventuallyOf(kind, "apps", "app", atContent("2"))
	}
}

func TestKustomizationIsBuiltFromEveryKindThatItMayName(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.oneOfEach("apps")
	for _, kind := range []string{"GitRepository", "OCIRepository", "Bucket"} {
		b.eventuallyOf(kind, "apps", "app", good)
		name := "from-" + fmt.Sprint(len(kind))
		b.apply(fmt.Sprintf(`{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":%q,"namespace":"apps"},"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":%q,"name":"app"}}}`, name, kind))
		b.eventually(name, func(s fleet.AppState) error {
			if s.Release.IsZero() || s.Revision != "sha256:" {
				return fmt.Errorf("at %+v", s)
			}
			return nil
		})
		_, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: kind, Namespace: "apps", Name: "app"})
		if !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("%s in use is deleted: %v", kind, err)
		}
	}
}

func TestSourceMadeOfOthersFollowsThemAndSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.source("HelmChart", "apps", "app", `"interval":"10h","chart":"app","sourceRef":{"kind":"GitRepository","name":"app"}`)
	b.eventuallyOf("HelmChart", "apps", "app", saying("SourceUnavailable spec.sourceRef: GitRepository/apps/app: not found"))
	b.source("GitRepository", "apps", "outer", `"interval":"10h","url":"https://git.example.com/outer","include":[{"repository":{"name":"app"}}]`)
	b.eventuallyOf("GitRepository", "apps", "outer", saying("NotFound spec.include[0].repository: GitRepository/apps/app: not found"))
	m.breakWith("GitRepository https://git.example.com/app", source.Upstream{URL: "https://git.example.com/app"}.Fail(source.KindConnect, "refused"))
	b.source("GitRepository", "apps", "app", `"interval":"10h","url":"https://git.example.com/app"`)
	b.eventuallyOf("HelmChart", "apps", "app", saying("NoSourceArtifact spec.sourceRef: GitRepository/apps/app: nothing was fetched of it"))
	m.set("GitRepository https://git.example.com/app", "1")
	b.reconcileOf("GitRepository", "apps", "app")
	input := b.eventuallyOf("GitRepository", "apps", "app", good)
	before := b.eventuallyOf("HelmChart", "apps", "app", good)
	if u := m.upstream("HelmChart https://git.example.com/app"); len(u.Inputs) != 1 || u.Inputs[0].Tree != input.Tree || u.Inputs[0].Field != "sourceRef" || u.Inputs[0].TreeBlob != input.TreeBlob {
		t.Errorf("inputs %+v", u.Inputs)
	}
	outer := b.eventuallyOf("GitRepository", "apps", "outer", good)
	// Its own interval is far away: the input's move makes it due.
	m.set("GitRepository https://git.example.com/app", "2")
	b.reconcileOf("GitRepository", "apps", "app")
	moved := func(tree fleet.Digest) func(fleet.SourceState) error {
		return func(s fleet.SourceState) error {
			if s.Tree == tree {
				return errors.New("it stayed")
			}
			return good(s)
		}
	}
	b.eventuallyOf("HelmChart", "apps", "app", moved(before.Tree))
	b.eventuallyOf("GitRepository", "apps", "outer", moved(outer.Tree))
	_, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "GitRepository", Namespace: "apps", Name: "app"})
	if !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "it is used by GitRepository/apps/outer, HelmChart/apps/app: delete or change those first") {
		t.Errorf("deletion: %v", err)
	}
}

func TestSourceMadeOfItselfSaysSo(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.source("GitRepository", "apps", "a", `"interval":"10h","url":"https://git.example.com/a","include":[{"repository":{"name":"b"}}]`)
	b.source("GitRepository", "apps", "b", `"interval":"10h","url":"https://git.example.com/b","include":[{"repository":{"name":"a"}}]`)
	b.eventuallyOf("GitRepository", "apps", "a", saying("it is made of itself"))
	b.eventuallyOf("GitRepository", "apps", "b", saying("it is made of itself"))
}

func TestHelmRepositoryOfARegistryIsNeverFetchedAndItsChartsAre(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.secret("apps", "registry", "password", "word")
	b.source("HelmRepository", "apps", "registry", `"url":"oci://registry.example.com/charts","type":"oci","secretRef":{"name":"registry"}`)
	b.source("HelmChart", "apps", "app", `"interval":"10m","chart":"app","sourceRef":{"kind":"HelmRepository","name":"registry"}`)
	b.eventuallyOf("HelmChart", "apps", "app", good)
	u := m.upstream("HelmChart oci://registry.example.com/charts")
	if len(u.Inputs) != 1 || string(u.Inputs[0].Secrets["secretRef"]["password"]) != "word" || !u.Inputs[0].Tree.IsZero() {
		t.Errorf("inputs of %+v", u.ID)
	}
	if n := m.fetches("HelmRepository oci://registry.example.com/charts"); n != 0 {
		t.Errorf("%d fetches of what is not fetched", n)
	}
}

func TestChartOfARepositoryOfGitMayHaveDependenciesFromTheNamespacesHelmRepositories(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.secret("apps", "charts", "password", "word")
	b.source("HelmRepository", "apps", "charts", `"interval":"10m","url":"https://charts.example.com","secretRef":{"name":"charts"}`)
	b.source("HelmRepository", "others", "charts", `"interval":"10m","url":"https://others.example.com"`)
	b.source("GitRepository", "apps", "app", `"interval":"10m","url":"https://git.example.com/app"`)
	b.source("HelmChart", "apps", "app", `"interval":"10m","chart":"./app","sourceRef":{"kind":"GitRepository","name":"app"}`)
	b.eventuallyOf("HelmChart", "apps", "app", good)
	u := m.upstream("HelmChart https://git.example.com/app")
	if len(u.Repositories) != 1 || u.Repositories[0].URL != "https://charts.example.com" || string(u.Repositories[0].Secrets["secretRef"]["password"]) != "word" {
		t.Errorf("%d repositories", len(u.Repositories))
	}
}

// Two namespaces share what is fetched where specs and credentials are the same, whatever those are called, and nothing
// where they are not.
func TestNamespacesShareAnUpstreamOnlyWithTheSameCredential(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"GitRepository", "OCIRepository", "Bucket", "HelmRepository", "HelmChart"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var m memory
			b := newBundleWith(t, inMemory(&m))
			specs := map[string]string{
				"GitRepository": `"url":"https://git.example.com/app"`, "OCIRepository": `"url":"oci://registry.example.com/app"`,
				"Bucket": `"endpoint":"s3.example.com","bucketName":"app"`, "HelmRepository": `"url":"https://charts.example.com"`, "HelmChart": `"url":"https://charts.example.com"`,
			}
			upstream := func(namespace, secret, word, interval string) fleet.Digest {
				b.secret(namespace, secret, "password", word)
				of := kind
				if kind == "HelmChart" {
					of = "HelmRepository"
				}
				b.source(of, namespace, "app", fmt.Sprintf(`"interval":%q,%s,"secretRef":{"name":%q}`, interval, specs[kind], secret))
				if kind == "HelmChart" {
					b.source(kind, namespace, "app", fmt.Sprintf(`"interval":%q,"chart":"app","sourceRef":{"kind":"HelmRepository","name":"app"}`, interval))
				}
				return b.eventuallyOf(kind, namespace, "app", good).Upstream
			}
			one, same, other := upstream("one", "a", "word", "10m"), upstream("two", "b", "word", "20m"), upstream("three", "a", "another", "10m")
			if one != same {
				t.Error("the same credential, and two upstreams")
			}
			if one == other {
				t.Error("two credentials, and one upstream")
			}
			b.secret("two", "b", "password", "rotated")
			b.eventuallyOf(kind, "two", "app", func(s fleet.SourceState) error {
				if s.Upstream == one {
					return errors.New("bound as before")
				}
				return good(s)
			})
			b.eventuallyOf(kind, "one", "app", func(s fleet.SourceState) error {
				if s.Upstream != one {
					return errors.New("another's Secret moved it")
				}
				return good(s)
			})
		})
	}
}

func TestSourceIsNotTriedBeforeItsHostWantsToBeAsked(t *testing.T) {
	t.Parallel()
	var m memory
	b := newBundleWith(t, inMemory(&m))
	failure := source.Upstream{URL: "https://git.example.com/app"}.Fail(source.KindBusy, "later")
	failure.RetryAfter = 10 * time.Minute
	m.breakWith("GitRepository https://git.example.com/app", failure)
	b.source("GitRepository", "apps", "app", `"interval":"1s","url":"https://git.example.com/app"`)
	b.eventuallyOf("GitRepository", "apps", "app", saying("later"))
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var soon int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM upstream WHERE due_at < now() + interval '9 minutes'`).Scan(&soon); err != nil || soon != 0 {
		t.Errorf("%d are due within nine minutes, error %v", soon, err)
	}
}

// eventsOf waits until a Source has so many events, and returns their reasons, the oldest first.
func (b *bundle) eventsOf(kind, name string, count int) (reasons []string) {
	b.t.Helper()
	lab.Eventually(b.t, time.Minute, "events of "+kind, func() error {
		events, _, err := b.Events(b.t.Context(), fleet.EventQuery{Kind: kind, Name: name})
		if err != nil {
			return err
		}
		reasons = nil
		for _, e := range events {
			reasons = append(reasons, e.Reason)
		}
		if len(reasons) < count {
			return fmt.Errorf("%v", reasons)
		}
		return nil
	})
	return reasons
}
