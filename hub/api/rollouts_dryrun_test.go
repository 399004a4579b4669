package api_test

import (
	"fmt"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestDryRunOfWhatIsSaidToARolloutTellsWhatItWouldBeAndStoresNothing(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	app := appRollout()
	app.DryRun, app.Reason = true, "why not"
	says := func(r interface{ GetRollout() *adminv1.Rollout }, err error) (string, error) {
		return fmt.Sprint(r.GetRollout().GetPhase(), " ", r.GetRollout().GetReason()), err
	}
	f.push("one")
	f.approved()
	f.push("two")
	f.waiting()
	tested := f.areDry([]dry{
		{"RolloutsService.PauseRollout", func() (string, error) {
			return says(f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: app}))
		}, "Paused User"},
		{"RolloutsService.DecideGate", func() (string, error) {
			return says(f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: app}))
		}, "Halted ApprovalRejected"},
		{"RolloutsService.SkipGate", func() (string, error) {
			return says(f.rollouts.SkipGate(f.ctx, &adminv1.SkipGateRequest{App: app, Gate: "go"}))
		}, "Running WaitingClusters"},
		{"RolloutsService.SkipClusters", func() (string, error) {
			return says(f.rollouts.SkipClusters(f.ctx, &adminv1.SkipClustersRequest{App: app, Clusters: []string{"prod-1"}}))
		}, "Running WaitingGate"},
		{"RolloutsService.Rollback", func() (string, error) {
			return says(f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: app}))
		}, "RollingBack User"},
		{"RolloutsService.CancelRollout", func() (string, error) {
			return says(f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: app}))
		}, "Cancelled User"},
		{"RolloutsService.Freeze", func() (string, error) {
			resp, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "night", DryRun: true})
			return resp.GetFleet().GetReason(), err
		}, "night"},
		{"RolloutsService.Unfreeze", func() (string, error) {
			resp, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{DryRun: true})
			return fmt.Sprint(resp.GetFleet() == nil), err
		}, "true"},
	})
	if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	tested = append(tested, f.areDry([]dry{
		{"RolloutsService.ResumeRollout", func() (string, error) {
			return says(f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: app}))
		}, "Running WaitingGate"},
	})...)
	if _, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.bad[f.push("three").Digest()] = true
	f.settle(rollout.Halted)
	tested = append(tested, f.areDry([]dry{
		{"RolloutsService.RetryClusters", func() (string, error) {
			return says(f.rollouts.RetryClusters(f.ctx, &adminv1.RetryClustersRequest{App: app, AllFailed: true}))
		}, "Halted FailureBudget"},
		{"RolloutsService.StartRollout", func() (string, error) {
			return says(f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: app, RequestId: "x", Target: "main@sha1:one"}))
		}, "Running WaitingClusters"},
	})...)
	everyChangeIs(t, tested, true)
}
