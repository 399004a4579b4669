package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// A plan promises no more than what the policy has it wait for, and no Rollout is faster. It is noon in these tests, a Monday.
func TestPlanTellsTheLeastTimeThatEachWaveTakes(t *testing.T) {
	t.Parallel()
	soak := func(d time.Duration) fleet.Gate { return fleet.Gate{Soak: &fleet.SoakGate{Duration: fleet.Lasting(d)}} }
	approval := fleet.Gate{Approval: &fleet.ApprovalGate{Name: "go"}}
	analysis := fleet.Gate{Analysis: &fleet.AnalysisGate{Count: 3, Interval: fleet.Lasting(2 * time.Minute), Query: "up", Min: new(1.0)}}
	webhook := fleet.Gate{Webhook: &fleet.WebhookGate{URL: "https://example.com"}}
	minReady := func(d time.Duration) func(*fleet.RolloutPolicy) {
		return func(p *fleet.RolloutPolicy) { p.Cluster.MinReady = fleet.Lasting(d) }
	}
	daily := func(cron string, open time.Duration) func(*fleet.RolloutPolicy) {
		return func(p *fleet.RolloutPolicy) {
			p.Windows, p.Cluster.MinReady = []fleet.Window{{Cron: cron, Duration: fleet.Lasting(open)}}, fleet.Lasting(time.Minute)
		}
	}
	// One canary, and six others: three of them at a time by both budgets.
	for name, test := range map[string]struct {
		policy func(*fleet.RolloutPolicy)
		world  func(*world)
		want   []time.Duration
	}{
		"nothing is waited for": {func(*fleet.RolloutPolicy) {}, nil, []time.Duration{0, 0}},
		"gates, one after the other": {func(p *fleet.RolloutPolicy) {
			p.Waves[0].After = []fleet.Gate{soak(5 * time.Minute), analysis, webhook}
			p.Waves[1].Before, p.Waves[1].After = []fleet.Gate{approval, soak(time.Minute)}, []fleet.Gate{approval}
		}, nil, []time.Duration{9 * time.Minute, time.Minute}},
		"a gate that is longer than time is": {func(p *fleet.RolloutPolicy) {
			p.Waves[0].After = []fleet.Gate{soak(time.Hour), {Analysis: &fleet.AnalysisGate{Count: 1 << 60, Interval: fleet.Lasting(time.Hour)}}}
		}, nil, []time.Duration{1<<63 - 1, 0}},
		"clusters have to be ready for a while": {minReady(2 * time.Minute), nil, []time.Duration{2 * time.Minute, 4 * time.Minute}},
		"one at a time": {func(p *fleet.RolloutPolicy) {
			minReady(2 * time.Minute)(p)
			p.Waves[1].MaxConcurrent = nil
		}, nil, []time.Duration{2 * time.Minute, 12 * time.Minute}},
		"fewer may be without service than be updated": {func(p *fleet.RolloutPolicy) {
			minReady(2 * time.Minute)(p)
			p.MaxUnavailable = fleet.Clusters(2)
		}, nil, []time.Duration{2 * time.Minute, 6 * time.Minute}},
		"clusters that are passed over": {minReady(2 * time.Minute), func(w *world) {
			for _, c := range []string{"c4", "c5", "c6"} {
				w.cluster(c).Connected = false
			}
		}, []time.Duration{2 * time.Minute, 2 * time.Minute}},
		"a wave without clusters": {func(p *fleet.RolloutPolicy) {
			p.Waves = slices.Insert(p.Waves, 1, fleet.Wave{Name: "none", Select: &fleet.Selector{MatchLabels: map[string]string{"no": "body"}}, After: []fleet.Gate{soak(time.Hour)}})
		}, nil, []time.Duration{0, 0, 0}},
		"a window that is open":         {daily("0 12 * * *", time.Hour), nil, []time.Duration{time.Minute, 2 * time.Minute}},
		"a window that opens":           {daily("30 12 * * *", time.Hour), nil, []time.Duration{31 * time.Minute, 2 * time.Minute}},
		"a window that closes too soon": {daily("0 12 * * *", 90*time.Second), nil, []time.Duration{time.Minute, 24 * time.Hour}},
		"a window for each wave": {func(p *fleet.RolloutPolicy) {
			daily("0 12 * * *", time.Hour)(p)
			p.Waves[0].After = []fleet.Gate{soak(time.Hour)}
		}, nil, []time.Duration{61 * time.Minute, 23*time.Hour + time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := settled(t, 7, canaryThenRest())
			policy := canaryThenRest()
			test.policy(&policy)
			if test.world != nil {
				test.world(w)
			}
			w.policy(policy)
			w.push("two", nil)
			w.state.Now = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
			preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
			if err != nil || !slices.Equal(preview.Least, test.want) {
				t.Fatalf("at least %v, not %v; error %v", preview.Least, test.want, err)
			}
			least := time.Duration(0)
			for _, takes := range preview.Least {
				least += takes
			}
			if least < 0 || least > 48*time.Hour {
				return
			}
			began := w.state.Now
			w.say(t, nil)
			id := w.state.Active.ID
			over := func() bool {
				if ro := w.state.Active; ro != nil && ro.Reason == rollout.ReasonWaitingGate {
					_ = w.step(rollout.Decide{Principal: "user:b", Approve: true}) // there may be nothing to decide
				}
				return w.state.Active == nil
			}
			if !w.run(20000, over) {
				t.Fatalf("it is not over: %+v", w.state.Active)
			}
			if ro := w.ended[id]; ro == nil || ro.Phase != rollout.Succeeded || ro.Finished.Sub(began) < least {
				t.Errorf("at least %s; it is %+v", least, ro)
			}
		})
	}
}

func TestPlanKnowsNoTimeWhereNoWindowOpensAnyMore(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Windows = []fleet.Window{{Cron: "0 0 29 2 *", Duration: fleet.Lasting(time.Hour)}}
	w := newWorld(2, policy)
	w.push("one", nil)
	w.state.Now = time.Date(2097, 1, 1, 0, 0, 0, 0, time.UTC) // 2100 is no leap year: cron gives up before 2104
	preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
	if err != nil || preview.Rollout.Reason != rollout.ReasonNoWindowOpens || preview.Least != nil {
		t.Errorf("at least %v, %s: %s, error %v", preview.Least, preview.Rollout.Reason, preview.Rollout.Message, err)
	}
}

// What the Rollout before has moved may be given something else beyond the budget of availability: it is no better for that.
func TestPlanInThePlaceOfAnotherPromisesNoMoreThanTheFirst(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnNewRevision, policy.MaxUnavailable, policy.Cluster.MinReady = fleet.SupersedeOld, fleet.Clusters(1), fleet.Lasting(10*time.Minute)
	policy.Waves = []fleet.Wave{{Name: "all", MaxConcurrent: fleet.Percent(100)}}
	for name, test := range map[string]struct {
		two   outcome
		phase rollout.Phase
	}{
		"of one under way":       {works, rollout.Running},
		"of one that was halted": {refused, rollout.Halted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := settled(t, 3, policy)
			w.push("two", map[string]outcome{"c0": test.two})
			least := func() string {
				preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
				if err != nil {
					t.Fatal(err)
				}
				return fmt.Sprint(preview.Least)
			}
			if got := least(); got != "[30m0s]" {
				t.Errorf("at least %s", got)
			}
			w.say(t, nil)
			w.until(t, "it is "+string(test.phase), w.is(test.phase, ""))
			w.push("three", nil)
			if got := least(); got != "[20m0s]" {
				t.Errorf("in place of another at least %s", got)
			}
		})
	}
}
