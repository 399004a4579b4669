package api_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestHeldPruneIsApprovedBySetAndCount(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	set := fleet.PruneDigest([]fleet.ObjectRef{{Kind: "ConfigMap", Namespace: "apps", Name: "a"}})
	held := func(r *fleet.Report) {
		r.HeldPrune, r.Waiting = &fleet.HeldPrune{Digest: set, Count: 1, Reason: "everything would go"}, fleet.WaitingPruneHeld
	}
	b.report("prod-1", held)
	b.report("prod-2", held)
	got := b.getApp()
	want(t, got.condition("PruneHeld"), "deletions are held in prod-1, prod-2")
	want(t, got.condition("Ready"), "True")
	if got.Status.Fleet.Held != 2 {
		t.Errorf("counts %+v", got.Status.Fleet)
	}
	prunes := adminv1.NewPrunesServiceClient(b.conn)
	approve := &adminv1.ApproveRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Digest: set.String(), Confirm: 1}
	_, err := prunes.Approve(b.ctx, approve)
	wantCode(t, err, codes.FailedPrecondition, "1 clusters were confirmed and 2 hold the set")
	approve.Digest = fleet.DigestOf([]byte("other")).String()
	_, err = prunes.Approve(b.ctx, approve)
	wantCode(t, err, codes.NotFound, "no cluster holds the set")
	approve.Digest = set.String()
	approved := func(confirm uint32, cluster string, in ...string) {
		t.Helper()
		approve.Confirm, approve.Cluster = confirm, cluster
		if _, err := prunes.Approve(b.ctx, approve); err != nil {
			t.Fatal(err)
		}
		b.roll()
		instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization"})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range instances {
			if (i.Assignment.ApprovedPrune == set) != slices.Contains(in, i.Cluster) {
				t.Errorf("%s: approved %q", i.Cluster, i.Assignment.ApprovedPrune)
			}
		}
	}
	approved(1, "prod-2", "prod-2")
	approved(2, "", "prod-1", "prod-2")
}

func TestHeldPruneOfAMisspeltClusterIsNotFound(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	prunes := adminv1.NewPrunesServiceClient(b.conn)
	show := &adminv1.ShowRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "typo"}
	_, err := prunes.Show(b.ctx, show)
	wantCode(t, err, codes.NotFound, "Cluster/typo: not found")
	show.Cluster = "prod-1"
	if resp, err := prunes.Show(b.ctx, show); err != nil || len(resp.GetSets()) != 0 {
		t.Errorf("held %v, error %v; want none", resp.GetSets(), err)
	}
}
