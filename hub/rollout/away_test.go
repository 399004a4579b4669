package rollout_test

import (
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

// hubAway has a time pass in which no hub listens, and the next one step before any spoke is back.
func (w *world) hubAway(t *testing.T, d time.Duration) {
	t.Helper()
	w.state.Now, w.state.Away = w.state.Now.Add(d), d
	w.say(t, nil)
	w.state.Away = 0
}

func TestATimeInWhichNoHubListensCountsForNoDeadline(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	two := w.push("two", nil)
	w.say(t, nil)
	if m := w.member("c0"); m.Phase != rollout.MemberDispatched {
		t.Fatalf("nothing is under way: %+v", m)
	}
	w.hubAway(t, time.Hour)
	if m := w.member("c0"); m.Phase == rollout.MemberFailed {
		t.Fatalf("an hour without a hub is the cluster's fault: %+v", m)
	}
	w.until(t, "it goes on", func() bool { return w.idle() && w.all(two) })
}

func TestATimeInWhichAClusterIsAwayCountsForNoDeadline(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.ProgressDeadline, policy.Cluster.UnreachableTimeout = fleet.Lasting(5*time.Minute), fleet.Lasting(time.Hour)
	w, _ := settled(t, 3, canaryThenRest())
	w.policy(policy)
	two := w.push("two", nil)
	w.say(t, nil)
	w.cluster("c0").Connected = false
	w.say(t, nil)
	w.pass(20 * time.Minute)
	w.say(t, nil)
	if m := w.member("c0"); !m.Phase.InFlight() {
		t.Fatalf("it is given up before it is lost: %+v", m)
	}
	w.cluster("c0").Connected = true
	w.until(t, "it goes on", func() bool { return w.idle() && w.all(two) })
}

func TestATimeInWhichNoHubListensIsNoSoak(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{{Soak: &fleet.SoakGate{Duration: fleet.Lasting(30 * time.Minute)}}}
	w, one := settled(t, 3, canaryThenRest())
	w.policy(policy)
	w.push("two", nil)
	w.until(t, "it soaks", func() bool { return w.is(rollout.Running, rollout.ReasonWaitingGate)() })
	w.hubAway(t, time.Hour)
	if !w.is(rollout.Running, rollout.ReasonWaitingGate)() || w.row("id-c1").Release != one {
		t.Errorf("a time in which nobody looked is a soak: %+v", w.state.Active)
	}
}

func TestAPlacementThatComesBackBringsTheNewestRelease(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	two := w.push("two", nil)
	w.say(t, nil)
	placement := w.state.Placement
	w.state.Placement = nil
	w.say(t, nil)
	w.state.Placement = placement
	w.until(t, "what was cancelled with the Placement begins anew", func() bool { return w.idle() && w.all(two) })
}

func TestAGateOfEachClusterWaitsForNoneThatIsAway(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[1].After = []fleet.Gate{clusterAnalysis()}
	policy.Waves[1].MinUpdated = fleet.Clusters(1)
	w, _ := settled(t, 4, canaryThenRest())
	w.policy(policy)
	w.push("two", nil)
	w.until(t, "each is asked", func() bool { return len(w.checks) == 3 })
	w.cluster("c3").Connected = false
	w.checks = w.checks[:2]
	w.answerAll(t, rollout.ResultPass)
	w.until(t, "it is done without the one that is away", w.idle)
	if over := w.over(w.state.App.Release.Digest()); over == nil || over.Phase != rollout.Succeeded {
		t.Errorf("%+v", over)
	}
}

func TestAWordAgainstAGateThatHasPassedIsRefused(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].Before = []fleet.Gate{{Approval: &fleet.ApprovalGate{Name: "go"}}}
	w := newWorld(3, policy)
	w.push("one", nil)
	w.until(t, "it waits", w.is(rollout.Running, rollout.ReasonWaitingGate))
	w.say(t, rollout.Decide{Principal: "user:a", Gate: "go", Approve: true})
	if err := w.step(rollout.Decide{Principal: "user:b", Gate: "go"}); err == nil {
		t.Error("it is taken, and does nothing")
	}
}

func TestAClusterThatIsCutOffWhileItVerifiesIsNotThere(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.MinReady = fleet.Lasting(2 * time.Minute)
	policy.Cluster.UnreachableTimeout = fleet.Lasting(5 * time.Minute)
	w, _ := settled(t, 2, policy)
	two := w.push("two", nil)
	w.until(t, "c0 is converged", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberVerifying })
	w.cluster("c0").Connected = false
	w.until(t, "it is lost", func() bool { return w.member("c0").Phase == rollout.MemberFailed })
	if m := w.member("c0"); m.Failure != rollout.FailureLost || w.heardOf("ClusterSucceeded", "c0") && w.row("id-c1").Release == two {
		t.Fatalf("%+v", m)
	}
	w.run(20, func() bool { return false })
	if m := w.member("c0"); m.Phase != rollout.MemberFailed {
		t.Fatalf("what it said before it was lost counts: %+v", m)
	}
	w.cluster("c0").Connected = true
	w.pass(10 * time.Second)
	w.say(t, nil)
	if m := w.member("c0"); m.Phase != rollout.MemberFailed {
		t.Fatalf("it is there before it is ready for long: %+v", m)
	}
	w.until(t, "it is there after all", func() bool { return w.state.Active == nil || w.member("c0").Phase == rollout.MemberSucceeded })
}

func TestAMomentOutOfReachIsNoMissedDeadline(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Cluster.MinReady, policy.Cluster.ProgressDeadline = fleet.Lasting(10*time.Minute), fleet.Lasting(2*time.Minute)
	w, _ := settled(t, 2, policy)
	two := w.push("two", nil)
	w.until(t, "c0 is converged", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberVerifying })
	w.run(30, func() bool { return false })
	w.cluster("c0").Connected = false
	w.pass(10 * time.Second)
	w.say(t, nil)
	if m := w.member("c0"); m.Phase != rollout.MemberVerifying {
		t.Fatalf("what it made in time is late: %+v", m)
	}
	w.cluster("c0").Connected = true
	w.until(t, "it is everywhere", func() bool { return w.idle() && w.all(two) })
}

func TestATimeInWhichNoHubListensIsNoLackOfCoverage(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].CoverageTimeout = fleet.Lasting(30 * time.Minute)
	w, _ := settled(t, 3, policy)
	w.cluster("c0").Connected = false
	w.push("two", nil)
	w.until(t, "coverage lacks", w.is(rollout.Running, rollout.ReasonCoverage))
	w.hubAway(t, time.Hour)
	if !w.is(rollout.Running, rollout.ReasonCoverage)() {
		t.Errorf("%+v", w.state.Active)
	}
}

func TestATimeInWhichNoHubListensCountsForNobodyWhoCatchesUp(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	w.cluster("c2").Connected = false
	two := w.push("two", map[string]outcome{"c2": slow})
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	w.until(t, "its clock runs", func() bool { return !w.state.Track.CatchingUp["id-c2"].Deadline.Since.IsZero() })
	w.hubAway(t, time.Hour)
	if w.state.Track.CatchingUp["id-c2"].Failed {
		t.Errorf("%+v", w.state.Track)
	}
}

func TestNobodyCatchesUpWhileItIsHeldTheFleetFrozenOrTheAppSuspended(t *testing.T) {
	t.Parallel()
	w, one := settled(t, 3, canaryThenRest())
	w.cluster("c2").Connected = false
	two := w.push("two", nil)
	w.until(t, "the others have it", func() bool { return w.idle() && w.over(two) != nil })
	w.cluster("c2").Connected = true
	for what, set := range map[string]func(bool){
		"held":      func(on bool) { w.cluster("c2").Held = map[bool]string{true: "hands off"}[on] },
		"frozen":    func(on bool) { w.state.Freeze = map[bool]string{true: "holidays"}[on] },
		"suspended": func(on bool) { w.state.App = with1(w.state.App, func(a *rollout.App) { a.Controls.Suspend = on }) },
	} {
		set(true)
		w.run(10, func() bool { return false })
		if w.row("id-c2").Release != one {
			t.Fatalf("%s: c2 has caught up", what)
		}
		w.cluster("c2").Connected = false
		set(false)
		w.cluster("c2").Connected = true
	}
	w.until(t, "c2 has caught up", func() bool { return w.all(two) })
}

func TestAClusterThatNoWaveTakesGetsNothingThroughCatchingUp(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Unmatched = fleet.UnmatchedExclude
	for i := range policy.Waves {
		policy.Waves[i].Select = &fleet.Selector{MatchExpressions: []fleet.SelectorRequirement{{Key: "index", Operator: "Exists"}}}
	}
	w, _ := settled(t, 2, policy)
	w.join("c9", nil)
	w.join("c8", map[string]string{"index": "8"})
	w.until(t, "c8 has it", func() bool { return w.row("id-c8").Assignment != nil })
	w.run(20, func() bool { return false })
	if row := w.row("id-c9"); row.Assignment != nil {
		t.Errorf("c9 has %+v", row)
	}
}

// What the Rollout before was changing when its cluster went out of reach counts once the cluster is back, until it is known to
// have come to an end: that is looked for, though nothing else happens.
func TestARolloutEndsAlthoughAClusterThatItTookOverIsBackAsItsLastWaveEnds(t *testing.T) {
	t.Parallel()
	policy := everywhere()
	policy.OnNewRevision, policy.MaxUnavailable = fleet.SupersedeOld, fleet.Percent(100)
	policy.Waves[0].After = []fleet.Gate{{Soak: &fleet.SoakGate{Duration: fleet.Lasting(time.Minute)}}}
	w, _ := settled(t, 3, policy)
	w.push("two", nil)
	w.until(t, "c0 is at it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberApplying })
	w.cluster("c0").Connected = false
	three := w.push("three", nil)
	w.until(t, "the others soak", func() bool {
		return w.state.Active.Target == three && w.state.Active.Reason == rollout.ReasonWaitingGate
	})
	if m := w.member("c0"); m.Phase != rollout.MemberDeferred || !m.Inherited {
		t.Fatalf("%+v", m)
	}
	w.cluster("c0").Connected = true
	w.pass(5 * time.Minute)
	w.say(t, nil)
	if !w.run(3, func() bool { return w.over(three) != nil }) {
		t.Errorf("it is not looked for until %s: %+v", w.wake, w.member("c0"))
	}
	w.until(t, "all have it", func() bool { return w.idle() && w.all(three) })
}

// Who has lost the App since has nothing that a Rollout could take over, or take back.
func TestWhatAClusterHadBeforeItLostTheAppIsNotTakenOver(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.OnNewRevision = fleet.SupersedeOld
	policy.Waves[0].After = []fleet.Gate{{Approval: &fleet.ApprovalGate{}}}
	w, _ := settled(t, 3, canaryThenRest())
	w.policy(policy)
	w.push("two", nil)
	w.until(t, "c0 has it", func() bool { return w.state.Active != nil && w.member("c0").Phase == rollout.MemberSucceeded })
	w.cluster("c0").Spec.Taints = []fleet.Taint{{Key: "maintenance", Effect: fleet.NoExecute}}
	w.until(t, "c0 has lost the App", func() bool {
		return w.member("c0").Phase == rollout.MemberRemoved && w.row("id-c0").Assignment == nil
	})
	w.cluster("c0").Spec.Taints, w.cluster("c0").Connected = nil, false
	three := w.push("three", nil)
	w.say(t, nil)
	if m := w.member("c0"); w.state.Active.Target != three || m.Moved {
		t.Errorf("%+v", m)
	}
	w.refused(t, rollout.Rollback{Actor: "user:a"}, "nothing can be taken back")
}
