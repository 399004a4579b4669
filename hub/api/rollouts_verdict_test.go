package api_test

import (
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRolloutSaysWhatIsKnownOfItsRelease(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `"allowUninstall":true`, `"action":"Rollback"`, 1))
	verdicts := func() string {
		t.Helper()
		list, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, r := range list.GetRollouts() {
			words = append(words, r.GetPhase()+" "+r.GetVerdict())
		}
		return strings.Join(words, ", ")
	}
	f.push("one")
	if r := f.waiting(); r.GetVerdict() != "Unknown" {
		t.Errorf("while it is under way the verdict is %q", r.GetVerdict())
	}
	f.approved()
	bad := f.push("two").Digest()
	f.bad[bad] = true
	if r := f.settle(rollout.RolledBack); r.GetVerdict() != "Bad" {
		t.Errorf("once it is rolled back the verdict is %q", r.GetVerdict())
	}
	want(t, verdicts(), "RolledBack Bad, Succeeded Good")
	f.bad = map[fleet.Digest]bool{}
	start := &adminv1.StartRolloutRequest{App: appRollout(), AllowBad: true}
	if _, err := f.rollouts.StartRollout(f.ctx, start); err != nil {
		t.Fatal(err)
	}
	f.waiting()
	skip := &adminv1.SkipGateRequest{App: appRollout(), Gate: "go"}
	skip.App.Reason = "it works now"
	skipped, err := f.rollouts.SkipGate(f.ctx, skip)
	if err != nil || skipped.GetRollout().GetVerdict() != "Bad" {
		t.Errorf("after a command the verdict is %q, error %v", skipped.GetRollout().GetVerdict(), err)
	}
	f.settle(rollout.Succeeded)
	// What failed first, and has succeeded since, is good.
	if got, wanted := verdicts(), "Succeeded Good, RolledBack Good, Succeeded Good"; got != wanted {
		t.Errorf("verdicts are %s, not %s", got, wanted)
	}
	f.push("three")
	plan, err := f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout()})
	if words := fmt.Sprint(plan.GetRollout().GetVerdict()); err != nil || words != "Unknown" {
		t.Errorf("planned with verdict %s, error %v", words, err)
	}
}
