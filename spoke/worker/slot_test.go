package worker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

// hang is a pass that ends only with its context.
func hang(ctx context.Context, _ Target) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestPassesThatHangHoldNoOtherAppUp(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.on(func(ctx context.Context, target Target) error {
			if strings.HasPrefix(target.App.Name, "slow") {
				return hang(ctx, target)
			}
			return nil
		})
		var slow []Assigned
		for _, name := range []string{"slow1", "slow2", "slow3", "slow4"} {
			slow = append(slow, b.assignment(name, "one", nil))
		}
		b.set(slow...)
		for range slow {
			b.next("deploy")
		}
		begun := time.Now()
		b.set(append(slow, b.assignment("quick", "one", nil))...)
		if at := b.next("deploy").at; at.Sub(begun) > time.Minute {
			b.Errorf("the fifth App waits for %s", at.Sub(begun))
		}
		time.Sleep(minPassTime)
		synctest.Wait()
		for _, a := range slow {
			if r := b.last(a.App); !strings.Contains(r.Ready.Message, "deadline exceeded") {
				b.Errorf("a pass that took too long is reported as %+v", r.Ready)
			}
		}
		if n := len(b.pool.slots); n > DefaultConcurrency {
			b.Errorf("%d places are taken", n)
		}
	})
}

func TestWaitForTheEngineHoldsNoPlaceAndIsReportedWhenItIsLong(t *testing.T) {
	bubble(t, func(b *bench) {
		b.engine.ready = make(chan struct{})
		var all []Assigned
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			all = append(all, b.assignment(name, "one", nil))
		}
		b.set(all...)
		synctest.Wait()
		b.idle("before it is ready")
		if len(b.pool.slots) != 0 {
			b.Error("the wait for the engine holds a place")
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if r := b.last(all[0].App); r.Stage != fleet.StageFailed || !strings.HasPrefix(r.Ready.Message, "the cluster is not known yet") {
			b.Errorf("reported %+v", r)
		}
		close(b.engine.ready)
		for range all {
			b.next("deploy")
		}
	})
}

func TestAppThatCouldNotBeTakenUpIsByTheNextPass(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		<-b.fetches
		synctest.Wait()
		b.stop()
		b.cut(&Failure{Err: errBroken, Transient: true})
		fails := 2
		b.engine.load = func() error {
			if fails--; fails >= 0 {
				return errBroken
			}
			return nil
		}
		b.start()
		next := b.assignment("a", "two", func(a *Assigned) { a.Generation = 2 })
		b.set(next) // which cannot be fetched
		for range 3 {
			if got := b.next("load").target; got.Release.Digest() != a.Release.Digest() {
				b.Errorf("loaded %+v", got.Release)
			}
		}
		time.Sleep(time.Hour)
		b.idle("once it is taken up")
	})
}
