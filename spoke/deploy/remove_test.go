package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

func (b *bundle) tryRemove(tomb fleet.Tombstone, approved fleet.Digest) (done bool, err error) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	return b.engine.Remove(ctx, deploy.Removal{App: b.app, Tombstone: tomb, Release: b.release, ApprovedPrune: approved})
}

func (b *bundle) remove(tomb fleet.Tombstone, approved fleet.Digest) (done bool) {
	b.Helper()
	done, err := b.tryRemove(tomb, approved)
	if err != nil {
		b.Fatal(err)
	}
	return done
}

func TestTombstones(t *testing.T) {
	t.Run("orphan leaves everything and drops the inventory", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed("a", "b")...)
		before := b.get(configMaps, "a").GetResourceVersion()
		for range 2 {
			if !b.remove(fleet.Tombstone{}, fleet.Digest{}) {
				t.Error("it is not done")
			}
		}
		if len(b.owned(configMaps)) != 2 || len(b.inventory()) != 0 {
			t.Errorf("objects %v, %d shards", b.owned(configMaps), len(b.inventory()))
		}
		b.patch(configMaps, "b", "someone", `{"data":{"key":"2"}}`)
		b.canary()
		b.value(configMaps, "b", "2", "data", "key")
		if b.get(configMaps, "a").GetResourceVersion() != before {
			t.Error("it was written")
		}
	})
	t.Run("deletion is held without a confirmation and goes on with an approval", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed("a", "b")...)
		b.start() // known from the inventory alone
		if b.remove(fleet.Tombstone{Delete: true}, fleet.Digest{}) || b.status().HeldPrune == nil || len(b.owned(configMaps)) != 2 {
			t.Fatalf("held is %+v", b.status().HeldPrune)
		}
		if !b.remove(fleet.Tombstone{Delete: true}, b.status().HeldPrune.Digest) || len(b.owned(configMaps)) != 0 {
			t.Errorf("objects %v", b.owned(configMaps))
		}
		if !b.remove(fleet.Tombstone{Delete: true}, fleet.Digest{}) {
			t.Error("it is not done when done again")
		}
		apps, err := b.engine.Apps(b.Context())
		if err != nil || len(apps) != 0 {
			t.Errorf("apps %v, %v", apps, err)
		}
	})
	t.Run("a confirmed deletion goes at once", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed(numbered("cm", 20)...)...)
		if !b.remove(fleet.Tombstone{Delete: true, Confirmed: true}, fleet.Digest{}) || len(b.owned(configMaps)) != 0 {
			t.Errorf("objects %v", b.owned(configMaps))
		}
	})
	t.Run("with Wait it is done when the objects are gone", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed("a", "stuck")...)
		b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":["test.flotilla.dev/stuck"]}}`)
		tomb := fleet.Tombstone{Delete: true, Wait: true}
		b.remove(tomb, fleet.Digest{})
		approved := b.status().HeldPrune.Digest
		for range 2 { // the approval covers what is left of the set
			if b.remove(tomb, approved) || b.status().HeldPrune != nil {
				t.Fatalf("status %+v", b.status())
			}
		}
		b.mu.Lock()
		before := b.changes[b.app]
		b.mu.Unlock()
		b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":null}}`)
		b.eventually("the worker is told", func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.changes[b.app] == before {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		b.eventually("it is done", func() error {
			if !b.remove(tomb, approved) || len(b.inventory()) != 0 {
				return fmt.Errorf("%d shards are left", len(b.inventory()))
			}
			return nil
		})
	})
	t.Run("what is held is kept as it was", func(t *testing.T) {
		b := newBundle(t).start()
		kept := b.configMap("kept", "1", annotations("kustomize.toolkit.fluxcd.io/prune", "disabled"))
		b.deploy(b.configMap("a", "1"), b.configMap("safe", "1", annotations("fleet.flotilla.dev/protect", "true")), kept)
		b.deploy(b.configMap("a", "1"), kept)
		before := b.status().HeldPrune
		if before == nil || before.Count != 1 {
			t.Fatalf("held is %+v", before)
		}
		if b.remove(fleet.Tombstone{Delete: true}, fleet.Digest{}) || b.status().HeldPrune.Count != 2 {
			t.Fatalf("held is %+v", b.status().HeldPrune)
		}
		for _, name := range []string{"safe", "a", "kept"} {
			b.patch(configMaps, name, "someone", `{"data":{"key":"2"}}`)
		}
		b.value(configMaps, "kept", "1", "data", "key")
		b.value(configMaps, "a", "1", "data", "key")
		b.canary()
		b.value(configMaps, "safe", "2", "data", "key") // it was left alone before, and is
		if !b.remove(fleet.Tombstone{Delete: true}, b.status().HeldPrune.Digest) {
			t.Error("it is not done")
		}
		if b.get(configMaps, "kept") == nil || b.get(configMaps, "a") != nil || len(b.inventory()) != 0 {
			t.Errorf("there are %v", b.owned(configMaps))
		}
	})
	t.Run("the guard is that of the tombstone's release", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed("a", "b")...)
		b.start()
		b.release.PruneGuard = "off"
		if !b.remove(fleet.Tombstone{Delete: true}, fleet.Digest{}) || len(b.owned(configMaps)) != 0 {
			t.Errorf("held is %+v", b.status().HeldPrune)
		}
	})
	t.Run("with Wait it is done after its timeout too", func(t *testing.T) {
		b := newBundle(t).start()
		b.deploy(b.configMapsNamed("a", "stuck")...)
		b.patch(configMaps, "stuck", "someone", `{"metadata":{"finalizers":["test.flotilla.dev/stuck"]}}`)
		b.judged()
		removal := deploy.Removal{App: b.app, Tombstone: fleet.Tombstone{Delete: true, Wait: true, Confirmed: true}, Timeout: time.Hour}
		for _, timeout := range []time.Duration{time.Hour, 0, time.Nanosecond} {
			removal.Timeout = timeout
			done, err := b.engine.Remove(b.Context(), removal)
			if want := timeout == time.Nanosecond; err != nil || done != want {
				t.Fatalf("with a timeout of %s it is done: %t, error %v", timeout, done, err)
			}
		}
		events := b.eventsOf("Pruned")
		if last := events[len(events)-1]; !last.Warning || !strings.Contains(last.Message, "ConfigMap/"+b.namespace+"/stuck") {
			t.Errorf("the last event is %+v", last)
		}
		if len(b.inventory()) != 0 {
			t.Errorf("the inventory is %s", b.entries())
		}
	})
}
