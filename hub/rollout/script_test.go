package rollout_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// script is a schedule: a fleet, a policy, and what happens when. It can be played more than once, with the same outcome.
type script struct {
	policy fleet.RolloutPolicy
	labels []map[string]string
	ticks  int
	deeds  []deed
	// noise on the wire comes of this seed; 0: there is none.
	noise uint64
	// prunes: the App is deleted where its Placement does not choose it any more, some clusters at a time.
	prunes bool
	first  map[string]outcome
}

// deed is something that happens at a tick.
type deed struct {
	tick int
	what string
	do   func(w *world)
}

func (s script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d clusters, %d ticks, noise %d\n", len(s.labels), s.ticks, s.noise)
	for _, d := range s.deeds {
		fmt.Fprintf(&b, "%4d %s\n", d.tick, d.what)
	}
	return b.String()
}

// start makes the fleet as it is before anything happens.
func (s script) start() *world {
	w := newWorld(0, s.policy)
	w.script = s
	for i, labels := range s.labels {
		w.join(fmt.Sprintf("c%03d", i), labels)
	}
	if s.prunes {
		w.state.Placement.OnUnmatch, w.state.Placement.RolloutPolicyRef = fleet.UnmatchPrune, &fleet.RolloutPolicyRef{Name: w.state.Policy.Name}
		w.state.Former["place"] = *w.state.Placement
	}
	if s.noise != 0 {
		w.wire.noise = rand.New(rand.NewPCG(s.noise, 1))
	}
	w.push("first", s.first)
	return w
}

// tick is how far the deeds of schedules are apart.
const tick = 15 * time.Second

// play has all happen, and calls each after every tick; false ends it.
func (s script) play(w *world, each func() bool) {
	next := 0
	for at := range s.ticks {
		for ; next < len(s.deeds) && s.deeds[next].tick <= at; next++ {
			s.deeds[next].do(w)
		}
		w.pass(tick)
		if err := w.look(); err != nil {
			panic(err)
		}
		if !each() {
			return
		}
	}
}

// drawScript draws a schedule for up to so many clusters.
func drawScript(t *rapid.T, clusters, deeds int) script {
	s := script{policy: drawPolicy(t), ticks: rapid.IntRange(5, 80).Draw(t, "ticks")}
	for range rapid.IntRange(1, clusters).Draw(t, "clusters") {
		s.labels = append(s.labels, drawLabels(t))
	}
	if rapid.Bool().Draw(t, "noisy") {
		s.noise = rapid.Uint64Range(1, 1<<20).Draw(t, "noise")
	}
	s.prunes = chance(t, 3, "prunes")
	if chance(t, 4, "first is bad") {
		s.first = s.drawTruth(t)
	}
	for i := range rapid.IntRange(0, deeds).Draw(t, "deeds") {
		d := s.drawDeed(t, i)
		d.tick = rapid.IntRange(0, s.ticks-1).Draw(t, "tick")
		s.deeds = append(s.deeds, d)
	}
	slices.SortStableFunc(s.deeds, func(a, b deed) int { return a.tick - b.tick })
	return s
}

func drawLabels(t *rapid.T) map[string]string {
	n := rapid.IntRange(0, 11).Draw(t, "labels")
	labels := map[string]string{"ring": fmt.Sprint(n % 4)}
	if n >= 6 {
		labels["rank"] = fmt.Sprint(n % 3)
	}
	return labels
}

var outcomes = []outcome{refused, unhealthy, never, regresses, recovering, slow, cuts, flaps}

// drawTruth says in which clusters a Release does not just work.
func (s script) drawTruth(t *rapid.T) map[string]outcome {
	truth := map[string]outcome{}
	for range rapid.IntRange(0, 4).Draw(t, "bad ones") {
		truth[fmt.Sprintf("c%03d", rapid.IntRange(0, len(s.labels)-1).Draw(t, "bad"))] = rapid.SampledFrom(outcomes).Draw(t, "outcome")
	}
	return truth
}

// on is a deed on one of the clusters that are there then.
func on(t *rapid.T, what string, do func(w *world, c *rollout.Cluster)) deed {
	n := rapid.IntRange(0, 999).Draw(t, "cluster")
	return deed{what: fmt.Sprintf("%s %d", what, n), do: func(w *world) {
		if len(w.state.Clusters) > 0 {
			do(w, &w.state.Clusters[n%len(w.state.Clusters)])
		}
	}}
}

// says is a deed that is a command. What cannot be done is refused.
func says(c rollout.Command) deed {
	return deed{what: fmt.Sprintf("%T%+v", c, c), do: func(w *world) { _ = w.step(c) }}
}

func does(what string, do func(w *world)) deed { return deed{what: what, do: do} }

var principals = []string{"user:a", "user:b", "user:c", "user:d", rollout.System}

// drawDeed draws what may happen to a fleet, or to its Rollout, at any time.
func (s script) drawDeed(t *rapid.T, i int) deed {
	switch rapid.IntRange(0, 35).Draw(t, "deed") {
	case 0, 1, 2:
		truth := s.drawTruth(t)
		return does(fmt.Sprintf("push %d %v", i, truth), func(w *world) { w.push(fmt.Sprintf("release %d", i), truth) })
	case 3, 4:
		return on(t, "cut off", func(_ *world, c *rollout.Cluster) { c.Connected = false })
	case 5, 6:
		return on(t, "connect", func(_ *world, c *rollout.Cluster) { c.Connected = true })
	case 7:
		return does("connect all", func(w *world) {
			for i := range w.state.Clusters {
				w.state.Clusters[i].Connected = true
			}
		})
	case 8:
		return on(t, "hold at the spoke", func(w *world, c *rollout.Cluster) { w.spokes[c.ID].held = !w.spokes[c.ID].held })
	case 9:
		return on(t, "hold at the hub", func(_ *world, c *rollout.Cluster) {
			if c.Held = map[bool]string{true: "hands off"}[c.Held == ""]; c.Held == "" {
				return
			}
		})
	case 10:
		labels := drawLabels(t)
		return does(fmt.Sprintf("join %v", labels), func(w *world) { w.join(fmt.Sprintf("n%d", i), labels) })
	case 11:
		return on(t, "leave", func(w *world, c *rollout.Cluster) {
			if len(w.state.Clusters) > 2 {
				w.leave(c.Name)
			}
		})
	case 12:
		labels := drawLabels(t)
		return on(t, fmt.Sprintf("label %v", labels), func(_ *world, c *rollout.Cluster) { c.Labels = labels })
	case 13:
		effect := rapid.SampledFrom([]fleet.TaintEffect{fleet.NoSchedule, fleet.NoExecute}).Draw(t, "effect")
		return on(t, "taint "+string(effect), func(_ *world, c *rollout.Cluster) {
			if len(c.Spec.Taints) > 0 {
				c.Spec.Taints = nil
			} else {
				c.Spec.Taints = []fleet.Taint{{Key: "out", Effect: effect}}
			}
		})
	case 14, 15:
		return on(t, "sick", func(w *world, c *rollout.Cluster) { w.spokes[c.ID].sick = !w.spokes[c.ID].sick })
	case 16:
		return on(t, "crash with old state", func(w *world, c *rollout.Cluster) { w.crashes(c) })
	case 17:
		return does("crash of the hub", func(w *world) { w.crash = w.hub == nil })
	case 18:
		return does("clock goes back", func(w *world) { w.behind = time.Hour - w.behind })
	case 19:
		return says(rollout.Pause{Actor: "user:a"})
	case 20, 21:
		return says(rollout.Resume{Actor: "user:a", AcceptCoverage: rapid.Bool().Draw(t, "accept"), RetryGate: rapid.Bool().Draw(t, "retry gate")})
	case 22:
		return says(rollout.RetryCluster{Actor: "user:a", AllFailed: true})
	case 23:
		return says(rollout.SkipCluster{Actor: "user:a", AllFailed: true, AllDeferred: true, AllStale: true})
	case 24:
		return on(t, "skip", func(w *world, c *rollout.Cluster) {
			_ = w.step(rollout.SkipCluster{Actor: "user:a", Clusters: []string{c.Name}})
		})
	case 25:
		scope := rapid.SampledFrom([]fleet.FailureScope{"", fleet.ScopeFailed, fleet.ScopeWave, fleet.ScopeUpdated}).Draw(t, "of")
		return says(rollout.Rollback{Actor: "user:a", Scope: scope})
	case 26:
		return says(rollout.Cancel{Actor: "user:a"})
	case 27:
		return does("freeze", func(w *world) { w.state.Freeze = map[bool]string{true: "hands off"}[w.state.Freeze == ""] })
	case 28:
		return says(rollout.SkipGate{Actor: "user:a", Reason: "it is known"})
	case 29, 30:
		return s.drawDecision(t)
	case 31, 32:
		return drawAnswers(t)
	case 33:
		return says(rollout.Start{Actor: rapid.SampledFrom(principals).Draw(t, "who"), AllowBad: rapid.Bool().Draw(t, "bad too"), Supersede: rapid.Bool().Draw(t, "instead")})
	case 34:
		waiting := rapid.SampledFrom([]fleet.Waiting{fleet.WaitingDependency, fleet.WaitingPruneHeld}).Draw(t, "for")
		lasts := time.Duration(rapid.IntRange(1, 10).Draw(t, "minutes")) * time.Minute
		return on(t, fmt.Sprintf("wait for %s, for %s:", waiting, lasts), func(w *world, c *rollout.Cluster) {
			s := w.spokes[c.ID]
			s.waits, s.until = waiting, w.real().Add(lasts)
		})
	default:
		if rapid.Bool().Draw(t, "collects") {
			return does("collect garbage", (*world).collect)
		}
		return does("suspend", func(w *world) {
			w.state.App = with1(w.state.App, func(a *rollout.App) { a.Controls.Suspend = !a.Controls.Suspend })
		})
	}
}

// drawDecision draws somebody's word: about what there is, or about a plan that is no more.
func (s script) drawDecision(t *rapid.T) deed {
	d := rollout.Decide{Principal: rapid.SampledFrom(principals).Draw(t, "who"), Approve: !chance(t, 6, "rejects")}
	d.Groups = []string{groupOf(d.Principal)}
	if rapid.Bool().Draw(t, "names the wave") {
		d.Wave = rapid.SampledFrom(s.policy.Waves).Draw(t, "wave").Name
	}
	replays := rapid.Bool().Draw(t, "replays")
	return does(fmt.Sprintf("decide %+v, replayed %v", d, replays), func(w *world) {
		d := d // it is said in more than one world
		if ids := slices.Sorted(maps.Keys(w.ended)); replays && len(ids) > 0 {
			d.Plan = w.ended[ids[0]].Plan
		} else if !replays && w.state.Active != nil {
			d.Plan = w.state.Active.Plan
		}
		_ = w.step(d)
	})
}

// drawAnswers draws what checks that wait are told, some of them twice or late.
func drawAnswers(t *rapid.T) deed {
	results := rapid.SliceOfN(rapid.SampledFrom([]rollout.Result{rollout.ResultPass, rollout.ResultPass, rollout.ResultPass, rollout.ResultFail, rollout.ResultNoData,
		rollout.ResultError, rollout.ResultAgain}), 1, 4).Draw(t, "answers")
	keeps := rapid.Bool().Draw(t, "kept")
	return does(fmt.Sprintf("answer %v", results), func(w *world) {
		w.answers = results
		checks := w.checks
		w.answerChecks()
		if keeps {
			w.checks = append(w.checks, checks...)
		}
	})
}
