package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/rollout"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// because is a request about the App's Rollout for a reason.
func because(reason string) *adminv1.AppRollout {
	app := appRollout()
	app.Reason = reason
	return app
}

func TestWhyARolloutWasBegunIsToldWithIt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, `{"autoStart":false,"waves":[{"name":"all","maxConcurrent":"100%"}],"maxUnavailable":"100%"}`)
	f.push("one")
	f.roll()
	started, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: because("ticket 12"), RequestId: "r-1"})
	if err != nil || started.GetRollout().GetChangeCause() != "ticket 12" {
		t.Fatalf("started %v, error %v", started, err)
	}
	f.settle(rollout.Succeeded)
	f.push("two")
	f.roll()
	if _, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout(), RequestId: "r-2"}); err != nil {
		t.Fatal(err)
	}
	f.settle(rollout.Succeeded)
	back, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: because("incident 4711")})
	if err != nil || back.GetRollout().GetChangeCause() != "incident 4711" {
		t.Fatalf("back %v, error %v", back, err)
	}
	f.settle(rollout.Succeeded)
	listed, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	var causes []string
	for _, r := range listed.GetRollouts() {
		causes = append(causes, r.GetActor()+": "+r.GetChangeCause())
	}
	want(t, strings.Join(causes, "\n"), "user:admin: incident 4711\nuser:admin: \nuser:admin: ticket 12")
}

func TestAReasonIsOneLineThatIsNotTooLong(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.waiting()
	calls := map[string]func(app *adminv1.AppRollout) error{
		"start": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: app})
			return err
		},
		"pause": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: app})
			return err
		},
		"resume": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: app})
			return err
		},
		"decide": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: app})
			return err
		},
		"skip a gate": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.SkipGate(f.ctx, &adminv1.SkipGateRequest{App: app, Gate: "go"})
			return err
		},
		"retry": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.RetryClusters(f.ctx, &adminv1.RetryClustersRequest{App: app, AllFailed: true})
			return err
		},
		"skip clusters": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.SkipClusters(f.ctx, &adminv1.SkipClustersRequest{App: app, AllFailed: true})
			return err
		},
		"roll back": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: app})
			return err
		},
		"cancel": func(app *adminv1.AppRollout) error {
			_, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: app})
			return err
		},
	}
	long, lines := strings.Repeat("x", 1025), "one\ntwo"
	for name, call := range calls {
		t.Log(name)
		wantCode(t, call(because(long)), codes.InvalidArgument, "app.reason: is 1025 bytes long, and may be 1024")
		wantCode(t, call(because(lines)), codes.InvalidArgument, "app.reason: has line breaks or other control characters")
		wantCode(t, call(because(" ")), codes.InvalidArgument, "app.reason: is blank")
	}
	_, err := f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: appRollout(), Comment: lines})
	wantCode(t, err, codes.InvalidArgument, "comment: has line breaks")
	_, err = f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: long})
	wantCode(t, err, codes.InvalidArgument, "reason: is 1025 bytes long")
	if err := calls["pause"](because(long[:1024])); err != nil {
		t.Error(err)
	}
}
