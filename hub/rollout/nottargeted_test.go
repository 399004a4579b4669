package rollout_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
)

func TestRolloutUnderWayKnowsWhichClustersItIsNotAboutAndWhy(t *testing.T) {
	t.Parallel()
	policy := canaryThenRest()
	policy.Waves[1].Select = &fleet.Selector{MatchLabels: map[string]string{"tier": "prod"}}
	policy.Unmatched = fleet.UnmatchedExclude
	w := newWorld(0, policy)
	for _, name := range []string{"canary", "held", "odd", "tainted", "going", "elsewhere"} {
		w.join(name, map[string]string{"tier": "prod", "here": "yes"})
	}
	w.state.Placement.Clusters.Selector.MatchLabels = map[string]string{"here": "yes"}
	w.cluster("held").Held = "a fair is on"
	w.cluster("odd").Labels["tier"] = "lab"
	w.cluster("tainted").Spec.Taints = []fleet.Taint{{Key: "gpu", Value: "no", Effect: fleet.NoSchedule}}
	w.cluster("going").Terminating = true
	w.cluster("elsewhere").Labels["here"] = "no"
	if others := w.state.NotTargeted(); len(others) > 0 {
		t.Errorf("before any Rollout there are %v", others)
	}
	w.push("one", nil)
	if err := w.step(nil); err != nil {
		t.Fatal(err)
	}
	w.join("late", map[string]string{"tier": "prod", "here": "yes"})
	others := w.state.NotTargeted()
	for cluster, words := range map[string]string{
		"odd": "no wave takes it, and spec.unmatched is Exclude", "tainted": "its taint gpu=no:NoSchedule is not tolerated", "going": "it is being deleted",
		"elsewhere": "does not choose it", "late": "it came when the Rollout had begun",
	} {
		if got := why(others, cluster); !strings.Contains(got, words) {
			t.Errorf("of %s it says %q, not %q", cluster, got, words)
		}
	}
	if len(others) != 5 {
		t.Errorf("not targeted are %v", others)
	}
	w.state.Active.Kind, w.state.Active.Policy = rollout.Backward, fleet.RolloutPolicy{Waves: []fleet.Wave{{Name: "all"}}, Unmatched: fleet.UnmatchedExclude}
	if got := why(w.state.NotTargeted(), "odd"); got != "no wave takes it, and spec.unmatched is Exclude" {
		t.Errorf("of one that goes back it says %q", got)
	}
}
