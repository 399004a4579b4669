package rollout_test

import (
	"fmt"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestControlsReachEveryClusterAtOnceWhateverARolloutIsAt(t *testing.T) {
	t.Parallel()
	situations := map[string]func(t *testing.T, w *world){
		"nothing is under way": func(*testing.T, *world) {},
		"a Rollout is at its canary": func(t *testing.T, w *world) {
			w.push("two", nil)
			w.say(t, nil)
			if !w.member("c0").Phase.InFlight() {
				t.Fatalf("%+v", w.state.Active)
			}
		},
		"a Rollout is halted": func(t *testing.T, w *world) {
			w.push("two", map[string]outcome{"c0": refused})
			w.until(t, "it is halted", w.is(rollout.Halted, ""))
		},
		"the fleet is frozen, and a cluster is": func(t *testing.T, w *world) {
			w.state.Freeze, w.cluster("c2").Held = "holidays", "hands off"
			w.push("two", nil)
			w.say(t, nil)
			if !w.is(rollout.Running, rollout.ReasonFrozen)() {
				t.Fatalf("%+v", w.state.Active)
			}
		},
		"no window is open": func(t *testing.T, w *world) {
			policy := canaryThenRest()
			policy.Windows = []fleet.Window{{Cron: "0 3 * * *", Duration: fleet.Lasting(time.Hour)}}
			w.policy(policy)
			w.push("two", nil)
			w.say(t, nil)
			if !w.is(rollout.Running, rollout.ReasonWindowClosed)() {
				t.Fatalf("%+v", w.state.Active)
			}
		},
	}
	changes := map[string]func(c *fleet.Controls){
		"interval":      func(c *fleet.Controls) { c.Interval = 7 * time.Minute },
		"timeout":       func(c *fleet.Controls) { c.Timeout = 3 * time.Minute },
		"retryInterval": func(c *fleet.Controls) { c.RetryInterval = 2 * time.Minute },
		"requestedAt":   func(c *fleet.Controls) { c.RequestedAt = "2026-03-02T13:00:00Z" },
		"suspend":       func(c *fleet.Controls) { c.Suspend = true },
	}
	for when, situation := range situations {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			for what, change := range changes {
				w, _ := settled(t, 4, canaryThenRest())
				situation(t, w)
				before, under, given := w.state.Rows, w.rollouts(), len(w.pins)
				w.state.App = with1(w.state.App, func(a *rollout.App) { change(&a.Controls) })
				w.say(t, nil)
				for i, row := range w.state.Rows {
					id := w.state.Clusters[i].ID
					was, is := before[i].Assignment, row.Assignment
					if is.Controls != w.state.App.Controls || is.Pin != was.Pin || is.Generation <= was.Generation {
						t.Errorf("%s: %s has %+v at %d, pinned at %d, and had %+v at %d, pinned at %d", what, id,
							is.Controls, is.Generation, is.Pin, was.Controls, was.Generation, was.Pin)
					}
				}
				if got := w.rollouts(); got != under || len(w.pins) != given {
					t.Errorf("%s: Rollouts are %s and were %s, given was %v", what, got, under, w.pins[given:])
				}
			}
		})
	}
}

// rollouts are all that there are, with their phases.
func (w *world) rollouts() string {
	var text string
	for _, ro := range []*rollout.Rollout{w.state.Active, w.state.Queued} {
		if ro != nil {
			text += fmt.Sprintf("%s %s wave %d, ", ro.ID, ro.Phase, ro.Wave)
		}
	}
	return text + fmt.Sprintf("%d over", len(w.ended))
}
