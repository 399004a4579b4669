package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
)

func bind(value string) func(*Assigned) {
	return func(a *Assigned) { a.Binding.Variables = map[string]string{"A": value} }
}

func TestAnotherBindingIsApplied(t *testing.T) {
	bubble(t, func(b *bench) {
		b.set(b.assignment("a", "one", bind("1")))
		if got := b.next("deploy").target.Binding.Variables["A"]; got != "1" {
			b.Errorf("deployed with A=%q", got)
		}
		synctest.Wait()
		b.engine.on(func(context.Context, Target) error { return errors.New("broken") })
		a := b.assignment("a", "one", func(a *Assigned) { bind("2")(a); a.Generation = 2 })
		b.set(a)
		if got := b.next("deploy").target.Binding.Variables["A"]; got != "2" {
			b.Errorf("deployed with A=%q", got)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageFailed || r.Ready.Status != fleet.False || r.Applied != a.Release.Digest() {
			b.Errorf("with the binding before in place, reported is %+v", r)
		}
	})
}

func TestARestartTakesUpTheBindingThatWasApplied(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", bind("1"))
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.stop()
		b.engine.status = map[fleet.Key]Status{}
		b.start()
		b.set(a)
		if got := b.next("load").target.Binding.Variables["A"]; got != "1" {
			b.Errorf("loaded with A=%q", got)
		}
		synctest.Wait()
		if r := b.last(a.App); r.Stage != fleet.StageSettled {
			b.Errorf("reported %+v", r)
		}
	})
}

func TestTheEnginesCallStartsAPass(t *testing.T) {
	bubble(t, func(b *bench) {
		a := b.assignment("a", "one", nil)
		b.set(a)
		b.next("deploy")
		synctest.Wait()
		b.engine.set(a.App, func(s *Status) { s.Wakes = 1 })
		b.pool.Changed(a.App)
		b.next("deploy")
		synctest.Wait()
		b.pool.Changed(a.App) // served already
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case c := <-b.engine.calls:
			b.Errorf("a call that is served is answered with another %s", c.what)
		default:
		}
	})
}
