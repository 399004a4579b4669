package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
)

// clusters are the declared Clusters by name.
func (b *bundle) clusters() map[string]*resource.Object {
	b.t.Helper()
	found, _, err := b.Objects(b.t.Context(), resource.Query{Kind: "Cluster"})
	if err != nil {
		b.t.Fatal(err)
	}
	byName := map[string]*resource.Object{}
	for _, o := range found {
		byName[o.Metadata.Name] = o
	}
	return byName
}

func TestClusterThatConnectsTwiceAtOnceIsAdoptedOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id := uuid.NewString()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if err := b.AdoptCluster(t.Context(), id, "prod-1"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := b.clusters(); len(got) != 1 || got["prod-1"] == nil || got["prod-1"].Metadata.UID != id {
		t.Errorf("clusters %v, want prod-1 alone", got)
	}
}

func TestAdoptedClusterWhoseNameIsTakenGetsASuffix(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	name := strings.Repeat("x", 63) // the longest
	for _, want := range []string{name, strings.Repeat("x", 54) + "-"} {
		id := uuid.NewString()
		if err := b.AdoptCluster(t.Context(), id, name); err != nil {
			t.Fatal(err)
		}
		if len(want) < len(name) {
			want += id[:8]
		}
		if got := b.clusters()[want]; got == nil || got.Metadata.UID != id {
			t.Errorf("clusters %v, want one called %s", b.clusters(), want)
		}
	}
}

func TestAdoptedClusterTakesThePlaceThatAPersonDeclaredForIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	id := uuid.NewString()
	if err := b.AdoptCluster(t.Context(), id, "prod-1"); err != nil {
		t.Fatal(err)
	}
	if got := b.clusters(); len(got) != 1 || got["prod-1"].Metadata.UID != id || got["prod-1"].Metadata.Labels["tier"] != "prod" {
		t.Errorf("clusters %v", got)
	}
}

// What is targeted is the hub's to say: a spoke must not get the labels of a Cluster that was deleted by its name.
func TestAdoptedClusterHasNoLabelsOfADeletedOne(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-1", Now: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.AdoptCluster(t.Context(), uuid.NewString(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	if got := b.clusters()["prod-1"]; got == nil || len(got.Metadata.Labels) != 0 {
		t.Errorf("adopted as %+v", got)
	}
}

func TestClusterIsNotAdoptedByANameThatNoClusterCanHave(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for _, name := range []string{"", "Prod", "a.b", "a/b", "-a", "a\n", strings.Repeat("x", 64)} {
		if err := b.AdoptCluster(t.Context(), uuid.NewString(), name); !errors.Is(err, fleet.ErrInvalid) {
			t.Errorf("%q: %v, not ErrInvalid", name, err)
		}
	}
	if got := b.clusters(); len(got) != 0 {
		t.Errorf("clusters %v", got)
	}
}

func TestDeletedClusterIsNotAdopted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id := uuid.NewString()
	if err := b.AdoptCluster(t.Context(), id, "prod-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DeleteObject(t.Context(), admin, resource.Deletion{Kind: "Cluster", Name: "prod-1", Now: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.AdoptCluster(t.Context(), id, "prod-1"); !errors.Is(err, fleet.ErrDenied) {
		t.Errorf("%v, not ErrDenied", err)
	}
	// For as long as its certificate may be renewed.
	var long bool
	tx := b.begin()
	if err := tx.QueryRow(t.Context(), `SELECT until >= now() - interval '1 hour' + $2::interval FROM revoked_cluster WHERE id = $1`, id, fleet.RevokedFor).Scan(&long); err != nil || !long {
		t.Errorf("remembered for long is %t, error %v", long, err)
	}
}
