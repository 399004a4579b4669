package worker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

// release is the assignment of a HelmRelease.
func (b *bench) release(name, what string, generation uint64) Assigned {
	b.Helper()
	return b.assignment(name, what, func(a *Assigned) {
		a.App.Kind, a.Generation = flux.HelmReleaseKind, generation
		a.Release.App = a.App
	})
}

func TestWhatHelmHasBegunEndsBeforeANewerReleaseIsBegun(t *testing.T) {
	for name, c := range map[string]struct {
		next func(*Assigned)
		what string // comes next
		cut  bool
	}{
		"a newer release": {func(*Assigned) {}, "deploy", false},
		"a removal":       {func(a *Assigned) { a.State, a.Tombstone = fleet.Removed, &fleet.Tombstone{Delete: true} }, "remove", true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(b *bench) {
				cut := false
				b.engine.on(func(ctx context.Context, target Target) error {
					b.engine.on(nil)
					<-ctx.Done()
					select {
					case <-target.Within.Done():
						cut = true
					case <-time.After(2 * time.Minute):
					}
					return context.Cause(ctx)
				})
				b.set(b.release("a", "one", 1))
				b.next("deploy")
				synctest.Wait()
				newer, begun := b.release("a", "two", 2), time.Now()
				c.next(&newer)
				b.set(newer)
				took := b.next(c.what).at.Sub(begun)
				if cut != c.cut || (took < 2*time.Minute) != c.cut {
					b.Errorf("cut off is %t, the next began after %s", cut, took)
				}
			})
		})
	}
}

func TestAReleaseThatWaitsHoldsNoPlaceAndItsTimeDoesNotGoBy(t *testing.T) {
	bubble(t, func(b *bench) {
		turn, timedOut := make(chan struct{}), make(chan time.Time, 10)
		b.engine.on(func(ctx context.Context, target Target) error {
			if target.App.Kind != flux.HelmReleaseKind {
				return nil
			}
			over := target.Waits()
			<-turn
			over()
			<-ctx.Done()
			timedOut <- time.Now()
			return context.Cause(ctx)
		})
		all := []Assigned{b.release("a", "one", 1), b.release("b", "one", 1), b.release("c", "one", 1), b.release("d", "one", 1)}
		b.set(all...)
		for range all {
			b.next("deploy")
		}
		begun := time.Now()
		b.set(append(all, b.assignment("quick", "one", nil))...)
		if took := b.next("deploy").at.Sub(begun); took > time.Second {
			b.Errorf("another App waits for %s", took)
		}
		time.Sleep(24 * time.Hour)
		begun = time.Now()
		close(turn)
		if took := (<-timedOut).Sub(begun); took < minPassTime {
			b.Errorf("it had %s", took)
		}
		synctest.Wait()
		if r := b.last(all[0].App); !strings.Contains(r.Ready.Message, "deadline exceeded") {
			b.Errorf("a pass that took too long is reported as %+v", r.Ready)
		}
	})
}
