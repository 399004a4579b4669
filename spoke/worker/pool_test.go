package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/pkg/fleet"
)

func bubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(newBench(t)) })
}

func TestAssignmentIsFetchedDeployedAndReported(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		got := b.next("deploy").target
		if got.Manifest.Digest() != a.Release.Manifest || got.Release.Digest() != a.Release.Digest() || got.Verify {
			b.Errorf("deployed %+v", got)
		}
		if base := <-b.fetches; !base.IsZero() {
			b.Errorf("fetched against %s", base)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled || !r.Converged || r.Epoch != 1 {
			b.Errorf("reported %+v", r)
		}
		if n := b.blobs.pinned(a.App); n != 4 {
			b.Errorf("%d blobs are pinned, want the manifest and its 3 objects", n)
		}
	})
}

func TestNextReleaseIsFetchedAgainstTheOneBefore(t *testing.T) {
	bubble(t, func(b *bench) {
		first := b.assignment("a", "one", nil)
		b.set(first)
		b.next("deploy")
		<-b.fetches
		synctest.Wait()
		second := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(second)
		b.next("deploy")
		if base := <-b.fetches; base != first.Release.Manifest {
			b.Errorf("fetched against %s, want what is applied", base)
		}
		synctest.Wait()
		back := first
		back.Generation = 3
		b.set(back)
		if got := b.next("deploy").target; got.Manifest.Digest() != first.Release.Manifest {
			b.Errorf("deployed %s", got.Manifest.Digest())
		}
		if len(b.fetches) != 0 {
			b.Error("going back to a cached manifest asked the hub")
		}
	})
}

func TestOnlyAChangedControlStartsNoPassAndIsReported(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Generation, a.Interval = 2, time.Hour
		b.set(a)
		synctest.Wait()
		b.idle("for another interval")
		if r := b.last(a.App); r.Generation != 2 || !r.Converged {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestOnlyWhoseAssignmentChangedIsLookedAt(t *testing.T) {
	bubble(t, func(b *bench) {
		a, other := b.assignment("a", "one", nil), b.assignment("other", "two", nil)
		b.set(a, other)
		b.next("deploy")
		b.next("deploy")
		synctest.Wait()
		looks := func(then ...Assigned) int {
			before := b.engine.asked
			b.set(then...)
			synctest.Wait()
			return b.engine.asked - before
		}
		if n := looks(a, other); n != 0 {
			b.Errorf("%d looks for nothing", n)
		}
		a.Generation, a.Interval = 2, time.Hour
		if n := looks(a, other); n != 1 {
			b.Errorf("%d looks for a change of one", n)
		}
		if r := b.last(a.App); r.Generation != 2 {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestRequestIsServedByAFullPassEvenIfNothingChanged(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		a.Generation, a.RequestedAt = 2, "2026-01-01T00:00:00Z"
		serving := make(chan struct{})
		b.engine.on(func(context.Context, Target) error { <-serving; return nil })
		b.set(a)
		if got := b.next("deploy").target; !got.Verify {
			b.Error("the pass is not a full one")
		}
		synctest.Wait()
		if r := b.last(a.App); r.HandledReconcileAt != "" {
			b.Error("the request is called handled before the pass ended")
		}
		close(serving)
		synctest.Wait()
		if r := b.last(a.App); r.HandledReconcileAt != a.RequestedAt {
			b.Errorf("handled is %q", r.HandledReconcileAt)
		}
		b.stop()
		b.start()
		b.set(a)
		b.next("load")
		if got := b.next("deploy").target; got.Verify {
			b.Error("after a restart the request is served again")
		}
	})
}

func TestRequestIsServedByThePassThatBroughtWhatIsNewSince(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		full    bool
	}{
		"made before the pass": {"2000-01-01T00:00:00.5Z", false},
		"made after it":        {"2000-01-01T00:00:05Z", true},
		"no time":              {"now", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) { // begins at midnight, 2000-01-01 UTC
				b.set(b.assignment("a", "one", nil))
				b.next("deploy")
				time.Sleep(time.Second)
				next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
				b.set(next)
				b.next("deploy")
				time.Sleep(10 * time.Second)
				next.Generation, next.RequestedAt = 3, c.request
				b.set(next)
				synctest.Wait()
				if c.full {
					if got := b.next("deploy").target; !got.Verify {
						b.Error("the pass is not a full one")
					}
					synctest.Wait()
				} else {
					b.idle("for a request that is served")
				}
				if r := b.last(next.App); r.HandledReconcileAt != c.request {
					b.Errorf("handled is %q", r.HandledReconcileAt)
				}
			})
		})
	}
}

func TestAChangeInTheClusterAsksTheEngineOnceHowTheAppIs(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		before := b.engine.asked
		b.pool.Changed(a.App)
		synctest.Wait()
		if n := b.engine.asked - before; n != 1 {
			t.Errorf("it was asked %d times", n)
		}
	})
}

func TestEverythingIsVerifiedHourlyAtMostWithJitter(t *testing.T) {
	bubble(t, func(b *bench) {
		b.set(b.assignment("a", "one", nil))
		before := b.next("deploy").at
		spread := map[time.Duration]bool{}
		for range 10 {
			c := b.next("deploy")
			if took := c.at.Sub(before); !c.target.Verify || took < 54*time.Minute || took > 66*time.Minute {
				b.Errorf("after %s a pass, full: %t", took, c.target.Verify)
			}
			spread[c.at.Sub(before)] = true
			before = c.at
		}
		if len(spread) < 5 {
			b.Error("there is no jitter")
		}
	})
}

func TestFailureIsReportedAndRetried(t *testing.T) {
	bubble(t, func(b *bench) {
		fails := 2
		b.engine.on(func(context.Context, Target) error {
			if fails > 0 {
				fails--
				return errBroken
			}
			return nil
		})
		a := b.assignment("a", "one", nil)
		b.set(a)
		before := b.next("deploy").at
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageFailed || r.Ready.Reason != fleet.ReasonFailed || r.Terminal || r.Ready.Message != "broken" {
			b.Errorf("reported %+v", r)
		}
		for range 2 {
			at := b.next("deploy").at
			if took := at.Sub(before); took < 108*time.Second || took > 132*time.Second {
				b.Errorf("retried after %s, want about 2m", took)
			}
			before = at
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled {
			b.Errorf("reported %+v", r)
		}
		if len(b.events) != 2 || !b.events[0].Warning || b.events[1].Warning {
			b.Errorf("events %+v", b.events)
		}
	})
}

func TestBriefTroubleOfTheAPIServerIsRetriedSoonAndNotShown(t *testing.T) {
	bubble(t, func(b *bench) {
		fails := 2
		b.engine.on(func(context.Context, Target) error {
			if fails > 0 {
				fails--
				return &Failure{Err: errBroken, Transient: true}
			}
			return nil
		})
		a := b.assignment("a", "one", nil)
		begun := time.Now()
		b.set(a)
		for range 3 {
			b.next("deploy")
		}
		if took := time.Since(begun); took > 4*time.Second {
			b.Errorf("it took %s", took)
		}
		synctest.Wait()
		for _, r := range b.reports(a.App) {
			if r.Stage == fleet.StageFailed {
				b.Errorf("shown was %+v", r)
			}
		}
	})
}

func TestPassThatPanicsFailsAndHarmsNobody(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.on(func(_ context.Context, target Target) error {
			if target.App.Name == "bad" {
				panic("boom")
			}
			return nil
		})
		bad, good := b.assignment("bad", "one", nil), b.assignment("good", "one", nil)
		b.set(bad, good)
		synctest.Wait()
		if r := b.last(bad.App); r.Stage != fleet.StageFailed || r.Ready.Message != "internal error of the spoke (its log has the details)" {
			b.Errorf("reported %+v", r)
		}
		if r := b.last(good.App); r.Stage != fleet.StageSettled {
			b.Errorf("the other: %+v", r)
		}
	})
}

func TestHealthIsAwaitedBesideThePassAndItsTimeoutReported(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", func(a *Assigned) { a.Release.Wait = true })
		b.engine.set(a.App, func(s *Status) { s.Healthy = fleet.Condition{Status: fleet.Unknown, Message: "0 of 1"} })
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		if len(b.pool.slots) != 0 {
			b.Error("the wait for health holds a slot")
		}
		stage := func(want fleet.Stage, ready fleet.ConditionStatus, when string) {
			b.Helper()
			synctest.Wait()
			if r := b.last(a.App); r.Stage != want || r.Ready.Status != ready {
				b.Errorf("%s: %s, Ready %s (%s)", when, r.Stage, r.Ready.Status, r.Ready.Message)
			}
		}
		health := func(status fleet.ConditionStatus) {
			b.engine.set(a.App, func(s *Status) { s.Healthy.Status = status })
			b.pool.Changed(a.App)
		}
		stage(fleet.StageVerifying, fleet.Unknown, "at once")
		time.Sleep(59 * time.Second)
		stage(fleet.StageVerifying, fleet.Unknown, "before the timeout")
		time.Sleep(time.Second)
		stage(fleet.StageFailed, fleet.False, "after the timeout")
		health(fleet.True)
		stage(fleet.StageSettled, fleet.True, "when it got well after all")
		health(fleet.Unknown)
		stage(fleet.StageVerifying, fleet.True, "when it is not well again")
		time.Sleep(time.Minute)
		stage(fleet.StageFailed, fleet.False, "a timeout later")
		b.idle("for health alone")
	})
}

func TestNewReleaseCutsOffThePassOfTheOld(t *testing.T) {
	bubble(t, func(b *bench) {
		first := b.assignment("a", "one", nil)
		b.engine.on(func(ctx context.Context, target Target) error {
			if target.Release.Digest() == first.Release.Digest() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		b.set(first)
		b.next("deploy")
		second := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(second)
		if got := b.next("deploy").target; got.Release.Digest() != second.Release.Digest() {
			b.Errorf("deployed %+v", got.Release)
		}
		synctest.Wait()
		for _, r := range b.reports(second.App) {
			if r.Stage == fleet.StageFailed {
				b.Errorf("what was cut off is shown as failed: %+v", r)
			}
		}
	})
}

func TestFullPassThatIsCutOffIsMadeUpFor(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.engine.on(func(ctx context.Context, target Target) error {
			if target.Release.Digest() == a.Release.Digest() {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		a.Generation, a.RequestedAt = 2, "now"
		b.set(a)
		b.next("deploy")
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 3 }) // of another that is asked for nothing
		b.set(next)
		if got := b.next("deploy").target; !got.Verify || got.Release.Digest() != next.Release.Digest() {
			b.Errorf("after the full pass was cut off came %+v", got)
		}
	})
}

func TestWhatWaitsForTheHubIsTriedWhenItIsReached(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cut(&Failure{Err: errors.New("no hub"), Transient: true})
		a := b.assignment("a", "one", nil)
		b.set(a)
		time.Sleep(10 * time.Minute)
		b.idle("without a manifest")
		if r := b.last(a.App); r.Ready.Reason != fleet.ReasonArtifactFailed || r.Stage != fleet.StageFailed {
			b.Errorf("reported %+v", r)
		}
		b.cut(nil)
		begun := time.Now()
		b.pool.Retry()
		if at := b.next("deploy").at; at != begun {
			b.Errorf("tried after %s", at.Sub(begun))
		}
	})
}

// Its newer Assignment is on its way.
func TestPassThatIsOvertakenAtTheHubWaitsAndIsNoFailure(t *testing.T) {
	bubble(t, func(b *bench) {
		b.cut(&Failure{Err: ErrSuperseded, Transient: true})
		a := b.assignment("a", "one", func(a *Assigned) { a.RequestedAt = "now" })
		b.set(a)
		time.Sleep(time.Minute)
		synctest.Wait()
		b.idle("without a manifest")
		if n := len(b.fetches); n < 2 || n > 15 {
			b.Errorf("the hub was asked %d times in a minute", n)
		}
		counted := make(chan prometheus.Metric, 10)
		b.pool.metrics.passes.Collect(counted)
		r := b.last(a.App)
		if r.Stage != fleet.StageReceived || r.HandledReconcileAt != "" || len(b.events) != 0 || len(counted) != 0 || b.log.Len() != 0 {
			b.Errorf("reported %+v, told %+v, counted %d passes, logged %s", r, b.events, len(counted), &b.log)
		}
		b.cut(nil)
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation, a.RequestedAt = 2, "now" })
		begun := time.Now()
		b.set(next)
		if got := b.next("deploy"); got.at != begun || got.target.Release.Digest() != next.Release.Digest() || !got.target.Verify {
			b.Errorf("after %s came %+v", got.at.Sub(begun), got.target)
		}
		synctest.Wait()
		if r := b.last(a.App); !r.Converged || r.HandledReconcileAt != "now" {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestBlobLostOnDiskIsFetchedInTheSamePass(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		lost := b.built[a.Release.Manifest].manifest.Entries[1].Digest
		deploys := 0
		b.engine.on(func(context.Context, Target) error {
			if deploys++; deploys == 1 {
				b.blobs.lose(lost)
				return fleet.ErrNotFound
			}
			return nil
		})
		b.set(a)
		begun := b.next("deploy").at
		if at := b.next("deploy").at; at != begun {
			b.Errorf("the second try came after %s", at.Sub(begun))
		}
		if len(b.fetches) != 2 {
			b.Errorf("%d fetches, want 2", len(b.fetches))
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestFewPassesRunAtOnce(t *testing.T) {
	bubble(t, func(b *bench) {
		running, most := make(chan struct{}, 100), atomic.Int32{}
		b.engine.on(func(context.Context, Target) error {
			running <- struct{}{}
			for now := int32(len(running)); ; {
				if before := most.Load(); before >= now || most.CompareAndSwap(before, now) {
					break
				}
			}
			time.Sleep(time.Second)
			<-running
			return nil
		})
		var all []Assigned
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
			all = append(all, b.assignment(name, "one", nil))
		}
		begun := time.Now()
		b.set(all...)
		for range all {
			b.next("deploy")
		}
		if took := time.Since(begun); most.Load() != DefaultConcurrency || took != 2*time.Second {
			b.Errorf("%d passes at once, the last one after %s", most.Load(), took)
		}
		time.Sleep(time.Second)
	})
}
