package release_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/release"
	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

// Every kind keeps what it had when it cannot be fetched, or its Secret is deleted, and is as before when that ends.
func TestEveryKindKeepsItsArtifactAndSaysSinceWhenItIsStale(t *testing.T) {
	t.Parallel()
	specs := map[string]struct{ url, spec string }{
		"GitRepository":  {"https://git.example.com/app", `"interval":"10m","url":"https://git.example.com/app"`},
		"OCIRepository":  {"oci://registry.example.com/app", `"interval":"10m","url":"oci://registry.example.com/app"`},
		"Bucket":         {"https://s3.example.com/app", `"interval":"10m","endpoint":"s3.example.com","bucketName":"app"`},
		"HelmRepository": {"https://charts.example.com", `"interval":"10m","url":"https://charts.example.com"`},
		"HelmChart":      {"oci://registry.example.com/charts", `"interval":"10m","chart":"app","sourceRef":{"kind":"HelmRepository","name":"registry"}`},
	}
	var m memory
	b := newBundleWith(t, inMemory(&m))
	b.secret("apps", "own", "password", "own")
	b.source("HelmRepository", "apps", "registry", `"url":"oci://registry.example.com/charts","type":"oci","secretRef":{"name":"own"}`)
	before := map[string]fleet.SourceState{}
	for kind, of := range specs {
		if kind != "HelmChart" {
			of.spec += `,"secretRef":{"name":"own"}`
		}
		b.source(kind, "apps", "app", of.spec)
		before[kind] = b.eventuallyOf(kind, "apps", "app", good)
	}
	kept := func(kind, words string) {
		t.Helper()
		was := before[kind]
		s := b.eventuallyOf(kind, "apps", "app", saying(words))
		if s.Tree != was.Tree || s.TreeBlob != was.TreeBlob || s.Revision != was.Revision || !s.FetchedAt.Equal(was.FetchedAt) || s.StaleSince.IsZero() {
			t.Errorf("%s: kept is %+v, not %+v", kind, s, was)
		}
	}
	for kind, of := range specs {
		m.breakWith(kind+" "+of.url, source.Upstream{URL: of.url}.Fail(source.KindConnect, "refused"))
		b.reconcileOf(kind, "apps", "app")
		kept(kind, "refused")
		m.set(kind+" "+of.url, "")
		b.reconcileOf(kind, "apps", "app")
		b.eventuallyOf(kind, "apps", "app", good)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Secret", Namespace: "apps", Name: "own"}); err != nil {
		t.Fatal(err)
	}
	for kind := range specs {
		kept(kind, "Secret/apps/own is not given to the hub")
	}
	b.secret("apps", "own", "password", "own")
	for kind := range specs {
		if s := b.eventuallyOf(kind, "apps", "app", good); s.Tree != before[kind].Tree {
			t.Errorf("%s: after it came back: %+v", kind, s)
		}
	}
}

// robbed is a Store whose claims are lost before a look is saved, as often as that is asked.
type robbed struct {
	release.Store
	saves chan error
}

func (r *robbed) SaveLook(ctx context.Context, upstream fleet.Digest, look fleet.Looked, next time.Duration) error {
	select {
	case err := <-r.saves:
		return err
	default:
		return r.Store.SaveLook(ctx, upstream, look, next)
	}
}

func TestWhatCouldNotBeSavedIsNotTold(t *testing.T) {
	t.Parallel()
	var m memory
	saves := make(chan error, 1)
	b := newBundleWith(t, func(c *release.Config) {
		inMemory(&m)(c)
		c.Store = &robbed{c.Store, saves}
	})
	saves <- fmt.Errorf("%w: the claim was lost", fleet.ErrConflict)
	b.source("GitRepository", "apps", "lost", `"interval":"10m","url":"https://git.example.com/lost"`)
	lab.Eventually(t, time.Minute, "a look is not saved", func() error {
		if len(saves) > 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	m.set("GitRepository https://git.example.com/other", "1")
	b.source("GitRepository", "apps", "other", `"interval":"10m","url":"https://git.example.com/other"`)
	b.eventuallyOf("GitRepository", "apps", "other", good)
	b.eventsOf("GitRepository", "other", 1)
	states, err := b.Sources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := b.Events(t.Context(), fleet.EventQuery{Kind: "GitRepository", Name: "lost"})
	if err != nil {
		t.Fatal(err)
	}
	saved := !states[fleet.Key{Home: fleet.HubHome, Kind: "GitRepository", Namespace: "apps", Name: "lost"}].Tree.IsZero()
	if !saved && len(events) > 0 || len(events) > 1 {
		t.Errorf("saved %t, and told: %v", saved, events)
	}
}
