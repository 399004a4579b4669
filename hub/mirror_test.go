package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/source"
	"flotilla.dev/flotilla/hub/source/git"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

func TestMirrorOfAnUpstreamThatNobodyNamesGoesFromDisk(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: lab.TestDatabase(t), Sealer: root, KeyFingerprint: root.Fingerprint(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	server, dir := lab.TestGit(t), t.TempDir()
	url, err := server.NewRepo("app")
	if err != nil {
		t.Fatal(err)
	}
	repo, err := server.Clone(t.Context(), "app", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if err := repo.Push(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics := source.NewMetrics(nil)
	mirrors, err := git.New(git.Config{Dir: dir, Store: s.Blobs(), Network: source.NewNetwork(source.NetworkConfig{Metrics: metrics}), Metrics: metrics, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	object, err := resource.Decode(fmt.Appendf(nil, `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":%q,"ref":{"branch":"main"}}}`, url))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := resource.Spec[flux.GitRepository](object)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.ApplyObject(t.Context(), fleet.Caller{Principal: "user:admin"}, object, fleet.Order{}); err != nil {
		t.Fatal(err)
	}
	named, other := fleet.DigestOf([]byte("named")), fleet.DigestOf([]byte("other"))
	if err := s.BindSource(t.Context(), fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: named, Remote: named}); err != nil {
		t.Fatal(err)
	}
	fetch := func(id fleet.Digest) {
		t.Helper()
		upstream := source.Upstream{ID: id.String(), Remote: id.String(), Kind: object.Kind, URL: url, Spec: spec}
		found, err := mirrors.Resolve(t.Context(), upstream)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mirrors.Fetch(t.Context(), upstream, found); err != nil {
			t.Fatal(err)
		}
	}
	fetch(named)
	fetch(other)
	before, err := os.ReadDir(dir)
	if err != nil || len(before) != 2 {
		t.Fatalf("%d mirrors, error %v", len(before), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- retainMirrors(ctx, s, mirrors, log) }()
	lab.Eventually(t, time.Minute, "one mirror is left", func() error {
		left, err := os.ReadDir(dir)
		if err == nil && len(left) != 1 {
			err = fmt.Errorf("%d mirrors", len(left))
		}
		return errors.Join(err, ctx.Err())
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	fetch(named)
	if transfers := server.Traffic("app").Fetches; transfers != 2 {
		t.Errorf("%d transfers: the mirror that is named was removed", transfers)
	}
}
