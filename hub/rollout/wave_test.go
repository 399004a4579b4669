package rollout_test

import (
	"slices"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestARequiredWaveWithoutAClusterHaltsTheRolloutWhenItsTurnComes(t *testing.T) {
	t.Parallel()
	nowhere := fleet.Wave{Name: "nowhere", Required: true, Select: &fleet.Selector{MatchLabels: map[string]string{"region": "mars"}}}
	for place, want := range [][]string{nil, {"id-c0"}} {
		policy := canaryThenRest()
		policy.Waves = slices.Insert(policy.Waves, place, nowhere)
		w := newWorld(3, policy)
		one := w.push("one", nil)
		w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonEmptyWave))
		w.run(20, func() bool { return false })
		var given []string
		for _, p := range w.pins {
			given = append(given, p.cluster)
		}
		if a := w.state.Active; !slices.Equal(given, want) || a.Wave != place || a.Phase != rollout.Halted {
			t.Errorf("%v have it, not %v: %+v", given, want, a)
		}
		if outcome := w.state.Track.Outcome(one); outcome != "" {
			t.Errorf("it is %s, and nothing is known of it", outcome)
		}
		w.say(t, rollout.Resume{Actor: "user:a", AcceptCoverage: true})
		w.until(t, "somebody has it go on, and it is everywhere", func() bool { return w.idle() && w.all(one) })
		if !slices.ContainsFunc(w.log, func(e rollout.Event) bool { return e.Type == "WaveSkipped" && e.Wave == nowhere.Name }) {
			t.Errorf("the wave is not told as passed over: %s", w.tail(20))
		}
	}
}
