package store_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/run"
)

// behindProxy opens a second Store on the bundle's database, through a proxy.
func (b *bundle) behindProxy() (*store.Store, *proxy) {
	b.t.Helper()
	p, through := newProxy(b.t, b.url)
	s, err := store.Open(b.t.Context(), store.Config{URL: through, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("key")),
		Log: slog.New(slog.DiscardHandler), MaxConnections: 4, Patience: time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	return s, p
}

// runs runs the Store's loops until the test ends.
func runs(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func await(t *testing.T, wake run.Wake, what string) {
	t.Helper()
	select {
	case <-wake:
	case <-time.After(patience):
		t.Fatalf("not woken %s", what)
	}
}

func TestWatchersAreWokenWhenTheListeningConnectionDiedUnnoticed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	runs(t, b.Store)
	s, way := b.behindProxy()
	wake, stop := s.Watch(store.TopicObjects)
	defer stop()
	runs(t, s)
	await(t, wake, "when it listens")
	way.cut()
	b.apply(gitYAML) // nobody hears of it
	await(t, wake, "when it listens again")
	b.apply(ksYAML)
	await(t, wake, "over the new connection")
}

func TestCallOverADeadConnectionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	session := b.connect("prod-1", fleet.StateID{})
	s, way := b.behindProxy()
	if _, _, _, err := s.DesiredState(t.Context(), session, fleet.StateID{}); err != nil {
		t.Fatal(err)
	}
	held := b.begin(`LOCK TABLE cluster IN ACCESS EXCLUSIVE MODE`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, _, err := s.DesiredState(ctx, session, fleet.StateID{})
		done <- err
	}()
	b.awaitBlocked(held, 1)
	way.cut()
	commit(t, held)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("over a new connection: %v", err)
	}
}
