package rollout_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func why(left []rollout.NotTargeted, cluster string) string {
	for _, l := range left {
		if l.Cluster == cluster {
			return l.Why
		}
	}
	return ""
}

func TestPlanIsTheRolloutThatBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(7, canaryThenRest())
	target := w.push("one", nil)
	preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	if preview.Rollout.Target != target || preview.Rollout.Plan != w.state.Active.Plan || preview.Rollout.Phase != rollout.Running {
		t.Errorf("planned %+v, began %+v", preview.Rollout, w.state.Active)
	}
	if n := preview.Rollout.Totals(); n.Size != 7 || n.Pending != 7 || n.PercentDone() != 0 {
		t.Errorf("totals %+v", n)
	}
	if len(preview.Left) > 0 {
		t.Errorf("left %v", preview.Left)
	}
}

func TestPlanNamesEveryClusterThatDoesNotGetTheRelease(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[1].Select = &fleet.Selector{MatchLabels: map[string]string{"tier": "prod"}}
	policy.Unmatched = fleet.UnmatchedExclude
	w := newWorld(0, policy)
	for _, name := range []string{"canary", "held", "offline", "odd", "tainted", "going", "elsewhere"} {
		w.join(name, map[string]string{"tier": "prod", "here": "yes"})
	}
	w.state.Placement.Clusters.Selector.MatchLabels = map[string]string{"here": "yes"}
	w.cluster("held").Held = "a fair is on"
	w.cluster("offline").Connected = false
	w.cluster("odd").Labels["tier"] = "lab"
	w.cluster("tainted").Spec.Taints = []fleet.Taint{{Key: "gpu", Value: "no", Effect: fleet.NoSchedule}}
	w.cluster("going").Terminating = true
	w.cluster("elsewhere").Labels["here"] = "no"
	w.push("one", nil)
	preview, err := rollout.Plan(w.state, fleet.Digest{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for cluster, reason := range map[string]string{
		"canary": "", "offline": "", "held": "a fair is on", "odd": "spec.unmatched is Exclude", "tainted": "gpu=no:NoSchedule", "going": "deleted",
		"elsewhere": "Placement place does not choose it",
	} {
		if got := why(preview.Left, cluster); !strings.Contains(got, reason) || reason == "" && got != "" {
			t.Errorf("%s: %q, not %q", cluster, got, reason)
		}
	}
	if !slices.ContainsFunc(preview.Rollout.Members, func(m rollout.Member) bool { return m.Name == "canary" && !m.BaseAvailable }) {
		t.Error("what has not got the App yet serves")
	}
	at := slices.IndexFunc(preview.Rollout.Members, func(m rollout.Member) bool { return m.Name == "offline" })
	if m := preview.Rollout.Members[at]; m.Message != "is not connected" {
		t.Errorf("offline: %+v", m)
	}
}

func TestPlanTellsWhatIsInTheWayAndStoresNothing(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.AutoStart = new(false)
	policy.Windows = []fleet.Window{{Cron: "0 8 * * *", TimeZone: "UTC", Duration: fleet.Lasting(1)}}
	w := newWorld(3, canaryThenRest())
	w.push("one", nil)
	w.state.Freeze = "holidays"
	before := through(&w.state)
	preview, err := rollout.Plan(w.state, fleet.Digest{}, &policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"autoStart", "holidays"} {
		if !strings.Contains(preview.Rollout.Message, part) {
			t.Errorf("%q says nothing of %s", preview.Rollout.Message, part)
		}
	}
	w.state.Freeze = ""
	if preview, err = rollout.Plan(w.state, fleet.Digest{}, &policy); err != nil || !strings.Contains(preview.Rollout.Message, "no window is open") {
		t.Errorf("%v: %q says nothing of the window", err, preview.Rollout.Message)
	}
	w.state.Freeze = before.Freeze
	if again := through(&w.state); string(encoded(t, again)) != string(encoded(t, before)) {
		t.Error("the state has changed")
	}
	policy.Waves = nil
	if _, err := rollout.Plan(w.state, fleet.Digest{}, &policy); !errors.Is(err, fleet.ErrInvalid) {
		t.Errorf("a policy without waves: %v", err)
	}
	if _, err := rollout.Plan(w.state, fleet.DigestOf([]byte("other")), nil); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a Release that was never built: %v", err)
	}
}

func TestAPlanTellsWhatAPersonMayNotHaveMeant(t *testing.T) {
	t.Parallel()
	said := func(w *world, policy *fleet.RolloutPolicy) string {
		t.Helper()
		preview, err := rollout.Plan(w.state, fleet.Digest{}, policy)
		if err != nil {
			t.Fatal(err)
		}
		return string(preview.Rollout.Phase) + " " + preview.Rollout.Message
	}
	w, _ := settled(t, 3, canaryThenRest())
	if got := said(w, nil); !strings.Contains(got, "every cluster that it is about has the Release already") {
		t.Errorf("of what is everywhere: %s", got)
	}
	w.push("two", map[string]outcome{"c0": refused})
	if got := said(w, nil); strings.Contains(got, "already") {
		t.Errorf("of what is nowhere: %s", got)
	}
	misspelled := canaryThenRest()
	misspelled.Waves = append([]fleet.Wave{{Name: "euu", Select: &fleet.Selector{MatchLabels: map[string]string{"region": "euu"}}}}, misspelled.Waves...)
	if got := said(w, &misspelled); !strings.Contains(got, "wave euu takes no cluster") || strings.Contains(got, "halts") {
		t.Errorf("of an empty wave: %s", got)
	}
	misspelled.Waves[0].Required, misspelled.OnFailure.Action = true, fleet.RollbackOnFailure
	w.state.App = with1(w.state.App, func(a *rollout.App) { a.NoRollback = true })
	if got := said(w, &misspelled); !strings.Contains(got, "is required: it halts there") || !strings.Contains(got, rollout.NoRollbackAnnotation) {
		t.Errorf("of a required wave that is empty, and an App that is not rolled back: %s", got)
	}
	w.until(t, "it is halted", w.is(rollout.Halted, rollout.ReasonFailureBudget))
	if got := said(w, nil); !strings.HasPrefix(got, "Queued ") || !strings.Contains(got, w.state.Active.ID+" to "+w.state.Active.Target.String()+" is Halted: it is the Rollout to this Release") {
		t.Errorf("of what is halted: %s", got)
	}
}

func TestEveryMemberThatIsNotDoneSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[0].After = []fleet.Gate{{Approval: &fleet.ApprovalGate{}}}
	w := newWorld(6, policy)
	w.push("one", nil)
	waits := func(name string) string {
		ro := w.state.Active
		at := slices.IndexFunc(ro.Members, func(m rollout.Member) bool { return m.Name == name })
		return ro.Waits(ro.Members[at])
	}
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	if got := waits("c1"); !strings.Contains(got, "its turn in wave rest") {
		t.Errorf("c1 in a later wave: %q", got)
	}
	if !w.run(20, func() bool { return w.state.Active.Reason == rollout.ReasonWaitingGate }) {
		t.Fatalf("no gate: %+v", w.state.Active)
	}
	if err := w.step(rollout.Decide{Principal: "user:admin", Approve: true}); err != nil {
		t.Fatal(err)
	}
	w.cluster("c5").Connected = false
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{"c0": "", "c1": "Release", "c4": "no more may be", "c5": "connected"} {
		if got := waits(name); !strings.Contains(got, part) || part == "" && got != "" {
			t.Errorf("%s: %q, not %q", name, got, part)
		}
	}
	w.state.Freeze = "holidays"
	w.pass(w.takes)
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	if got := waits("c4"); !strings.Contains(got, "holidays") {
		t.Errorf("c4 in a freeze: %q", got)
	}
}

func TestACommandIsRefusedOnceTheRolloutHasChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(3, canaryThenRest())
	w.push("one", nil)
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	seen := *w.state.Active
	for name, at := range map[string]rollout.At{
		"another version": {ID: seen.ID, Version: seen.Version + 1, Command: rollout.Pause{}}, "another Rollout": {ID: "ro-other", Command: rollout.Pause{}},
	} {
		if err := w.step(at); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.step(rollout.At{ID: seen.ID, Version: seen.Version, Command: rollout.Pause{}}); err != nil {
		t.Error(err)
	}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestACommandAboutAnAppThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(1, canaryThenRest())
	w.state.App = nil
	if err := w.step(rollout.Pause{}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestPlanByAnotherPolicyShowsItsWavesWhateverClustersHave(t *testing.T) {
	t.Parallel()
	w, _ := settled(t, 3, canaryThenRest())
	for policy, waves := range map[*fleet.RolloutPolicy]int{nil: 1, new(canaryThenRest()): 2} { // what is there already is gone back to
		preview, err := rollout.Plan(w.state, fleet.Digest{}, policy)
		if err != nil || len(preview.Rollout.Waves) != waves {
			t.Errorf("%d waves are wanted, error %v: there are %+v", waves, err, preview.Rollout.Waves)
		}
	}
}

func TestWhatIsWaitedForIsSaidInTheOrderInWhichItIsInTheWay(t *testing.T) {
	t.Parallel()
	policy := narrow()
	policy.Waves[0].Before = []fleet.Gate{{Approval: &fleet.ApprovalGate{Name: "go"}}}
	policy.Waves[1].MaxConcurrent = fleet.Clusters(3)
	w, _ := settled(t, 4, narrow())
	w.policy(policy)
	w.push("two", map[string]outcome{"c0": slow})
	waits := func(name, part string) {
		t.Helper()
		if got := w.state.Active.Waits(w.member(name)); !strings.Contains(got, part) {
			t.Errorf("%s: %q, not %q", name, got, part)
		}
	}
	w.until(t, "it waits for people", w.is(rollout.Running, rollout.ReasonWaitingGate))
	waits("c0", "gate go of wave canary: 0 of 1 approvals")
	w.say(t, rollout.Decide{Principal: "user:a", Approve: true})
	w.say(t, nil)
	w.cluster("c0").Connected = false
	w.say(t, nil)
	waits("c0", "it is out of reach since")
	w.cluster("c0").Connected = true
	w.until(t, "the rest is under way", func() bool { return w.member("c1").Phase.InFlight() })
	waits("c2", "clusters to be available: 1 is not, and no more may be")
}

func TestStartOfAPlanIsRefusedWhereTheReleaseIsUnderWayByAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(3, canaryThenRest())
	target := w.push("one", nil)
	reviewed := canaryThenRest()
	reviewed.Waves[0].After = []fleet.Gate{{Approval: &fleet.ApprovalGate{Name: "go"}}}
	preview, err := rollout.Plan(w.state, fleet.Digest{}, &reviewed)
	if err != nil {
		t.Fatal(err)
	}
	w.say(t, nil) // it begins by itself, before that policy is declared
	under := *w.state.Active
	if err := w.step(rollout.Start{Actor: "user:a", Plan: preview.Rollout.Plan}); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), under.ID) {
		t.Errorf("started without the gate that was looked at: %v", err)
	}
	w.say(t, rollout.Start{Actor: "user:a", Plan: under.Plan})
	w.say(t, rollout.Start{Actor: "user:a", Target: target})
	if w.state.Active.ID != under.ID {
		t.Errorf("%s has begun in place of %s", w.state.Active.ID, under.ID)
	}
}
