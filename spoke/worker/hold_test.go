package worker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestAHoldStopsWhatIsNewAndItsEndLetsItGoOnAtOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.put(a.App, "Namespace/apps is on hold: maintenance")
		synctest.Wait()
		if r := b.last(a.App); !r.Converged || r.Waiting != fleet.WaitingNone || !strings.Contains(r.Ready.Message, "maintenance") {
			b.Errorf("with nothing new it is reported as %+v", r)
		}
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation, a.RequestedAt = 2, "now" })
		b.set(next)
		time.Sleep(5 * time.Hour)
		b.idle("on hold")
		if len(b.fetches) != 2 {
			b.Errorf("%d fetches", len(b.fetches))
		}
		b.cut(errBroken) // the hub is away from here on
		r := b.last(a.App)
		if r.Waiting != fleet.WaitingHold || r.Generation != 2 || r.Release != next.Release.Digest() || r.Applied != a.Release.Digest() || r.Converged || !r.Available || r.Terminal {
			b.Errorf("reported %+v", r)
		}
		if r.Ready.Status != fleet.False || r.Ready.Reason != fleet.ReasonHeld || !strings.Contains(r.Ready.Message, "maintenance") {
			b.Errorf("ready %+v", r.Ready)
		}
		if b.engine.suspended[a.App] {
			b.Error("drift is not corrected")
		}
		for _, event := range b.events {
			if event.Warning {
				b.Errorf("what somebody meant is a warning: %+v", event)
			}
		}
		before := time.Now()
		b.put(a.App, "")
		if got := b.next("deploy"); got.at != before || got.target.Release.Digest() != next.Release.Digest() {
			b.Errorf("it goes on after %s with %+v", got.at.Sub(before), got.target)
		}
		synctest.Wait()
		if r := b.last(a.App); !r.Converged || r.Waiting != fleet.WaitingNone || r.HandledReconcileAt != "now" || r.Ready.Reason != fleet.ReasonSucceeded {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestWhatIsOnHoldIsFetchedOnceTheHubIsThere(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.put(a.App, "on hold")
		b.cut(errBroken)
		b.set(a)
		time.Sleep(10 * time.Minute)
		if n := len(b.fetches); n < 20 || n > 100 {
			b.Errorf("%d fetches in 10 minutes", n)
		}
		if r := b.last(a.App); r.Waiting != fleet.WaitingHold {
			b.Errorf("reported %+v", r)
		}
		b.cut(nil)
		b.pool.Retry()
		synctest.Wait()
		b.cut(errBroken)
		b.idle("on hold")
		b.put(a.App, "")
		b.next("deploy")
	})
}

func TestAHoldKeepsWhatIsThereFromBeingAppliedAgain(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.put(a.App, "on hold")
		b.engine.set(a.App, func(s *Status) { s.Wakes++ }) // what it refers to has changed
		b.pool.Changed(a.App)
		a.Generation, a.RequestedAt, a.ApprovedPrune = 2, "now", fleet.Digest{1}
		b.set(a)
		time.Sleep(5 * time.Hour)
		b.idle("on hold")
		b.put(a.App, "")
		b.next("deploy")
	})
}

func TestAHoldStopsDeletionsAndNoTombstoneThatKeepsObjects(t *testing.T) {
	bubble(t, func(b *bench) {
		a, c := b.assignment("a", "one", nil), b.assignment("c", "one", nil)
		b.set(a, c)
		b.next("deploy")
		b.next("deploy")
		synctest.Wait()
		b.put(a.App, "on hold")
		b.put(c.App, "on hold")
		a.State, a.Generation, a.Tombstone = fleet.Removed, 2, &fleet.Tombstone{Delete: true}
		c.State, c.Generation, c.Tombstone = fleet.Removed, 2, &fleet.Tombstone{}
		b.set(a, c)
		if got := b.next("remove"); got.target.App != c.App {
			b.Errorf("%s is removed", got.target.App)
		}
		time.Sleep(time.Hour)
		b.idle("on hold")
		if r := b.last(a.App); r.Waiting != fleet.WaitingHold || r.Stage != fleet.StageRemoving || r.Ready.Reason != fleet.ReasonHeld {
			b.Errorf("reported %+v", r)
		}
		b.put(a.App, "")
		b.next("remove")
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageRemoved {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestNothingIsAppliedBeforeItIsKnownWhatIsOnHold(t *testing.T) {
	bubble(t, func(b *bench) {
		known := make(chan struct{})
		b.hold.known = known
		a := b.assignment("a", "one", nil)
		b.set(a)
		time.Sleep(10 * time.Second)
		b.idle("before it is known")
		b.hold.mu.Lock()
		b.hold.why[a.App] = "on hold" // and nobody says so
		b.hold.mu.Unlock()
		close(known)
		time.Sleep(time.Hour)
		b.idle("on hold")
		if r := b.last(a.App); r.Waiting != fleet.WaitingHold {
			b.Errorf("reported %+v", r)
		}
		b.put(a.App, "")
		if got := b.next("deploy"); !got.target.Verify {
			b.Error("the pass is not a full one")
		}
	})
}

func TestThatItCannotBeKnownWhatIsOnHoldIsReported(t *testing.T) {
	bubble(t, func(b *bench) {
		b.hold.known = make(chan struct{})
		a := b.assignment("a", "one", nil)
		b.set(a)
		time.Sleep(10 * time.Minute)
		b.idle("while it is not known")
		if r := b.last(a.App); r.Stage != fleet.StageFailed || r.Terminal {
			b.Errorf("reported %+v", r)
		}
		close(b.hold.known)
		b.next("deploy")
	})
}

func TestAPassUnderWayEndsBeforeAHold(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.on(func(ctx context.Context, _ Target) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		b.put(a.App, "on hold")
		time.Sleep(2 * time.Minute)
		if r := b.last(a.App); r.Applied != a.Release.Digest() || !r.Converged {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestAHoldOutlivesARestart(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.put(a.App, "on hold")
		b.stop()
		b.start()
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(next)
		b.next("load") // so that drift is corrected
		time.Sleep(time.Hour)
		b.idle("on hold")
		if r := b.last(a.App); r.Waiting != fleet.WaitingHold || r.Applied != a.Release.Digest() {
			b.Errorf("reported %+v", r)
		}
	})
}
