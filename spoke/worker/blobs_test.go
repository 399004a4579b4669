package worker

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// holds fails the test unless the App has pinned exactly these.
func (b *bench) holds(app fleet.Key, when string, want ...fleet.Digest) {
	b.Helper()
	b.blobs.mu.Lock()
	defer b.blobs.mu.Unlock()
	pinned := b.blobs.pins[app.String()]
	for _, digest := range want {
		if !slices.Contains(pinned, digest) {
			b.Errorf("%s %s is not pinned", when, digest)
		}
	}
	for _, digest := range pinned {
		if !slices.Contains(want, digest) {
			b.Errorf("%s %s is pinned, for nothing", when, digest)
		}
	}
}

// parts are the Manifest of an Assignment and its blobs.
func (b *bench) parts(a Assigned) []fleet.Digest {
	digests := []fleet.Digest{a.Release.Manifest}
	for _, entry := range b.built[a.Release.Manifest].manifest.Entries {
		digests = append(digests, entry.Digest)
	}
	return digests
}

// applies has the engine say what objects were made of.
func (b *bench) applies(app fleet.Key, digests ...fleet.Digest) {
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	b.engine.applied[app] = digests
}

func TestWhatAFailedReleaseAppliedStaysPinnedUntilItIsReplaced(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.holds(a.App, "applied,", b.parts(a)...)

		second := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		half := b.parts(second)[1] // of which one object is applied
		b.engine.on(func(context.Context, Target) error {
			b.applies(a.App, append(b.parts(a)[2:], half)...)
			return errBroken
		})
		b.set(second)
		b.next("deploy")
		synctest.Wait()
		third := b.assignment("a", "three", func(a *Assigned) { a.Generation = 3 })
		b.set(third)
		b.next("deploy")
		synctest.Wait()
		b.holds(a.App, "while the third fails", append(append(b.parts(a), half), b.parts(third)...)...)

		b.stop()
		b.blobs.pins = map[string][]fleet.Digest{}
		b.cut(&Failure{Err: errBroken, Transient: true})
		b.blobs.lose(third.Release.Manifest)
		b.start()
		b.set(third)
		b.next("load")
		synctest.Wait()
		b.holds(a.App, "after a restart without the hub", append(b.parts(a), half)...)

		b.cut(nil)
		b.engine.on(func(context.Context, Target) error { b.applies(a.App, b.parts(third)[1:]...); return nil })
		b.pool.Retry()
		b.next("deploy")
		synctest.Wait()
		b.holds(a.App, "applied at last,", b.parts(third)...)
	})
}

func TestOneLostBlobUnpinsNoOtherAndKeepsNoAppFromBeingTakenUp(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		<-b.fetches
		synctest.Wait()
		b.blobs.lose(b.parts(a)[1])
		b.cut(&Failure{Err: errBroken, Transient: true})
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(next)
		if base := <-b.fetches; !base.IsZero() {
			b.Errorf("fetched against %s, which is not whole", base)
		}
		synctest.Wait()
		b.holds(a.App, "without the hub,", b.parts(a)...)
		b.stop()
		b.start()
		b.set(next)
		if got := b.next("load").target; got.Release.Digest() != a.Release.Digest() {
			b.Errorf("loaded %+v", got.Release)
		}
		synctest.Wait()
		b.holds(a.App, "after a restart", b.parts(a)...)
	})
}

func TestPinsAreSetBeforeAPlaceIsFree(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.stop()
		b.blobs.pins = map[string][]fleet.Digest{}
		b.engine.ready = make(chan struct{})
		b.start()
		b.set(a)
		synctest.Wait()
		b.holds(a.App, "while the engine is not ready,", b.parts(a)...)
		close(b.engine.ready)
		b.next("load")
		b.next("deploy")
	})
}

func TestWhatIsAppliedStaysPinnedWhileACachedReleaseFails(t *testing.T) {
	bubble(t, func(b *bench) {
		first, second := b.assignment("a", "one", nil), b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(first)
		b.next("deploy")
		synctest.Wait()
		b.set(second)
		b.next("deploy")
		synctest.Wait()
		b.engine.on(func(context.Context, Target) error { return errBroken })
		first.Generation = 3
		b.set(first)
		b.next("deploy")
		synctest.Wait()
		b.holds(first.App, "while the first fails", append(b.parts(first), b.parts(second)...)...)
	})
}

func TestReleaseWhosePruneFailedCountsAsApplied(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		second := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.engine.on(func(_ context.Context, target Target) error {
			b.engine.set(target.App, func(s *Status) { s.Applied = target.Release.Digest() })
			return &Failure{Err: errBroken, Reason: fleet.ReasonPruneFailed}
		})
		b.set(second)
		b.next("deploy")
		synctest.Wait()
		b.holds(a.App, "after a prune that failed", b.parts(second)...)
		b.stop()
		b.start()
		b.set(second)
		if got := b.next("load").target; got.Release.Digest() != second.Release.Digest() {
			b.Errorf("a restart takes up %+v", got.Release)
		}
		b.next("deploy")
	})
}

func TestBlobThatACorrectionMissesIsFetched(t *testing.T) {
	bubble(t, func(b *bench) {
		a, other := b.assignment("a", "one", nil), b.assignment("b", "other", nil)
		b.set(a, other)
		b.next("deploy")
		b.next("deploy")
		synctest.Wait()
		b.applies(a.App, b.parts(a)[1:]...)
		b.applies(other.App, b.parts(other)[1:]...)
		b.pool.Lost()
		synctest.Wait()
		b.idle("with nothing lost")
		b.cut(&Failure{Err: errBroken, Transient: true})
		b.blobs.lose(b.parts(a)[1])
		for range 100 {
			b.pool.Lost() // as corrections ask again and again
			time.Sleep(time.Second)
		}
		if n := len(b.fetches); n > 2+10 {
			b.Errorf("the hub, which is away, was asked %d times in 100 seconds", n-2)
		}
		b.idle("without the hub")
		b.cut(nil)
		b.pool.Retry()
		if got := b.next("deploy").target; got.App != a.App || !b.blobs.Has(b.parts(a)[1]) {
			b.Errorf("deployed %+v, the blob is there: %t", got.App, b.blobs.Has(b.parts(a)[1]))
		}
		synctest.Wait()
		b.pool.Lost()
		synctest.Wait()
		b.idle("once it is there")
	})
}
