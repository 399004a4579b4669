package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/rollout"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// about is a request about a Rollout at a version, with a reason.
func about(r *adminv1.Rollout, reason string) *adminv1.AppRollout {
	return &adminv1.AppRollout{Id: r.GetId(), Version: r.GetVersion(), Reason: reason}
}

func TestRolloutIsPausedAndResumedAsItWasLookedAt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.roll()
	seen := f.current()
	paused, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: about(seen, "lunch")})
	if err != nil {
		t.Fatal(err)
	}
	if r := paused.GetRollout(); r.GetPhase() != "Paused" || r.GetReason() != "User" || r.GetMessage() != "lunch" || r.GetVersion() <= seen.GetVersion() {
		t.Errorf("paused %v", r)
	}
	_, err = f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: about(seen, "")})
	wantCode(t, err, codes.Aborted, "has changed: it is at version")
	_, err = f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: &adminv1.AppRollout{Kind: "Kustomization", Namespace: "apps", Name: "app", Id: "ro-other"}})
	wantCode(t, err, codes.Aborted, "rollout ro-other has changed: "+seen.GetId()+" is there now")
	resumed, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: about(paused.GetRollout(), "")})
	if err != nil || resumed.GetRollout().GetPhase() != "Running" {
		t.Errorf("resumed %v, error %v", resumed, err)
	}
	again, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()})
	if err != nil || again.GetRollout().GetVersion() != resumed.GetRollout().GetVersion() {
		t.Errorf("resumed once more %v, error %v", again, err)
	}
}

func TestGateIsDecidedOnceByTheOneWhoCalls(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	waiting := f.waiting()
	want(t, waiting.GetMessage(), "wave canary: gate go: 0 of 1 approvals")
	decide := func(change func(*adminv1.DecideGateRequest)) (*adminv1.Rollout, error) {
		req := &adminv1.DecideGateRequest{App: appRollout(), Wave: "canary", Gate: "go", Comment: "no", PlanDigest: waiting.GetPlanDigest()}
		change(req)
		resp, err := f.rollouts.DecideGate(f.ctx, req)
		return resp.GetRollout(), err
	}
	_, err := decide(func(r *adminv1.DecideGateRequest) { r.PlanDigest = waiting.GetTarget() })
	wantCode(t, err, codes.FailedPrecondition, "its plan is "+waiting.GetPlanDigest())
	_, err = decide(func(r *adminv1.DecideGateRequest) { r.Gate = "typo" })
	wantCode(t, err, codes.NotFound, "gate typo of wave canary")
	rejected, err := decide(func(*adminv1.DecideGateRequest) {})
	if err != nil {
		t.Fatal(err)
	}
	gate := rejected.GetWaves()[0].GetAfter()[0]
	if d := gate.GetDecisions(); len(d) != 1 || d[0].GetPrincipal() != "user:admin" || d[0].GetApprove() || d[0].GetComment() != "no" || d[0].GetAt() == nil {
		t.Errorf("decisions %v", d)
	}
	if rejected.GetPhase() != "Halted" || rejected.GetReason() != "ApprovalRejected" {
		t.Errorf("rejected %v", rejected)
	}
	_, err = decide(func(r *adminv1.DecideGateRequest) { r.Approve = true })
	wantCode(t, err, codes.FailedPrecondition, "user:admin has decided on gate go already")
	_, err = f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.FailedPrecondition, "rollout skip-gate")
	skipped, err := f.rollouts.SkipGate(f.ctx, &adminv1.SkipGateRequest{App: about(rejected, "it was a mistake"), Gate: "go"})
	if err != nil {
		t.Fatal(err)
	}
	if gate := skipped.GetRollout().GetWaves()[0].GetAfter()[0]; gate.GetPhase() != "Overridden" || !strings.Contains(gate.GetDetail(), "user:admin: it was a mistake") {
		t.Errorf("gate %v", gate)
	}
	if _, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.Succeeded)
}

func TestOnlyAnApproverDecidesAtAGateThatNamesThem(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `{"name":"go"}`, `{"name":"go","approvers":["user:eve"]}`, 1))
	f.push("one")
	if gate := f.waiting().GetWaves()[0].GetAfter()[0]; len(gate.GetApprovers()) != 1 || gate.GetApprovers()[0] != "user:eve" {
		t.Errorf("gate %v", gate)
	}
	_, err := f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: appRollout(), Approve: true})
	wantCode(t, err, codes.PermissionDenied, "user:admin is not among the approvers")
}

func TestFailedClustersAreRetriedOrPassedOver(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	bad := f.push("one")
	f.bad[bad.Digest()] = true
	halted := f.settle(rollout.Halted)
	want(t, halted.GetMessage(), "canary-1: it is refused")
	if n := halted.GetTotals(); n.GetFailed() != 1 || halted.GetWaves()[0].GetTotals().GetFailed() != 1 || n.GetSize() != 3 {
		t.Errorf("totals %v", n)
	}
	_, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.FailedPrecondition, "rollout retry-cluster")
	_, err = f.rollouts.RetryClusters(f.ctx, &adminv1.RetryClustersRequest{App: appRollout(), Clusters: []string{"prod-1"}})
	wantCode(t, err, codes.FailedPrecondition, "cluster prod-1 is Pending")
	_, err = f.rollouts.RetryClusters(f.ctx, &adminv1.RetryClustersRequest{App: appRollout(), Clusters: []string{"typo"}})
	wantCode(t, err, codes.NotFound, "typo")
	if _, err := f.rollouts.RetryClusters(f.ctx, &adminv1.RetryClustersRequest{App: appRollout(), AllFailed: true}); err != nil {
		t.Fatal(err)
	}
	want(t, f.clusterPhases(), "canary-1=Pending")
	if _, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.Halted)
	skip := &adminv1.SkipClustersRequest{App: appRollout(), AllDeferred: true, AllStale: true}
	if _, err := f.rollouts.SkipClusters(f.ctx, skip); err != nil {
		t.Fatal(err)
	}
	want(t, f.clusterPhases(), "canary-1=Failed")
	skip.AllFailed = true
	if _, err := f.rollouts.SkipClusters(f.ctx, skip); err != nil {
		t.Fatal(err)
	}
	want(t, f.clusterPhases(), "canary-1=Skipped prod-1=Pending")
}

func TestWhatHadFailedIsToldOfARolloutThatWasTakenBack(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.bad[f.push("two").Digest()] = true
	f.settle(rollout.Halted)
	if _, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: about(f.current(), "it fails"), Scope: "Updated"}); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.RolledBack)
	list, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	for i, had := range []int32{1, 0} { // the newest first
		if n := list.GetRollouts()[i].GetTotals(); n.GetHadFailed() != had || n.GetFailed() != 0 || n.GetRolledBack() != had {
			t.Errorf("%d: totals %v", i, n)
		}
	}
	clusters, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout()})
	if err != nil {
		t.Fatal(err)
	}
	if c := clusters.GetClusters()[0]; c.GetPhase() != "RolledBack" || c.GetFailure() != "ApplyError" {
		t.Errorf("cluster %v", c)
	}
}

func TestRolloutIsTakenBackAndOneThatIsOverToAReleaseThatWasGood(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	one := f.push("one")
	f.approved()
	two := f.push("two")
	f.waiting()
	back, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: about(f.current(), "slow"), Scope: "Updated"})
	if err != nil || back.GetRollout().GetPhase() != "RollingBack" {
		t.Fatalf("back %v, error %v", back, err)
	}
	if r := f.settle(rollout.RolledBack); r.GetTotals().GetRolledBack() != 1 || r.GetTarget() != two.Digest().String() {
		t.Errorf("rolled back %v", r)
	}
	three := f.push("three")
	brought := f.approved()
	_, err = f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout(), To: "main@sha1:two"})
	wantCode(t, err, codes.FailedPrecondition, "was never good")
	_, err = f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout(), To: "main@sha1:one", Scope: "Wave"})
	wantCode(t, err, codes.InvalidArgument, "scope: is for the Rollout under way")
	to, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout(), To: one.Digest().String()[:20]})
	if err != nil {
		t.Fatal(err)
	}
	if r := to.GetRollout(); r.GetKind() != "Backward" || r.GetTarget() != one.Digest().String() || r.GetTarget() == three.Digest().String() {
		t.Errorf("begun %v", r)
	}
	f.settle(rollout.Succeeded)
	_, err = f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: &adminv1.AppRollout{Id: brought.GetId()}})
	wantCode(t, err, codes.Aborted, "what clusters run is not of it any more")
	want(t, f.getApp().condition("Ready"), "False ReleaseTakenBack Git ahead of stable: main@sha1:three was taken back by "+to.GetRollout().GetId()+"; stable is main@sha1:one")
}

func TestRolloutIsCancelledWhereItIs(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	r := f.waiting()
	ended, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: about(r, "not today")})
	if err != nil || ended.GetRollout().GetPhase() != "Cancelled" || ended.GetRollout().GetMessage() != "not today" || ended.GetRollout().GetFinished() == nil {
		t.Errorf("cancelled %v, error %v", ended, err)
	}
	want(t, f.clusterPhases(), "canary-1=Succeeded prod-1=Pending")
}

func TestWithoutARolloutPolicyThereIsNothingToSteer(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	_, err := b.rollouts.StartRollout(b.ctx, &adminv1.StartRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.FailedPrecondition, "names no RolloutPolicy")
	_, err = b.rollouts.PlanRollout(b.ctx, &adminv1.PlanRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.FailedPrecondition, "names no RolloutPolicy")
}
