package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// tale is what a schedule came to: every event and Assignment in order, and what the rows are in the end.
func (w *world) tale() []string {
	var told []string
	for i, e := range w.log {
		told = append(told, fmt.Sprintf("%s %+v", w.at[i].Format(time.TimeOnly), e))
	}
	for _, p := range w.pins {
		told = append(told, fmt.Sprintf("%s %s %s", p.at.Format(time.TimeOnly), p.cluster, p.release))
	}
	slices.Sort(told[len(w.log):]) // those of one step have no order
	for i, row := range w.state.Rows {
		id := w.state.Clusters[i].ID
		if row.Assignment == nil {
			continue
		}
		told = append(told, fmt.Sprintf("%s %s %s", id, row.Release, row.Assignment.State))
	}
	return told
}

// P4 (I9): a hub that keeps all in memory, and one that is ended between any two steps, and in the middle of some, do the
// same.
func TestARestartChangesNothing(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 12, 25)
		s.deeds = slices.DeleteFunc(s.deeds, func(d deed) bool { return d.what == "crash of the hub" })
		remembers := s.start()
		remembers.remembers = true
		s.play(remembers, func() bool { return true })

		forgets, crashes := s.start(), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "crashes"), 1))
		o := watchWith(forgets)
		s.play(forgets, func() bool {
			forgets.crash = crashes.IntN(4) == 0
			return true
		})
		if diff := cmp.Diff(remembers.tale(), forgets.tale()); diff != "" {
			t.Fatalf("a restart changes what is done: %s\n%s", diff, s)
		}
		return forgets, o
	})
}

// P5 (I8): a pause that is ended again at once changes nothing but versions and events.
func TestAPauseThatEndsAtOnceChangesNothing(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 12, 25)
		s.deeds = slices.DeleteFunc(s.deeds, func(d deed) bool { return d.what == "crash of the hub" })
		plain, paused := s.start(), s.start()
		s.play(plain, func() bool { return true })
		pauses := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "pauses"), 1))
		o := watchWith(paused)
		s.play(paused, func() bool {
			if a := paused.state.Active; a == nil || a.Phase != rollout.Running || pauses.IntN(3) > 0 {
				return true
			}
			if err := paused.step(rollout.Pause{Actor: "user:p"}); err != nil {
				t.Fatal(err)
			}
			if a := paused.state.Active; a == nil || a.Phase != rollout.Paused || a.Reason != rollout.ReasonUser {
				return true // it was halted at once
			}
			if err := paused.step(rollout.Resume{Actor: "user:p"}); err != nil {
				t.Fatal(err)
			}
			return true
		})
		if diff := cmp.Diff(plain.becameOf(), paused.becameOf()); diff != "" {
			t.Fatalf("a pause changes what is done: %s\n%s", diff, s)
		}
		return paused, o
	})
}

// becameOf is every Assignment that a cluster got and when, and what happened but for pauses.
func (w *world) becameOf() []string {
	var told []string
	for i, e := range w.log {
		if e.Actor != "user:p" {
			told = append(told, fmt.Sprintf("%s %s %s%s%s %s", w.at[i].Format(time.TimeOnly), e.Type, e.Cluster, e.Wave, e.Gate, e.Reason))
		}
	}
	for _, p := range w.pins {
		told = append(told, fmt.Sprintf("%s %s %s", p.at.Format(time.TimeOnly), p.cluster, p.release))
	}
	slices.Sort(told[len(told)-len(w.pins):])
	return told
}

// P5: with a pause of any length a good Release gets everywhere all the same, after the same soak: the pause counts for
// nothing in it, and takes nothing from it.
func TestAPauseTakesNothingFromASoak(t *testing.T) {
	t.Parallel()
	besides(t, 2, func(t *rapid.T) {
		const soak = 5 * time.Minute
		w := newWorld(2, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "a", Limit: fleet.Clusters(1), After: []fleet.Gate{{Soak: &fleet.SoakGate{Duration: fleet.Lasting(soak)}}}}, {Name: "b"}}})
		one := w.push("one", nil)
		soaked, running := time.Duration(0), false
		for range 400 {
			before := w.state.Now
			w.pass(time.Duration(rapid.IntRange(1, 60).Draw(t, "seconds")) * time.Second)
			if running {
				soaked += w.state.Now.Sub(before)
			}
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
			if w.idle() {
				break
			}
			a := w.state.Active
			switch {
			case a.Phase == rollout.Running && chance(t, 4, "pauses"):
				_ = w.step(rollout.Pause{Actor: "user:p"})
			case a.Phase == rollout.Paused && chance(t, 2, "resumes"):
				_ = w.step(rollout.Resume{Actor: "user:p"})
			}
			a = w.state.Active
			running = a != nil && a.Phase == rollout.Running && a.Wave == 0 && a.Waves[0].Phase == rollout.WaveAfter
			if a != nil && a.Waves[0].Phase == rollout.WaveAfter {
				if got := a.Waves[0].After[0].Elapsed.Elapsed(w.state.Now); got != soaked {
					t.Fatalf("it soaked for %s, and counts %s", soaked, got)
				}
			} else if a != nil && a.Wave > 0 && soaked < soak {
				t.Fatalf("it went on after %s", soaked)
			}
		}
		if !w.idle() || !w.all(one) {
			t.Fatalf("it does not end: %+v", w.state.Active)
		}
	})
}

// P6: in which order reports come in makes no difference, as long as each spoke's are told apart.
func TestTheOrderOfReportsMakesNoDifference(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 12, 25)
		s.noise = 0
		straight, mixed := s.start(), s.start()
		s.play(straight, func() bool { return true })
		mixed.wire.mix = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 1))
		o := watchWith(mixed)
		s.play(mixed, func() bool { return true })
		if diff := cmp.Diff(straight.tale(), mixed.tale()); diff != "" {
			t.Fatalf("the order of reports changes what is done: %s\n%s", diff, s)
		}
		return mixed, o
	})
}

// I17: the same State, the same Command and the same time give the same Step, whatever the order of a map.
func TestAStepIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	eachOf(t, func(t *rapid.T) (*world, *oracle) {
		s := drawScript(t, 12, 25)
		w := s.start()
		o := watchWith(w)
		w.watch = func(before rollout.State, step rollout.Step) {
			o.step(before, step)
			again, err := rollout.Act(before, w.command)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(step, again) { // a tenth of what cmp takes
				t.Fatalf("the same State gives another Step: %s", cmp.Diff(step, again, cmp.AllowUnexported(fleet.Amount{}, fleet.Duration{}, fleet.Release{})))
			}
		}
		s.play(w, func() bool { return len(o.broken) == 0 })
		return w, o
	})
}
