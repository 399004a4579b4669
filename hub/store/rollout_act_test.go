package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
)

const actor = "user:admin"

func (f *rolledOut) act(c rollout.Command) rollout.Rollout {
	f.t.Helper()
	after, err := f.Act(f.t.Context(), actor, appKey, c)
	if err != nil {
		f.t.Fatalf("%T: %v", c, err)
	}
	return after
}

// audited are the newest rows of the audit log, as "action object: detail".
func (f *rolledOut) audited(n int) (rows []string) {
	f.t.Helper()
	all, err := f.VerifyAudit(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, row := range all[max(0, len(all)-n):] {
		if row.Principal != actor {
			f.t.Errorf("row of %s: %+v", row.Principal, row)
		}
		rows = append(rows, row.Action+" "+row.Object+": "+row.Detail)
	}
	return rows
}

func TestWhatPeopleSayToARolloutIsDoneAndAudited(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	second := f.push("two")
	f.step()
	paused := f.act(rollout.Pause{Actor: actor, Reason: "lunch"})
	if paused.Phase != rollout.Paused || paused.Target != second.Digest() || len(paused.Members) != 0 {
		t.Fatalf("paused it is %+v", paused)
	}
	f.say()
	f.step()
	f.step()
	if got := f.runs(); got["prod-1"] == second.Digest() {
		t.Fatal("it goes on though it is paused")
	}
	resumed := f.act(rollout.At{ID: paused.ID, Command: rollout.Resume{Actor: actor, Reason: "back"}})
	if resumed.Phase != rollout.Running || resumed.ID != paused.ID {
		t.Fatalf("resumed it is %+v", resumed)
	}
	cancelled := f.act(rollout.Cancel{Actor: actor, Reason: "no"})
	if cancelled.Phase != rollout.Cancelled || cancelled.ID != paused.ID {
		t.Fatalf("cancelled it is %+v", cancelled)
	}
	if _, err := f.Act(t.Context(), actor, appKey, rollout.Pause{Actor: actor}); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("paused though none is under way: error %v", err)
	}
	want := []string{"pause rollout Kustomization/apps/app: lunch", "resume rollout Kustomization/apps/app: " + paused.ID + ", back", "cancel rollout Kustomization/apps/app: no"}
	if got := f.audited(3); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audited %q", got)
	}
}

func TestWhyARolloutWasBegunIsStoredWithIt(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, strings.Replace(canaryFirst, `{"waves"`, `{"autoStart":false,"waves"`, 1), "canary-1", "prod-1")
	f.push("one")
	f.step() // it is queued
	if begun := f.act(rollout.Start{Actor: actor, Reason: "ticket 12"}); begun.ChangeCause != "ticket 12" {
		t.Errorf("begun because of %q", begun.ChangeCause)
	}
	for range 2 { // the second step has it from the database
		f.say()
		f.step()
	}
	if r, err := f.Rollout(t.Context(), appKey, ""); err != nil || r.ChangeCause != "ticket 12" || r.Message == "ticket 12" {
		t.Errorf("%+v, error %v", r, err)
	}
}

func TestWhoLookedAtAnOlderVersionIsToLookAgain(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.step()
	seen, err := f.Rollout(t.Context(), appKey, "")
	if err != nil {
		t.Fatal(err)
	}
	f.act(rollout.At{ID: seen.ID, Version: seen.Version, Command: rollout.Pause{Actor: actor}})
	for _, at := range []rollout.At{{ID: seen.ID, Version: seen.Version}, {ID: "ro-other"}} {
		at.Command = rollout.Cancel{Actor: actor}
		if _, err := f.Act(t.Context(), actor, appKey, at); !errors.Is(err, fleet.ErrConflict) || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("%+v: error %v", at, err)
		}
	}
	if got, err := f.Rollout(t.Context(), appKey, ""); err != nil || got.Phase != rollout.Paused {
		t.Errorf("it is %s, error %v", got.Phase, err)
	}
}

func TestTheSameRequestBeginsOneRollout(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, `{"autoStart":false,"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`, "prod-1")
	f.push("one")
	f.step()
	start := rollout.Start{Actor: actor, RequestID: "r-1"}
	first := f.act(start)
	if again := f.act(start); again.ID != first.ID {
		t.Errorf("begun as %s, and again as %s", first.ID, again.ID)
	}
	f.settle(rollout.Succeeded)
	if again := f.act(start); again.ID != first.ID || again.Phase != rollout.Succeeded {
		t.Errorf("once it is over, the request gives %s, which is %s", again.ID, again.Phase)
	}
	if all, err := f.Rollouts(t.Context(), store.RolloutQuery{App: appKey, Phases: []rollout.Phase{rollout.Running, rollout.Succeeded}}); err != nil || len(all) != 1 {
		t.Errorf("%d Rollouts, error %v", len(all), err)
	}
}

// A bad Release is taken back by itself, and an earlier one can be rolled out by its name.
func TestAnEarlierReleaseIsRolledOutAgain(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, strings.Replace(canaryFirst, `"maxUnavailable"`, `"onFailure":{"action":"Rollback"},"maxUnavailable"`, 1), "canary-1", "prod-1")
	first := f.push("one")
	f.settle(rollout.Succeeded)
	bad := f.push("bad")
	f.bad[bad.Digest()] = true
	if r := f.settle(rollout.RolledBack, rollout.RollbackFailed); r.Phase != rollout.RolledBack || r.Target != bad.Digest() {
		t.Fatalf("it is %+v", r)
	}
	if got := f.runs(); got["canary-1"] != first.Digest() || got["prod-1"] != first.Digest() {
		t.Errorf("clusters run %v", got)
	}
	third := f.push("three")
	f.settle(rollout.Succeeded)
	if got := f.runs(); got["prod-1"] != third.Digest() {
		t.Fatalf("clusters run %v", got)
	}
	target, err := f.ResolveRelease(t.Context(), appKey, "main@sha1:one")
	if err != nil || target != first.Digest() {
		t.Fatalf("resolved %s, error %v", target, err)
	}
	back := f.act(rollout.Rollback{Actor: actor, To: target, Reason: "it was better"})
	if back.Target != first.Digest() || back.Kind != rollout.Backward {
		t.Fatalf("it begins %+v", back)
	}
	f.settle(rollout.Succeeded)
	if got := f.runs(); got["canary-1"] != first.Digest() || got["prod-1"] != first.Digest() {
		t.Errorf("clusters run %v", got)
	}
}

func TestPolicyThatChangesMeanwhileTouchesNoRolloutUnderWay(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1", "prod-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	second := f.push("two")
	f.step()
	before, err := f.Rollout(t.Context(), appKey, "")
	if err != nil {
		t.Fatal(err)
	}
	f.apply(policyYAML(`{"waves":[{"name":"everyone","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`))
	f.step()
	if got := f.runs(); got["prod-1"] == second.Digest() {
		t.Error("prod-1 has it before the canary is done")
	}
	after := f.settle(rollout.Succeeded)
	if after.ID != before.ID || after.Plan != before.Plan || len(after.Policy.Waves) != 2 || after.Policy.Waves[0].Name != "canary" || len(after.Waves) != 2 {
		t.Errorf("it ended as %+v", after)
	}
	f.push("three")
	f.step()
	if next, err := f.Rollout(t.Context(), appKey, ""); err != nil || len(next.Waves) != 1 || next.Waves[0].Name != "everyone" {
		t.Errorf("the next is %+v, error %v", next, err)
	}
}

func TestARequestThatSomebodyMakesMeanwhileIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, strings.Replace(canaryFirst, `"maxUnavailable"`, `"cluster":{"retries":1},"maxUnavailable"`, 1), "canary-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	bad := f.push("bad")
	f.bad[bad.Digest()] = true
	f.step()
	f.say()
	retried := false
	if _, err := f.Roll(t.Context(), appKey, func(s rollout.State) rollout.Step {
		f.sql(fmt.Sprintf(`INSERT INTO instance_request (cluster, app, requested_at, force) VALUES ('%s', '%s', 'theirs', true)`, f.spokes["canary-1"].session.Cluster, appKey))
		step := rollout.Next(s)
		retried = len(step.Requests) == 1
		return step
	}); err != nil || !retried {
		t.Fatalf("the Rollout tries it again: %v, error %v", retried, err)
	}
	if f.count(`instance_request WHERE requested_at = 'theirs' AND force`) != 1 {
		t.Error("the request is lost")
	}
}

func TestARetryTakesThePlaceOfARequestWithoutWhatThatForced(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, strings.Replace(canaryFirst, `"maxUnavailable"`, `"cluster":{"retries":1},"maxUnavailable"`, 1), "canary-1")
	f.push("one")
	f.settle(rollout.Succeeded)
	f.sql(fmt.Sprintf(`INSERT INTO instance_request (cluster, app, requested_at, force, reset) VALUES ('%s', '%s', '2026-03-02T12:00:00Z', true, true)`, f.spokes["canary-1"].session.Cluster, appKey))
	bad := f.push("bad")
	f.bad[bad.Digest()] = true
	f.step() // it is given the request as well
	f.say()
	f.step()
	if n, old := f.count(`instance_request WHERE NOT force AND NOT reset`), f.count(`instance_request WHERE requested_at = '2026-03-02T12:00:00Z'`); n != 1 || old != 0 {
		t.Errorf("%d requests force nothing, %d are as they were", n, old)
	}
}

func TestAClusterThatDidNotCatchUpIsTriedAgainInAnAppThatHasNoRollout(t *testing.T) {
	t.Parallel()
	f := newRolledOut(t, canaryFirst, "canary-1")
	f.apply(placementYAML(strings.Replace(managedEverywhere, `,"rolloutPolicyRef":{"name":"prod"}`, "", 1)))
	one := f.push("one")
	f.step()
	f.say()
	f.apply(placementYAML(managedEverywhere))
	f.step() // the policy finds it running
	f.bad[one.Digest()] = true
	f.join("prod-9")
	f.step()
	f.report("prod-9", f.word(f.instances()["prod-9"].Assignment))
	f.step()
	if _, err := f.Act(t.Context(), actor, appKey, rollout.Pause{Actor: actor}); !errors.Is(err, fleet.ErrNotFound) {
		t.Fatalf("a Rollout is there: %v", err)
	}
	if after := f.act(rollout.RetryCluster{Actor: actor, Clusters: []string{"prod-9"}}); after.ID != "" {
		t.Errorf("the answer is about %+v", after)
	}
	f.step()
	if got := f.runs(); got["prod-9"] != one.Digest() {
		t.Errorf("clusters run %v", got)
	}
}
