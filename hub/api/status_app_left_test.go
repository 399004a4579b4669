package api_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestStatusOfAnAppDoesNotWaitForClustersThatItsPolicyLeavesOut(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryAlone)
	f.push("one")
	f.approved()
	app := f.getApp()
	want(t, app.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:one in 1 cluster; "+
		"no wave of RolloutPolicy/prod takes prod-1, prod-2, and its spec.unmatched is Exclude")
	if n := app.Status.Fleet; n.Total != 1 || n.Ready != 1 || app.Status.LastAppliedRevision != "main@sha1:one" {
		t.Errorf("counts %+v, applied %q", n, app.Status.LastAppliedRevision)
	}
	f.apply(policyYAML("prod", canaryFirst))
	f.push("two")
	f.approved()
	f.apply(policyYAML("prod", canaryAlone)) // what they have stays
	f.push("three")
	if n := f.getApp().Status.Fleet; n.Total != 3 || n.Ready != 2 || n.Progressing != 1 {
		t.Errorf("counts before the Rollout %+v", n)
	}
	f.approved()
	app = f.getApp()
	want(t, app.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:three in 1 cluster; no wave")
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 3 || app.Status.LastAppliedRevision != "main@sha1:three" {
		t.Errorf("counts %+v, applied %q", n, app.Status.LastAppliedRevision)
	}
	before := app.Metadata.ResourceVersion
	f.apply(policyYAML("prod", canaryFirst))
	app = f.getApp()
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 1 || n.Progressing != 2 || app.Metadata.ResourceVersion == before {
		t.Errorf("once the policy takes them the counts are %+v, at version %s after %s", n, app.Metadata.ResourceVersion, before)
	}
}

func TestStatusOfAnAppSaysThatItsPolicyLeavesOutEveryCluster(t *testing.T) {
	t.Parallel()
	f := newRolled(t, `{"waves":[{"name":"none","select":{"matchLabels":{"tier":"none"}}}],"unmatched":"Exclude"}`)
	f.push("one")
	f.roll()
	want(t, f.getApp().condition("Ready"), "Unknown NoClusters no cluster gets it; no wave of RolloutPolicy/prod takes canary-1, prod-1, prod-2")
}

func TestStatusOfAnAppSaysThatItsRolloutEndedWithoutReachingAllClusters(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.push("two")
	r := f.waiting()
	if _, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.roll()
	f.say()
	app := f.getApp()
	want(t, app.condition("Ready"), "False RolloutCancelled rollout "+r.GetId()+" is Cancelled")
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 3 || app.Status.LastAppliedRevision != "" {
		t.Errorf("what clusters run is what they are to run: %+v, applied %q", n, app.Status.LastAppliedRevision)
	}
}

// A cluster that was passed over catches up once the Rollout has succeeded. If that fails, nobody tries it again.
func TestStatusOfAnAppSaysWhichClusterCouldNotCatchUp(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	two := f.push("two").Digest()
	f.waiting()
	if _, err := f.rollouts.SkipClusters(f.ctx, &adminv1.SkipClustersRequest{App: appRollout(), Clusters: []string{"prod-2"}}); err != nil {
		t.Fatal(err)
	}
	f.approved()
	f.roll()
	want(t, f.getApp().condition("Ready"), "Unknown Progressing waiting for prod-2")
	f.report("prod-2", func(r *fleet.Report) {
		if r.Release != two {
			t.Errorf("it is to run %s, not %s", r.Release, two)
		}
		r.Stage, r.Converged, r.Available, r.Terminal = fleet.StageFailed, false, false, true
		r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "it is refused"}
	})
	f.roll()
	f.report("prod-2", ok)
	app := f.getApp()
	want(t, app.condition("Stalled"), "True ReconciliationFailed prod-2: it did not get to main@sha1:two")
	want(t, app.condition("Ready"), "False ReconciliationFailed prod-2: it did not get to main@sha1:two, and stays at what it had: it is refused")
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 2 || n.Failed != 1 {
		t.Errorf("counts %+v", n)
	}
	if r := f.current(); r.GetPhase() != string(rollout.Succeeded) {
		t.Errorf("the Rollout is %s", r.GetPhase())
	}
}

func TestStatusOfAnAppIsNotReadyWhereItsPolicyLeavesOutEveryClusterThatHasAnOlderRelease(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.apply(policyYAML("prod", `{"waves":[{"name":"none","select":{"matchLabels":{"tier":"none"}}}],"unmatched":"Exclude"}`))
	app := f.getApp()
	want(t, app.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:one in 3 clusters; no wave of RolloutPolicy/prod takes")
	if app.Status.LastAppliedRevision != "main@sha1:one" {
		t.Errorf("what has the newest Release is at %q", app.Status.LastAppliedRevision)
	}
	f.push("two")
	f.roll()
	app = f.getApp()
	want(t, app.condition("Ready"), "Unknown NoClusters no cluster gets it; no wave of RolloutPolicy/prod takes canary-1, prod-1, prod-2")
	if app.Status.LastAppliedRevision != "" {
		t.Errorf("applied %q", app.Status.LastAppliedRevision)
	}
}

func TestStatusOfAnAppThatIsEverywhereIsReadyThoughItsRolloutWasCancelled(t *testing.T) {
	t.Parallel()
	f := newRolled(t, `{"waves":[{"name":"all","maxConcurrent":"100%","after":[{"approval":{"name":"go"}}]}],"maxUnavailable":"100%","onFailure":{"allowUninstall":true}}`)
	f.push("one")
	f.approved()
	f.push("two")
	f.waiting()
	if _, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.roll()
	f.say()
	app := f.getApp()
	want(t, app.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:two in 3 clusters")
	if app.Status.LastAppliedRevision != "main@sha1:two" {
		t.Errorf("applied %q", app.Status.LastAppliedRevision)
	}
}

func TestStatusOfAnAppSaysWhichClustersACancelledRollbackHasLeftAtAnOlderRelease(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.push("two")
	f.approved()
	if _, err := f.rollouts.Rollback(f.ctx, &adminv1.RollbackRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.roll()
	back := f.current()
	if _, err := f.rollouts.CancelRollout(f.ctx, &adminv1.CancelRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	f.roll()
	f.say()
	app := f.getApp()
	want(t, app.condition("Ready"), "False RolloutCancelled rollout "+back.GetId()+" is Cancelled")
	want(t, app.condition("Ready"), "; canary-1, prod-1, prod-2 stay at main@sha1:one"+startsAgain)
	want(t, app.condition("Stalled"), "True RolloutCancelled ")
	if n := app.Status.Fleet; n.Total != 3 || n.Ready != 3 || app.Status.LastAppliedRevision != "" {
		t.Errorf("what clusters run is what they are to run: %+v, applied %q", n, app.Status.LastAppliedRevision)
	}
}

func TestStatusOfAnAppDoesNotNameClustersThatItsPlacementDoesNotChooseAsLeftOut(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.approved()
	f.apply(policyYAML("prod", canaryAlone))
	pruned := strings.Replace(managedEverywhere, `["canary","prod"]}]}}`, `["canary"]}]}},"onUnmatch":"Prune"`, 1)
	f.apply(placementYAML("app", pruned))
	if ready := f.getApp().condition("Ready"); strings.Contains(ready, "no wave") {
		t.Errorf("of clusters where it goes: %s", ready)
	}
}

func TestStatusOfAnAppIsNewerOnceLabelsOfAClusterChangeWhatItsPolicyLeavesOut(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryAlone)
	f.push("one")
	f.approved()
	before := f.getApp()
	f.apply(clusterYAML("prod-1", "canary"))
	after := f.getApp()
	want(t, before.condition("Ready"), "takes prod-1, prod-2, and")
	if after.Status.Fleet.Total != 2 || after.Metadata.ResourceVersion == before.Metadata.ResourceVersion {
		t.Errorf("%+v at version %s after %s", after.Status.Fleet, after.Metadata.ResourceVersion, before.Metadata.ResourceVersion)
	}
}
