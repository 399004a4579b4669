package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestRolloutIsPlannedAndStartedOnceForARequest(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `{"waves"`, `{"autoStart":false,"waves"`, 1))
	release := f.push("one")
	f.roll()
	plan, err := f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout(), Target: "main@sha1:one"})
	if err != nil {
		t.Fatal(err)
	}
	planned := plan.GetRollout()
	if planned.GetTarget() != release.Digest().String() || planned.GetRevision() != "main@sha1:one" || planned.GetAppName() != "app" || planned.GetPlanDigest() == "" {
		t.Errorf("planned %v", planned)
	}
	var waves []string
	for _, w := range planned.GetWaves() {
		waves = append(waves, fmt.Sprint(w.GetName(), w.GetSize(), w.GetMaxConcurrent(), w.GetMaxFailures(), w.GetMinUpdated()))
	}
	if got := strings.Join(waves, "; "); got != "canary1 1 0 1; rest2 2 0 1" {
		t.Errorf("waves %q", got)
	}
	if gates := planned.GetWaves()[0].GetAfter(); len(gates) != 1 || gates[0].GetName() != "go" || gates[0].GetType() != "Approval" {
		t.Errorf("gates %v", gates)
	}
	if left := plan.GetNotTargeted(); len(left) != 1 || left[0].GetCluster() != "dev-1" || left[0].GetWhy() != "Placement app does not choose it" {
		t.Errorf("not targeted %v", left)
	}
	if c := plan.GetClusters(); len(c) != 3 || c[0].GetCluster() != "canary-1" || c[0].GetPhase() != "Pending" || !c[0].GetConnected() || c[2].GetWave() != 1 {
		t.Errorf("clusters %v", c)
	}
	request := &adminv1.StartRolloutRequest{App: appRollout(), RequestId: "one", ExpectedPlanDigest: release.Digest().String()}
	_, err = f.rollouts.StartRollout(f.ctx, request)
	wantCode(t, err, codes.FailedPrecondition, "the plan is "+planned.GetPlanDigest()+" now")
	request.ExpectedPlanDigest = planned.GetPlanDigest()
	begun, err := f.rollouts.StartRollout(f.ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if r := begun.GetRollout(); r.GetPhase() != "Running" || r.GetActor() != "user:admin" || r.GetTarget() != planned.GetTarget() || r.GetTotals().GetSize() != 3 {
		t.Errorf("begun %v", r)
	}
	f.waiting()
	_, err = f.rollouts.DecideGate(f.ctx, &adminv1.DecideGateRequest{App: appRollout(), Approve: true})
	wantCode(t, err, codes.FailedPrecondition, "user:admin started it, and somebody else has to approve")
	skip := &adminv1.SkipGateRequest{App: appRollout(), Gate: "go"}
	skip.App.Reason = "nobody else is there"
	if _, err := f.rollouts.SkipGate(f.ctx, skip); err != nil {
		t.Fatal(err)
	}
	done := f.settle(rollout.Succeeded)
	plan, err = f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout()})
	if c := plan.GetClusters(); err != nil || len(c) != 3 || !c[0].GetAvailable() {
		t.Errorf("clusters that serve, error %v: %v", err, c)
	}
	again, err := f.rollouts.StartRollout(f.ctx, request)
	if err != nil || again.GetRollout().GetId() != begun.GetRollout().GetId() || done.GetId() != begun.GetRollout().GetId() {
		t.Errorf("the same request: %v, error %v; the first %s", again.GetRollout(), err, begun.GetRollout().GetId())
	}
}

func TestPlanTakesAPolicyThatIsNotDeclaredAndSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	plan := func(policy string) (*adminv1.PlanRolloutResponse, error) {
		return f.rollouts.PlanRollout(f.ctx, &adminv1.PlanRolloutRequest{App: appRollout(), Policy: []byte(policy)})
	}
	resp, err := plan(`{"waves":[{"name":"all","after":[{"soak":{"duration":"5m"}}]}],"cluster":{"minReady":"1m"}}`)
	if err != nil || len(resp.GetRollout().GetWaves()) != 1 || resp.GetRollout().GetWaves()[0].GetSize() != 3 {
		t.Errorf("plan %v, error %v", resp, err)
	}
	if least := resp.GetLeast(); len(least) != 1 || least[0].AsDuration() != 8*time.Minute {
		t.Errorf("at least %v", least)
	}
	for policy, words := range map[string]string{
		`{"waves":[]}`: "spec.waves: at least one wave is required",
		`{"waves":[{"name":"a","maxConcurent":1}]}`: "spec.waves[0].maxConcurent: not supported yet, or misspelt",
		`{"waves":`: "policy: is no JSON",
		`{"waves":[{"name":"a"}],"windows":[{"cron":"x","duration":"1h"}]}`: "spec.windows[0].cron",
	} {
		_, err := plan(policy)
		wantCode(t, err, codes.InvalidArgument, words)
	}
}

func TestRolloutsAreFoundByAppOrIDAndListedByPage(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	_, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.NotFound, "none has begun yet")
	var ids []string
	for _, content := range []string{"one", "two", "three"} {
		f.push(content)
		ids = append(ids, f.approved().GetId())
	}
	byID, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: &adminv1.AppRollout{Id: ids[0]}})
	if err != nil || byID.GetRollout().GetId() != ids[0] || byID.GetRollout().GetRevision() != "main@sha1:one" {
		t.Errorf("by id: %v, error %v", byID, err)
	}
	if r := f.current(); r.GetId() != ids[2] || r.GetTotals().GetSucceeded() != 3 || r.GetFinished() == nil || !strings.Contains(string(r.GetPolicy()), `"canary"`) {
		t.Errorf("newest %v", r)
	}
	var listed []string
	request := &adminv1.ListRolloutsRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", PageSize: 2, Phases: []string{"Succeeded"}}
	for {
		page, err := f.rollouts.ListRollouts(f.ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRollouts() {
			listed = append(listed, r.GetId())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if fmt.Sprint(listed) != fmt.Sprint([]string{ids[2], ids[1], ids[0]}) {
		t.Errorf("listed %v of %v", listed, ids)
	}
	for namespace, wanted := range map[string]int{"apps": 3, "other": 0, "app": 0, "": 3} {
		if page, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Namespace: namespace}); err != nil || len(page.GetRollouts()) != wanted {
			t.Errorf("of namespace %q: %v, error %v", namespace, page, err)
		}
	}
	if none, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Phases: []string{"Halted", "Queued"}}); err != nil || len(none.GetRollouts()) > 0 {
		t.Errorf("halted: %v, error %v", none, err)
	}
}

func TestRequestsAboutRolloutsSayWhichFieldIsWrong(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	get := func(app *adminv1.AppRollout) error {
		_, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: app})
		return err
	}
	wantCode(t, get(nil), codes.InvalidArgument, "app: name an App, or a Rollout by its id")
	wantCode(t, get(&adminv1.AppRollout{Kind: "GitRepository", Namespace: "apps", Name: "app"}), codes.InvalidArgument, "app.kind: GitRepository is no App")
	wantCode(t, get(&adminv1.AppRollout{Kind: "Typo", Namespace: "apps", Name: "app"}), codes.InvalidArgument, "app.kind: kind \"Typo\"")
	wantCode(t, get(&adminv1.AppRollout{Kind: "Kustomization", Name: "app"}), codes.InvalidArgument, "app.namespace: is required")
	wantCode(t, get(&adminv1.AppRollout{Kind: "Kustomization", Namespace: "apps", Name: "other"}), codes.NotFound, "Kustomization/apps/other")
	wantCode(t, get(&adminv1.AppRollout{Id: "ro-none"}), codes.NotFound, "ro-none")
	_, err := f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Phases: []string{"Running", "running"}})
	wantCode(t, err, codes.InvalidArgument, `phases[1]: "running" is none of [Queued Running`)
	_, err = f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{PageSize: -1})
	wantCode(t, err, codes.InvalidArgument, "page_size: -1 is below zero")
	_, err = f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Namespace: "apps", Name: "app"})
	wantCode(t, err, codes.InvalidArgument, "kind")
	_, err = f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{PageToken: "x"})
	wantCode(t, err, codes.InvalidArgument, `"x" is not where a page of Rollouts ends`)
	_, err = f.rollouts.ListRollouts(f.ctx, &adminv1.ListRolloutsRequest{Kind: "Kustomization", Namespace: "apps", Name: "other"})
	wantCode(t, err, codes.NotFound, "Kustomization/apps/other")
	_, err = f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout(), ExpectedPlanDigest: "x"})
	wantCode(t, err, codes.InvalidArgument, "expected_plan_digest: ")
	_, err = f.rollouts.StartRollout(f.ctx, &adminv1.StartRolloutRequest{App: appRollout(), Target: "main@sha1:none"})
	wantCode(t, err, codes.NotFound, "main@sha1:none")
	_, err = f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout(), Scope: "All"})
	wantCode(t, err, codes.InvalidArgument, `scope: "All" is not Failed, Wave or Updated`)
	_, err = f.rollouts.SkipGate(f.ctx, &adminv1.SkipGateRequest{App: appRollout()})
	wantCode(t, err, codes.InvalidArgument, "gate: is required\napp.reason: is required")
	_, err = f.rollouts.SkipClusters(f.ctx, &adminv1.SkipClustersRequest{App: appRollout()})
	wantCode(t, err, codes.InvalidArgument, "clusters: name at least one")
	_, err = f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{})
	wantCode(t, err, codes.InvalidArgument, "reason: is required")
	_, err = f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.NotFound, "Kustomization/apps/app under way")
}

func TestClusterOfARolloutSaysThatItHoldsAPruneUntilThatIsApproved(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.roll()
	set := fleet.DigestOf([]byte("set"))
	f.report("canary-1", func(r *fleet.Report) {
		r.Stage, r.Converged, r.Waiting = fleet.StageApplying, false, fleet.WaitingPruneHeld
		r.HeldPrune = &fleet.HeldPrune{Digest: set, Count: 1}
	})
	holds := func() []string {
		resp, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout()})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range resp.GetClusters() {
			if c.GetHoldsPrune() {
				names = append(names, c.GetCluster())
			}
		}
		return names
	}
	if got := holds(); !slices.Equal(got, []string{"canary-1"}) {
		t.Errorf("%v hold a prune", got)
	}
	approve := &adminv1.ApproveRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Digest: set.String(), Confirm: 1}
	if _, err := adminv1.NewPrunesServiceClient(f.conn).Approve(f.ctx, approve); err != nil {
		t.Fatal(err)
	}
	if got := holds(); len(got) > 0 {
		t.Errorf("%v hold one that is approved", got)
	}
}

func TestClustersOfARolloutArePagedAndSayWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.roll()
	var got []string
	request := &adminv1.ListRolloutClustersRequest{App: appRollout(), PageSize: 2}
	for {
		page, err := f.rollouts.ListRolloutClusters(f.ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.GetClusters() {
			got = append(got, c.GetCluster()+" "+c.GetPhase()+": "+c.GetWaitsFor())
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	if words := strings.Join(got, "\n"); words != "canary-1 Dispatched: it to say that it has the Release\n"+
		"prod-1 Pending: its turn in wave rest: wave canary is under way\nprod-2 Pending: its turn in wave rest: wave canary is under way" {
		t.Errorf("clusters:\n%s", words)
	}
	rest, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), Wave: "canary", Phases: []string{"Dispatched"}})
	if err != nil || len(rest.GetClusters()) != 1 || rest.GetClusters()[0].GetDeadlineLeft().AsDuration() <= 0 || !rest.GetClusters()[0].GetConnected() {
		t.Errorf("of wave canary: %v, error %v", rest, err)
	}
	_, err = f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), Wave: "typo"})
	wantCode(t, err, codes.NotFound, "wave typo")
	_, err = f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), Phases: []string{"Done"}})
	wantCode(t, err, codes.InvalidArgument, `phases[0]: "Done"`)
	f.say()
	f.roll()
	resp, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), Phases: []string{string(rollout.MemberSucceeded)}})
	if err != nil || len(resp.GetClusters()) != 1 || !resp.GetClusters()[0].GetAvailable() {
		t.Errorf("succeeded: %v, error %v", resp, err)
	}
}

func TestWhatAClusterWaitsForIsToldOnce(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `"maxUnavailable"`, `"cluster":{"preexistingUnhealthy":"Block"},"maxUnavailable"`, 1))
	f.push("one")
	f.approved()
	f.report("canary-1", func(r *fleet.Report) { r.Converged, r.Available = false, false })
	f.push("two")
	f.roll()
	const waits = "it to be available: spec.cluster.preexistingUnhealthy is Block"
	first := func() *adminv1.RolloutCluster {
		t.Helper()
		resp, err := f.rollouts.ListRolloutClusters(f.ctx, &adminv1.ListRolloutClustersRequest{App: appRollout(), Wave: "canary"})
		if err != nil || len(resp.GetClusters()) != 1 {
			t.Fatalf("clusters %v, error %v", resp, err)
		}
		return resp.GetClusters()[0]
	}
	if c := first(); c.GetPhase() != "Pending" || c.GetWaitsFor() != waits || c.GetMessage() != "" {
		t.Errorf("cluster %v", c)
	}
	if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	if c := first(); !strings.HasPrefix(c.GetWaitsFor(), "the Rollout, which is Paused") || c.GetMessage() == "" {
		t.Errorf("cluster of a paused Rollout %v", c)
	}
}
