package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// largeFleet has 10,000 clusters get a Release in 20 waves.
func largeFleet(b *testing.B) *world {
	b.Helper()
	rollout.Uninspected(b)
	policy := fleet.RolloutPolicy{MaxUnavailable: fleet.Percent(10)}
	for i := range 20 {
		policy.Waves = append(policy.Waves, fleet.Wave{
			Name: fmt.Sprintf("w%d", i), Select: &fleet.Selector{MatchLabels: map[string]string{"wave": fmt.Sprint(i)}}, MaxConcurrent: fleet.Percent(100),
		})
	}
	w := newWorld(0, policy)
	for i := range 10_000 {
		w.join(fmt.Sprintf("c%d", i), map[string]string{"wave": fmt.Sprint(i % 20)})
	}
	w.push("one", nil)
	return w
}

// onward is the next moment and step.
func (w *world) onward(b *testing.B) {
	b.Helper()
	w.pass(10 * time.Second)
	if err := w.step(nil); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStep is one step in which nothing is to be done, half way through.
func BenchmarkStep(b *testing.B) {
	w := largeFleet(b)
	for w.state.Active == nil || w.state.Active.Wave < 10 {
		w.onward(b)
	}
	w.pass(10 * time.Second)
	for b.Loop() {
		rollout.Next(w.state)
	}
}

// BenchmarkRollout is all steps of it: the percentiles are those of one step.
func BenchmarkRollout(b *testing.B) {
	var steps []time.Duration
	for b.Loop() {
		w := largeFleet(b)
		for w.state.Track == nil || w.state.Active != nil {
			began := time.Now()
			rollout.Next(w.state)
			steps = append(steps, time.Since(began))
			w.onward(b)
		}
	}
	slices.Sort(steps)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(steps[(len(steps)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms/step", p))
	}
	b.ReportMetric(float64(len(steps))/float64(b.N), "steps")
}
