package api_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestFreezeStopsTheFleetOrSomeClustersUntilItIsEnded(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	frozen, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "an incident"})
	if err != nil {
		t.Fatal(err)
	}
	if s := frozen.GetFleet(); s.GetReason() != "an incident" || s.GetActor() != "user:admin" || s.GetAt() == nil || len(frozen.GetClusters()) > 0 {
		t.Errorf("frozen %v", frozen)
	}
	f.push("one")
	f.roll()
	if r := f.current(); r.GetReason() != "Frozen" || r.GetTotals().GetInFlight() != 0 {
		t.Errorf("in a frozen fleet %v", r)
	}
	if _, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{}); err != nil {
		t.Fatal(err)
	}
	held, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-1"}, Reason: "its disk"})
	if err != nil {
		t.Fatal(err)
	}
	if c := held.GetClusters(); held.GetFleet() != nil || len(c) != 1 || c[0].GetCluster() != "prod-1" || c[0].GetReason() != "its disk" {
		t.Errorf("held %v", held)
	}
	_, err = f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"typo"}, Reason: "x"})
	wantCode(t, err, codes.NotFound, "Cluster/typo")
	f.approved()
	want(t, f.clusterPhases(), "canary-1=Succeeded prod-1=Deferred prod-2=Succeeded")
	if _, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{Clusters: []string{"prod-1"}}); err != nil {
		t.Fatal(err)
	}
	if now, err := f.rollouts.GetFreeze(f.ctx, &adminv1.GetFreezeRequest{}); err != nil || now.GetFleet() != nil || len(now.GetClusters()) > 0 {
		t.Errorf("in the end %v, error %v", now, err)
	}
}

func TestDryRunOfAFreezeTellsWhatWouldBe(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-2"}, Reason: "its disk"}); err != nil {
		t.Fatal(err)
	}
	would, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Clusters: []string{"prod-1"}, Reason: "x", DryRun: true})
	if c := would.GetClusters(); err != nil || len(c) != 2 || c[0].GetCluster() != "prod-1" || c[0].GetReason() != "x" || c[1].GetCluster() != "prod-2" {
		t.Errorf("would be %v, error %v", would, err)
	}
	ended, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{Clusters: []string{"prod-2"}, DryRun: true})
	if err != nil || len(ended.GetClusters()) > 0 {
		t.Errorf("would be ended: %v, error %v", ended, err)
	}
	_, err = f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{Clusters: []string{"typo"}, DryRun: true})
	wantCode(t, err, codes.NotFound, "Cluster/typo")
	if now, err := f.rollouts.GetFreeze(f.ctx, &adminv1.GetFreezeRequest{}); err != nil || len(now.GetClusters()) != 1 {
		t.Errorf("in the end %v, error %v", now, err)
	}
}

func TestFreezeOfTheFleetConcernsEveryCluster(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst) // a cluster beside those of the App
	would, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "night", DryRun: true})
	if i := would.GetImpact(); err != nil || i.GetClusters() != 4 || !i.GetEveryCluster() || i.GetSummary() != "it means every cluster, 4 now, and those to come" {
		t.Errorf("it would mean %v, error %v", i, err)
	}
	_, err = f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "night", Confirm: proto.Uint32(2)})
	wantCode(t, err, codes.FailedPrecondition, "2 clusters were confirmed and the change concerns 4")
	if _, err := f.rollouts.Freeze(f.ctx, &adminv1.FreezeRequest{Reason: "night", Confirm: proto.Uint32(4)}); err != nil {
		t.Fatal(err)
	}
	_, err = f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{Confirm: proto.Uint32(2)})
	wantCode(t, err, codes.FailedPrecondition, "2 clusters were confirmed and the change concerns 4")
	ended, err := f.rollouts.Unfreeze(f.ctx, &adminv1.UnfreezeRequest{Confirm: proto.Uint32(4)})
	if err != nil || ended.GetFleet() != nil || ended.GetImpact().GetClusters() != 4 {
		t.Errorf("ended %v, error %v", ended, err)
	}
}
