package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

func TestSuspensionStopsEverythingAndItsEndVerifiesAll(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Suspend, a.Generation, a.RequestedAt = true, 2, "now"
		b.set(a)
		time.Sleep(5 * time.Hour)
		b.idle("while suspended")
		if r := b.last(a.App); r.Stage != fleet.StageSuspended || r.Ready.Status != fleet.True || !b.engine.suspended[a.App] {
			b.Errorf("reported %+v, drift correction is off: %t", r, b.engine.suspended[a.App])
		}
		a.Suspend, a.Generation, a.RequestedAt = false, 3, ""
		b.set(a)
		if got := b.next("deploy").target; !got.Verify {
			b.Error("the pass is not a full one")
		}
		synctest.Wait()
		if b.engine.suspended[a.App] {
			b.Error("drift correction is still off")
		}
	})
}

func TestTombstoneIsCarriedOutUntilDoneThenForgotten(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		tries := 0
		b.engine.remove = func(context.Context) (bool, error) {
			tries++
			switch tries {
			case 1:
				return false, errBroken
			case 2:
				return false, nil
			}
			return true, nil
		}
		a.State, a.Generation, a.Tombstone, a.ApprovedPrune = fleet.Removed, 2, &fleet.Tombstone{Delete: true}, fleet.Digest{5}
		b.set(a)
		if got := b.next("remove").target; got.ApprovedPrune != a.ApprovedPrune || got.Release.Digest() != a.Release.Digest() {
			b.Errorf("it is removed as %+v", got)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageRemoving || r.Ready.Reason != fleet.ReasonPruneFailed {
			b.Errorf("reported %+v", r)
		}
		second := b.next("remove").at
		synctest.Wait()
		b.pool.Changed(a.App)
		if took := b.next("remove").at.Sub(second); took > 2*time.Second {
			b.Errorf("told that something went, it looked after %s", took)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageRemoved {
			b.Errorf("reported %+v", r)
		}
		if len(b.records.content) != 0 || b.blobs.pinned(a.App) != 0 {
			b.Error("something of it is kept")
		}
		time.Sleep(5 * time.Hour)
		b.idle("after it was done")
		b.set()
		synctest.Wait()
		if told := len(b.reports(a.App)) > 0; told || len(b.pool.Unknown()) != 0 {
			b.Errorf("forgotten: %t, unknown: %v", !told, b.pool.Unknown())
		}
	})
}

func TestAssignmentThatLeftTheStateIsKeptAndNotReported(t *testing.T) {
	bubble(t, func(b *bench) {
		stray := here
		stray.Name = "stray"
		b.engine.apps = []fleet.Key{stray, here}
		b.stop()
		b.start()
		a := b.assignment("app", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Kept = true
		b.set(a)
		if c := b.next("deploy"); !c.target.Verify {
			b.Error("the hourly pass is not a full one")
		}
		if len(b.reports(a.App)) > 0 {
			b.Error("it is still reported")
		}
		if got := b.pool.Unknown(); len(got) != 2 || got[0] != a.App || got[1] != stray {
			b.Errorf("unknown are %v", got)
		}
		a.Kept = false
		b.set(a)
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled {
			b.Errorf("back in the state, reported is %+v", r)
		}
	})
}

func TestRestartTakesUpWhatWasAppliedWithoutTheHub(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", func(a *Assigned) { a.Release.Wait = true })
		b.set(a)
		b.next("deploy")
		<-b.fetches
		synctest.Wait()
		b.stop()
		clear(b.told)
		b.engine.status = map[fleet.Key]Status{}
		b.cut(errors.New("no hub"))
		b.start()
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(next)
		if got := b.next("load").target; got.Release.Digest() != a.Release.Digest() || got.Manifest.Digest() != a.Release.Manifest {
			b.Errorf("loaded %+v", got)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Ready.Reason != fleet.ReasonArtifactFailed || r.Applied != a.Release.Digest() || r.Generation != 2 {
			b.Errorf("reported %+v", r)
		}
		if n := b.blobs.pinned(a.App); n != 4 {
			b.Errorf("%d blobs are pinned", n)
		}
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestRestartedSpokeDoesNotUnsayThatItWasReady(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", func(a *Assigned) { a.Release.Wait = true })
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.stop()
		clear(b.told)
		b.start()
		b.set(a)
		b.next("load")
		b.engine.set(a.App, func(s *Status) { s.Healthy.Status = fleet.Unknown }) // not looked at yet
		b.pool.Changed(a.App)
		synctest.Wait()
		for _, r := range b.reports(a.App) {
			if r.Ready.Status != fleet.True {
				b.Errorf("told was %+v", r)
			}
		}
	})
}

func TestAssignmentThatIsNotUnderstoodLeavesWhatIsThere(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		newer := a
		newer.Generation, newer.State, newer.Err = 2, "Frozen", fleet.ErrInvalid
		b.set(newer)
		synctest.Wait()
		if r := b.last(a.App); r.Generation != 2 || !r.Terminal || r.Ready.Status != fleet.False {
			b.Errorf("reported %+v", r)
		}
		if got := b.next("deploy").target; got.Release.Digest() != a.Release.Digest() || !got.Verify {
			b.Errorf("kept is %+v", got)
		}
	})
}

func TestSpokeStopsAtOnceWhateverRuns(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.on(func(ctx context.Context, _ Target) error {
			<-ctx.Done()
			return ctx.Err()
		})
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		begun := time.Now()
		b.stop()
		if r := b.last(a.App); time.Since(begun) != 0 || r.Stage == fleet.StageFailed {
			b.Errorf("stopped after %s, reported %+v", time.Since(begun), r)
		}
	})
}

func TestTombstoneOfASuspendedAppLiftsNoSuspension(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Suspend, a.Generation = true, 2
		b.set(a)
		synctest.Wait()
		suspended := func(when string) {
			b.engine.mu.Lock()
			defer b.engine.mu.Unlock()
			if !b.engine.suspended[a.App] {
				b.Errorf("%s drift is corrected", when)
			}
		}
		b.engine.remove = func(context.Context) (bool, error) { suspended("during the removal"); return false, nil }
		b.stop()
		clear(b.engine.suspended)
		a.State, a.Generation, a.Tombstone = fleet.Removed, 3, &fleet.Tombstone{}
		b.engine.load = func() error { suspended("while it is taken up after a restart"); return nil }
		b.start()
		b.set(a)
		b.next("load")
		b.next("remove")
		a.State, a.Generation, a.Tombstone = fleet.Active, 4, nil // taken back
		b.set(a)
		synctest.Wait()
		suspended("after the tombstone was taken back")
		a.Suspend, a.Generation = false, 5
		b.set(a)
		if got := b.next("deploy").target; !got.Verify {
			b.Error("after the suspension the pass is not a full one")
		}
	})
}

func TestTombstoneOfANewEpochIsCarriedOutThoughItsGenerationWasBefore(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		a.State, a.Generation, a.Tombstone = fleet.Removed, 2, &fleet.Tombstone{Delete: true}
		b.set(a)
		b.next("remove")
		synctest.Wait()
		active := a
		active.Epoch, active.State, active.Generation, active.Tombstone = 2, fleet.Active, 1, nil
		b.set(active)
		b.next("deploy")
		synctest.Wait()
		b.engine.remove = func(context.Context) (bool, error) { return false, nil }
		a.Epoch = 2
		b.set(a)
		b.next("remove")
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageRemoving || r.Epoch != 2 {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestAppThatLeftTheStateWhileItCameBackIsAStray(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		a.State, a.Generation, a.Tombstone = fleet.Removed, 2, &fleet.Tombstone{Delete: true}
		b.set(a)
		b.next("remove")
		synctest.Wait()
		b.engine.on(hang)
		a.State, a.Generation, a.Tombstone = fleet.Active, 3, nil
		b.set(a)
		b.next("deploy") // which may have made objects by now
		b.set()
		synctest.Wait()
		if got := b.pool.Unknown(); len(got) != 1 || got[0] != a.App {
			b.Errorf("unknown are %v", got)
		}
	})
}
