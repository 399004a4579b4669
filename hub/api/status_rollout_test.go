package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// rolloutShown is what an App's status says of its Rollout.
type rolloutShown struct {
	ID, Phase, Reason, Message, Target, Revision, Wave, Queued, QueuedReason, Stable, StableRevision string
	WaveNumber, Waves, Updated, Total                                                                int
}

func (f *rolled) rolloutShown() rolloutShown {
	f.t.Helper()
	resp, err := f.objects.Get(f.ctx, &adminv1.GetRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	if err != nil {
		f.t.Fatal(err)
	}
	var o struct {
		Status struct{ Rollout rolloutShown }
	}
	if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
		f.t.Fatal(err)
	}
	return o.Status.Rollout
}

func TestStatusOfAnAppSaysWhatItsRolloutDoes(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	one := f.push("one")
	r := f.waiting()
	want(t, f.getApp().condition("Ready"), "Unknown Progressing rollout "+r.GetId()+" is Running, wave canary (1/2): gate go: 0 of 1 approvals")
	if got := f.rolloutShown(); got != (rolloutShown{ID: r.GetId(), Phase: "Running", Reason: "WaitingGate", Message: r.GetMessage(), Target: one.Digest().String(),
		Revision: "main@sha1:one", Wave: "canary", WaveNumber: 1, Waves: 2, Updated: 1, Total: 3}) {
		t.Errorf("shown %+v", got)
	}
	if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: about(r, "lunch")}); err != nil {
		t.Fatal(err)
	}
	want(t, f.getApp().condition("Ready"), "Unknown RolloutPaused rollout "+r.GetId()+" is Paused, wave canary (1/2): lunch")
	if _, err := f.rollouts.ResumeRollout(f.ctx, &adminv1.ResumeRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.approved()
	want(t, f.getApp().condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:one in 3 clusters")
	if got := f.rolloutShown(); got.Phase != "Succeeded" || got.Updated != 3 || got.Stable != one.Digest().String() || got.StableRevision != "main@sha1:one" || got.Wave != "" {
		t.Errorf("shown in the end %+v", got)
	}
	f.push("two")
	two := f.waiting()
	f.push("three")
	f.roll()
	if got := f.rolloutShown(); got.ID != two.GetId() || got.Queued == "" || got.QueuedReason != "NewerCandidate" {
		t.Errorf("shown with one that waits %+v", got)
	}
	want(t, f.getApp().condition("Ready"), " is Queued: waits for "+two.GetId())
}

func TestStatusOfAnAppSaysThatGitIsAheadOfWhatIsStable(t *testing.T) {
	t.Parallel()
	f := newRolled(t, strings.Replace(canaryFirst, `"allowUninstall":true`, `"action":"Rollback"`, 1))
	f.push("one")
	f.approved()
	f.bad[f.push("two").Digest()] = true
	r := f.settle(rollout.RolledBack)
	app := f.getApp()
	want(t, app.condition("Ready"), "False ReleaseIsBad Git ahead of stable: main@sha1:two is Bad; rollout "+r.GetId()+" is RolledBack: ")
	want(t, app.condition("Ready"), "stable is main@sha1:one")
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 3 || app.Status.LastAppliedRevision != "" || app.Status.LastAttemptedRevision != "main@sha1:two" {
		t.Errorf("clusters run what is stable: %+v, applied %q", app.Status, app.Status.LastAppliedRevision)
	}
	hub := adminv1.NewHubServiceClient(f.conn)
	status, err := hub.Status(f.ctx, &adminv1.StatusRequest{})
	if err != nil || len(status.GetTroubles()) == 0 {
		t.Fatalf("status %v, error %v", status, err)
	}
	want(t, status.GetTroubles()[0].GetObject()+": "+status.GetTroubles()[0].GetMessage(), "Kustomization/apps/app: Git ahead of stable: main@sha1:two is Bad")
	f.bad = map[fleet.Digest]bool{}
	f.push("three")
	f.approved()
	want(t, f.getApp().condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:three")
}

func TestStatusOfAClusterSaysThatItIsHeldOrTheFleetFrozen(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	if got := f.get("Cluster", "", "prod-1", ""); got.condition("Held")+got.condition("Frozen") != "" {
		t.Errorf("held before anybody said so: %+v", got)
	}
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-1"}, Reason: "its disk"}); err != nil {
		t.Fatal(err)
	}
	held := `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"prod-2","labels":{"tier":"prod"},"annotations":{"fleet.flotilla.dev/hold":"a move"}}}`
	f.apply(held)
	want(t, f.get("Cluster", "", "prod-1", "").condition("Held"), "True Frozen nothing new goes there: its disk (user:admin)")
	want(t, f.get("Cluster", "", "prod-2", "").condition("Held"), "True Declared nothing new goes there: a move")
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "an incident"}); err != nil {
		t.Fatal(err)
	}
	want(t, f.get("Cluster", "", "canary-1", "").condition("Frozen"), "True Frozen nothing new goes there: an incident (user:admin)")
	f.push("two")
	f.roll()
	want(t, f.getApp().condition("Ready"), "the fleet is frozen: an incident")
}

// An App without a RolloutPolicy goes to no cluster that is held, too.
func TestStatusOfAnAppWithoutAPolicySaysWhereNothingNewGoes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	if _, err := b.rollouts.Freeze(b.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-1"}, Reason: "its disk"}); err != nil {
		t.Fatal(err)
	}
	f := &rolled{bundle: b}
	f.push("two")
	b.roll()
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	want(t, b.getApp().condition("Ready"), "Unknown Held nothing new goes to prod-1 (it is held: its disk)")
}

func TestPlacementLacksARolloutPolicyUntilItIsDeclaredAndThatSaysWhoUsesIt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.apply(placementYAML("app", strings.Replace(managedEverywhere, `"prod"}}`, `"late"}}`, 1)))
	f.push("one")
	f.roll()
	_, err := f.rollouts.GetRollout(f.ctx, &adminv1.GetRolloutRequest{App: appRollout()})
	wantCode(t, err, codes.NotFound, "none has begun yet")
	want(t, f.get("Placement", "apps", "app", "").condition("Ready"), "False RolloutPolicyNotFound not declared: RolloutPolicy/late; nothing new goes to any cluster until it is")
	used := func(name string) string {
		resp, err := f.objects.Get(f.ctx, &adminv1.GetRequest{Kind: "RolloutPolicy", Name: name})
		if err != nil {
			t.Fatal(err)
		}
		var o struct{ Status struct{ UsedBy []string } }
		if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
			t.Fatal(err)
		}
		return strings.Join(o.Status.UsedBy, " ")
	}
	lacking := f.get("Placement", "apps", "app", "").Status.Conditions[0].LastTransitionTime
	f.apply(policyYAML("late", canaryFirst))
	placement := f.get("Placement", "apps", "app", "")
	want(t, placement.condition("Ready"), "True Placed 1 App on 3 clusters")
	if at := placement.Status.Conditions[0].LastTransitionTime; !at.After(lacking) {
		t.Errorf("it has its policy since %s, and lacked it since %s", at, lacking)
	}
	if used("late") != "apps/app" || used("prod") != "" {
		t.Errorf("late is used by %q, prod by %q", used("late"), used("prod"))
	}
	want(t, f.get("RolloutPolicy", "", "late", "").condition("Ready"), "True Valid used by apps/app")
	want(t, f.get("RolloutPolicy", "", "prod", "").condition("Ready"), "True Valid no Placement names it")
	f.waiting()
}

func TestAppIsNotPlacedOnAClusterWhoseTaintItsPlacementDoesNotTolerate(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.apply(taintedYAML("prod-1", "NoSchedule"))
	f.push("one")
	f.approved()
	want(t, f.get("Placement", "apps", "app", "").condition("Ready"), "1 App on 2 clusters; taints that it does not tolerate are on prod-1")
	if n := f.getApp().Status.Fleet; n.Total != 2 || n.Ready != 2 {
		t.Errorf("counts %+v", n)
	}
	f.apply(taintedYAML("prod-2", "NoSchedule")) // the App stays where it is
	if n := f.getApp().Status.Fleet; n.Total != 2 || n.Ready != 2 {
		t.Errorf("counts with a cluster tainted since %+v", n)
	}
	f.apply(taintedYAML("prod-2", "NoExecute"))
	if n := f.getApp().Status.Fleet; n.Total != 1 {
		t.Errorf("counts with a cluster that the App has to leave %+v", n)
	}
}
