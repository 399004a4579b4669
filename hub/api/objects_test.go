package api_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestAppliedObjectIsStoredOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for i, change := range []adminv1.Change{adminv1.Change_CHANGE_CREATED, adminv1.Change_CHANGE_UNCHANGED} {
		if got := b.apply(gitYAML).GetChange(); got != change {
			t.Errorf("time %d: %s, not %s", i+1, got, change)
		}
	}
	if got := b.apply(strings.Replace(gitYAML, "1m", "2m", 1)).GetChange(); got != adminv1.Change_CHANGE_CONFIGURED {
		t.Errorf("changed: %s", got)
	}
	_, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: "GitRepository", Namespace: "apps", Name: "other"})
	wantCode(t, err, codes.NotFound, "GitRepository/apps/other")
}

func TestInvalidObjectIsRefusedByField(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := b.try(strings.Replace(ksYAML, `"prune":true`, `"prune":true,"postBuilt":{}`, 1))
	wantCode(t, err, codes.InvalidArgument, "spec.postBuilt: not supported yet")
}

func TestSecondPlacementOfAnAppIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(placementYAML("app", prodApp))
	_, err := b.try(placementYAML("other", prodApp))
	wantCode(t, err, codes.FailedPrecondition, "Placement/apps/app")
}

func TestSourceInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.apply(ksYAML)
	_, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "GitRepository", Namespace: "apps", Name: "app"})
	wantCode(t, err, codes.FailedPrecondition, "Kustomization/apps/app")
}

func TestDeleteRefusesWhatDoesNotApplyToTheKind(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	orphan := adminv1.DeletePolicy_DELETE_POLICY_ORPHAN
	for words, request := range map[string]*adminv1.DeleteRequest{
		"policy: invalid: it is for Apps, and GitRepository is none":  {Kind: "GitRepository", Namespace: "apps", Name: "app", Policy: orphan},
		"policy: invalid: it is for Apps, and Placement is none":      {Kind: "Placement", Namespace: "apps", Name: "app", Policy: orphan},
		"policy: invalid: it is for Apps, and Cluster is none":        {Kind: "Cluster", Name: "prod-1", Policy: orphan},
		"policy 9: invalid: there is no such":                         {Kind: "Kustomization", Namespace: "apps", Name: "app", Policy: 9},
		"now: invalid: it is for Clusters, and Kustomization is none": {Kind: "Kustomization", Namespace: "apps", Name: "app", Now: true},
	} {
		_, err := b.objects.Delete(b.ctx, request)
		wantCode(t, err, codes.InvalidArgument, words)
	}
	b.getApp() // everything is still there
	b.get("Placement", "apps", "app", "")
	b.get("Cluster", "", "prod-1", "")
}

func TestAssignmentThatOnlyTheSpokeKnowsIsEndedByName(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	statuses, err := b.ClusterStatuses(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := statuses["prod-1"].ID
	session, err := b.OpenSession(b.ctx, id, fleet.StateID{}, fleet.ClusterFacts{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.StoreReports(b.ctx, id, fleet.ReportBatch{Session: session.Number, Sequence: 1, Unknown: []fleet.Key{appKey}}); err != nil {
		t.Fatal(err)
	}
	if got := b.get("Cluster", "", "prod-1", "").Status.UnknownAssignments; !slices.Equal(got, []string{"Kustomization/apps/app"}) {
		t.Errorf("unknown assignments %v", got)
	}
	end := &adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1"}
	_, err = b.objects.Delete(b.ctx, end)
	wantCode(t, err, codes.InvalidArgument, "--policy")
	end.Policy, end.Name = adminv1.DeletePolicy_DELETE_POLICY_ORPHAN, "other"
	_, err = b.objects.Delete(b.ctx, end)
	wantCode(t, err, codes.NotFound, "Kustomization/apps/other@prod-1")
	end.Name = "app"
	if _, err := b.objects.Delete(b.ctx, end); err != nil {
		t.Fatal(err)
	}
	b.roll()
	desired, _, _, err := b.DesiredState(b.ctx, session, fleet.StateID{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := fleet.DecodeAssignment(desired[appKey.String()])
	if err != nil || a.State != fleet.Removed || a.Tombstone.Delete {
		t.Errorf("assignment %+v, error %v", a, err)
	}
}
