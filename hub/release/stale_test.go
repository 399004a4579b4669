package release_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/test/lab"
)

// What goes wrong with a Source leaves what was fetched, and the Apps that are built from it, as they were, and tells since
// when that may be behind; what comes right again tells that too.
func TestSourceThatFailsKeepsItsArtifactAndSaysSinceWhenItIsStale(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		spoil, mend func(t *testing.T, b *bundle)
		reason      string
	}{
		{"goes away", func(_ *testing.T, b *bundle) { b.server.Down() }, func(_ *testing.T, b *bundle) { b.server.Up() }, "GitOperationFailed"},
		{"loses its branch", func(t *testing.T, b *bundle) { b.renameBranch(t, "main", "kept") },
			func(t *testing.T, b *bundle) { b.renameBranch(t, "kept", "main") }, "GitOperationFailed"},
		{"loses its credential", func(t *testing.T, b *bundle) { b.protect(t, "changed") }, func(t *testing.T, b *bundle) { b.protect(t, "right") }, "AuthenticationFailed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			hash := b.push(map[string]string{"deploy/a.yaml": fmt.Sprintf(configMap, "a", "1")})
			b.protect(t, "right")
			b.applySecret("git", "right")
			b.applyGit("app", `,"secretRef":{"name":"git"}`)
			b.applyApp("app", "deploy")
			app := b.eventually("app", at(hash))
			before := b.eventuallySource("app", fetched(hash))
			if !before.StaleSince.IsZero() {
				t.Errorf("stale since %s", before.StaleSince)
			}
			test.spoil(t, b)
			b.reconcile("app")
			first := b.eventuallySource("app", saying(test.reason))
			b.reconcile("app") // it fails again: the time stays
			again := b.eventuallySource("app", saying(test.reason))
			for _, s := range []fleet.SourceState{first, again} {
				if s.Tree != before.Tree || s.Revision != before.Revision || !s.FetchedAt.Equal(before.FetchedAt) || s.StaleSince.IsZero() || !s.StaleSince.Equal(first.StaleSince) {
					t.Errorf("kept is %+v, not %+v", s, before)
				}
			}
			lab.Eventually(t, time.Minute, "metrics", func() error {
				if n := gauge(t, b.registry, "flotilla_hub_sources_stale"); n != 1 {
					return fmt.Errorf("%v stale", n)
				}
				return nil
			})
			if now := b.eventually("app", at(hash)); now.Release != app.Release || now.Reason != "" {
				t.Errorf("the App is at %+v, and was at %+v", now, app)
			}
			test.mend(t, b)
			b.reconcile("app")
			if s := b.eventuallySource("app", fetched(hash)); !s.StaleSince.IsZero() || s.Tree != before.Tree {
				t.Errorf("after it came back: %+v", s)
			}
			if reasons := b.eventsOf("GitRepository", "app", 3); !slices.Equal(reasons[:3], []string{"NewArtifact", test.reason, "Succeeded"}) && !slices.Equal(reasons[:3], []string{"Succeeded", test.reason, "NewArtifact"}) {
				t.Errorf("events %v", reasons)
			}
		})
	}
}

// gauge is the sum of a gauge.
func gauge(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// renameBranch renames a branch at the server.
func (b *bundle) renameBranch(t *testing.T, from, to string) {
	t.Helper()
	if _, err := b.repo.Git(t.Context(), "--git-dir", b.server.Path("app"), "branch", "-m", from, to); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) protect(t *testing.T, password string) {
	t.Helper()
	if err := b.server.Protect("app", "user", password); err != nil {
		t.Fatal(err)
	}
}
