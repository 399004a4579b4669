package rollout_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// automaton is what an analysis should come to by its answers, said as the specification says it.
func automaton(a fleet.AnalysisGate, answers []rollout.Result) rollout.GatePhase {
	failed, completed, errors, noData := 0, 0, 0, 0
	for _, answer := range answers {
		if answer == rollout.ResultNoData {
			switch a.OnNoData {
			case fleet.NoDataFail:
				answer = rollout.ResultFail
			case fleet.NoDataPass:
				answer = rollout.ResultPass
			}
		}
		if answer == rollout.ResultError {
			errors++
		} else {
			errors = 0
			completed++
		}
		switch answer {
		case rollout.ResultFail:
			failed++
		case rollout.ResultNoData:
			noData++
		}
		switch {
		case failed > a.FailureLimit:
			return rollout.GateFailed
		case errors > *a.ErrorLimit, noData > a.InconclusiveLimit:
			return rollout.GateInconclusive
		case completed == a.Count:
			return rollout.GatePassed
		}
	}
	return rollout.GateRunning
}

// P15: an analysis comes to what its limits say, for every row of answers.
func TestAnAnalysisComesToWhatItsLimitsSay(t *testing.T) {
	t.Parallel()
	besides(t, 4, func(t *rapid.T) {
		a := fleet.AnalysisGate{Name: "errors", Query: "q", Max: new(1.0), Interval: fleet.Lasting(30 * time.Second), Count: rapid.IntRange(1, 5).Draw(t, "count"),
			FailureLimit: rapid.IntRange(0, 2).Draw(t, "failureLimit"), ErrorLimit: new(rapid.IntRange(0, 2).Draw(t, "errorLimit")),
			InconclusiveLimit: rapid.IntRange(0, 2).Draw(t, "inconclusiveLimit"),
			OnNoData:          rapid.SampledFrom([]fleet.OnNoData{fleet.NoDataInconclusive, fleet.NoDataFail, fleet.NoDataPass}).Draw(t, "onNoData")}
		answers := rapid.SliceOfN(rapid.SampledFrom([]rollout.Result{rollout.ResultPass, rollout.ResultFail, rollout.ResultNoData, rollout.ResultError}), 1, 12).Draw(t, "answers")
		w := newWorld(1, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", Before: []fleet.Gate{{Analysis: &a}}}},
			OnInconclusive: rapid.SampledFrom([]fleet.OnInconclusive{fleet.InconclusivePause, fleet.InconclusiveHalt}).Draw(t, "onInconclusive")})
		w.push("one", nil)
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		id := w.state.Active.ID
		gate := func() rollout.GatePhase {
			if r := w.ended[id]; r != nil {
				return r.Waves[0].Before[0].Phase
			}
			return w.state.Active.Waves[0].Before[0].Phase
		}
		for i, answer := range answers {
			if len(w.checks) != 1 {
				t.Fatalf("after %v it asks %d times", answers[:i], len(w.checks))
			}
			check := w.checks[0]
			w.checks = nil
			// An answer to another question, and the same one twice, count for nothing.
			stale := check
			stale.Attempt--
			for _, m := range []rollout.Measured{measured(stale, rollout.ResultFail), measured(check, answer), measured(check, answer)} {
				if err := w.step(m); err != nil {
					t.Fatal(err)
				}
			}
			want := automaton(a, answers[:i+1])
			if got := gate(); got != want {
				t.Fatalf("%+v: after %v it is %s, want %s", a, answers[:i+1], got, want)
			}
			if want != rollout.GateRunning {
				return
			}
			w.state.Now = w.state.Now.Add(29 * time.Second)
			if _ = w.step(nil); len(w.checks) > 0 {
				t.Fatal("it asks before its interval has passed")
			}
			w.state.Now = w.state.Now.Add(time.Second)
			if err := w.step(nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// P15: what a webhook says is what becomes of its gate.
func TestAWebhookComesToWhatItSays(t *testing.T) {
	t.Parallel()
	besides(t, 1, func(t *rapid.T) {
		h := fleet.WebhookGate{URL: "http://example.com", Poll: fleet.Lasting(10 * time.Second), Retries: new(rapid.IntRange(0, 3).Draw(t, "retries"))}
		answers := rapid.SliceOfN(rapid.SampledFrom([]rollout.Result{rollout.ResultPass, rollout.ResultFail, rollout.ResultAgain, rollout.ResultError}), 1, 10).Draw(t, "answers")
		w := newWorld(1, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all", Before: []fleet.Gate{{Webhook: &h}}}}})
		w.push("one", nil)
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
		errors := 0
		for i, answer := range answers {
			want := rollout.GateRunning
			switch answer {
			case rollout.ResultPass:
				want = rollout.GatePassed
			case rollout.ResultFail:
				want = rollout.GateFailed
			case rollout.ResultAgain:
				errors = 0
			case rollout.ResultError:
				if errors++; errors > *h.Retries {
					want = rollout.GateInconclusive
				}
			}
			check := w.checks[len(w.checks)-1]
			if err := w.step(measured(check, answer)); err != nil {
				t.Fatal(err)
			}
			if got := w.state.Active.Waves[0].Before[0].Phase; got != want {
				t.Fatalf("after %v it is %s, want %s", answers[:i+1], got, want)
			}
			if want != rollout.GateRunning {
				return
			}
			// A request that failed may wait longer than one that is to be asked again.
			asked := w.asksWithin(t, 5*time.Minute)
			if !asked {
				t.Fatalf("after %v it does not ask again", answers[:i+1])
			}
		}
	})
}

// asksWithin lets time pass until a check is asked.
func (w *world) asksWithin(t *rapid.T, d time.Duration) bool {
	n := len(w.checks)
	for until := w.state.Now.Add(d); w.state.Now.Before(until) && len(w.checks) == n; {
		w.state.Now = w.state.Now.Add(10 * time.Second)
		if err := w.step(nil); err != nil {
			t.Fatal(err)
		}
	}
	return len(w.checks) > n
}
