package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestImpactIsWhatTheRolloutWillDo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	for _, test := range []struct {
		name   string
		change func(dryRun bool, confirm *uint32) (*adminv1.Impact, error)
		want   *adminv1.Impact
	}{
		{"delete an App", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			resp, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 2, Deletes: true}},
		{"delete it and leave its objects", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			resp, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", DryRun: dryRun, Confirm: confirm, Policy: adminv1.DeletePolicy_DELETE_POLICY_ORPHAN})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 2}},
		{"no longer match one cluster", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			spec := strings.Replace(prodApp, `"selector":{"matchLabels":{"tier":"prod"}}`, `"names":["prod-1"]`, 1)
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(placementYAML("app", spec)), DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 1, Deletes: true}},
		{"mean every cluster", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			spec := strings.Replace(prodApp, `{"matchLabels":{"tier":"prod"}}`, `{}`, 1)
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(placementYAML("app", spec)), DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 3, EveryCluster: true}},
		{"mean every cluster and drop an App", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			spec := strings.NewReplacer(`"name":"app"`, `"name":"other"`, `{"matchLabels":{"tier":"prod"}}`, `{}`).Replace(prodApp)
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(placementYAML("app", spec)), DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 3, Deletes: true, EveryCluster: true, Summary: "objects may be deleted in 2 clusters; it means every cluster, 3 now, and those to come"}},
		{"relabel a cluster", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			resp, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(clusterYAML("prod-1", "dev")), DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 1, Deletes: true}},
		{"delete a cluster", func(dryRun bool, confirm *uint32) (*adminv1.Impact, error) {
			resp, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Cluster", Name: "prod-1", DryRun: dryRun, Confirm: confirm})
			return resp.GetImpact(), err
		}, &adminv1.Impact{Clusters: 1}},
	} {
		got, err := test.change(true, nil)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if test.want.GetSummary() == "" {
			got.Summary = ""
		}
		if !proto.Equal(got, test.want) {
			t.Errorf("%s: impact %v, want %v", test.name, got, test.want)
		}
		_, err = test.change(true, proto.Uint32(test.want.GetClusters()+1))
		wantCode(t, err, codes.FailedPrecondition, "were confirmed")
	}
}

func TestConfirmedDeletionIsCarriedByTheTombstones(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	if _, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Confirm: proto.Uint32(2)}); err != nil {
		t.Fatal(err)
	}
	b.roll()
	instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		if tomb := i.Assignment.Tombstone; tomb == nil || !tomb.Delete || !tomb.Confirmed {
			t.Errorf("%s: tombstone %+v", i.Cluster, tomb)
		}
	}
}

// With a policy a change does not go everywhere at once, and is not said to.
func TestImpactUnderARolloutPolicyIsTheRolloutThatBegins(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	try := func(object string) *adminv1.Impact {
		t.Helper()
		resp, err := f.objects.Apply(f.ctx, &adminv1.ApplyRequest{Object: []byte(object), DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetImpact()
	}
	unplaced := placementYAML("app", strings.Replace(managedEverywhere, `"name":"app"`, `"name":"other"`, 1))
	f.apply(unplaced)
	f.push("one")
	placed := placementYAML("app", managedEverywhere)
	if got := try(placed); got.GetClusters() != 1 || got.GetSummary() != "it touches 1 cluster; a rollout of Kustomization/apps/app over 3 clusters begins" {
		t.Errorf("placing it: %v", got)
	}
	f.apply(placed)
	f.approved()
	if got := try(placementYAML("app", strings.Replace(managedEverywhere, `,"rolloutPolicyRef":{"name":"prod"}`, "", 1))); got.GetClusters() != 0 {
		t.Errorf("without a policy, with all clusters at the newest Release: %v", got)
	}
	moved := strings.Replace(ksYAML, `"prune":true`, `"prune":true,"path":"./other"`, 1)
	if got := try(moved); got.GetSummary() != "a new Release that comes of it goes through the clusters by RolloutPolicy/prod" {
		t.Errorf("another path: %v", got)
	}
	suspended := strings.Replace(ksYAML, `"prune":true`, `"prune":true,"suspend":true`, 1)
	if got := try(suspended); got.GetClusters() != 3 || got.GetSummary() != "it touches 3 clusters" {
		t.Errorf("suspending it: %v", got)
	}
	if got := try(policyYAML("prod", `{"waves":[{"name":"all"}]}`)); got.GetClusters() != 0 || got.GetSummary() != "the next rollouts of Kustomization/apps/app go by it" {
		t.Errorf("another policy: %v", got)
	}
	_, err := f.objects.Delete(f.ctx, &adminv1.DeleteRequest{Kind: "RolloutPolicy", Name: "prod", DryRun: true})
	wantCode(t, err, codes.FailedPrecondition, "it is named by Placement/apps/app")
	two := f.push("two")
	if got := try(placementYAML("app", strings.Replace(managedEverywhere, `,"rolloutPolicyRef":{"name":"prod"}`, "", 1))); got.GetClusters() != 3 || got.GetSummary() != "it touches 3 clusters" {
		t.Errorf("without a policy, with a newer Release %s: %v", two.Digest(), got)
	}
}
