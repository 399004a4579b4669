package api_test

import (
	"strings"
	"testing"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestChangeThatEndsOrShrinksARolloutUnderWayNamesIt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.apply(placementYAML("app", prunedEverywhere))
	f.push("one")
	f.approved()
	f.push("two")
	id := f.waiting().GetId()
	ends := "it ends rollout " + id + " of Kustomization/apps/app, which is Running"
	takes := func(clusters string) string {
		return "it takes " + clusters + " out of rollout " + id + " of Kustomization/apps/app, which is Running"
	}
	deletes := func(kind, namespace, name string, now bool) func() (*adminv1.Impact, error) {
		return func() (*adminv1.Impact, error) {
			resp, err := f.objects.Delete(f.ctx, &adminv1.DeleteRequest{Kind: kind, Namespace: namespace, Name: name, Now: now, DryRun: true})
			return resp.GetImpact(), err
		}
	}
	applies := func(object string) func() (*adminv1.Impact, error) {
		return func() (*adminv1.Impact, error) { return f.change(object, true, nil) }
	}
	unmanaged := applies(placementYAML("app", strings.Replace(prunedEverywhere, `,"rolloutPolicyRef":{"name":"prod"}`, "", 1)))
	for _, test := range []struct {
		name   string
		change func() (*adminv1.Impact, error)
		want   string
	}{
		{"delete the Placement", deletes("Placement", "apps", "app", false), "objects may be deleted in 3 clusters; " + ends},
		{"delete the App", deletes("Kustomization", "apps", "app", false), "objects may be deleted in 3 clusters; " + ends},
		{"name no policy, which lets it go on", unmanaged, ""},
		{"choose fewer clusters", applies(prunedOn("canary")), "objects may be deleted in 2 clusters; " + takes("2 of 3 clusters")},
		{"delete a cluster", deletes("Cluster", "", "prod-2", false), "it lets go of 1 cluster: what is there stays as it is; " + takes("1 of 3 clusters")},
		{"delete a cluster now", deletes("Cluster", "", "prod-2", true), takes("1 of 3 clusters")},
		{"suspend the App", applies(strings.Replace(ksYAML, `"prune":true`, `"prune":true,"suspend":true`, 1)), "it touches 3 clusters"},
	} {
		got, err := test.change()
		if err != nil || got.GetSummary() != test.want {
			t.Errorf("%s: %q, %v; want %q", test.name, got.GetSummary(), err, test.want)
		}
		if n := strings.Count(test.want, "rollout "); int(got.GetRollouts()) != n {
			t.Errorf("%s: is about %d rollouts, want %d", test.name, got.GetRollouts(), n)
		}
	}
	if _, err := f.rollouts.PauseRollout(f.ctx, &adminv1.PauseRolloutRequest{App: appRollout()}); err != nil {
		t.Fatal(err)
	}
	if got, err := unmanaged(); err != nil || !strings.Contains(got.GetSummary(), strings.Replace(ends, "Running", "Paused", 1)) {
		t.Errorf("name no policy: %q, %v", got.GetSummary(), err)
	}
}

// A cluster may be in a Rollout before it has the App.
func TestDeletionOfAClusterNamesARolloutThatHasNotReachedIt(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.push("one")
	f.waiting()
	resp, err := f.objects.Delete(f.ctx, &adminv1.DeleteRequest{Kind: "Cluster", Name: "prod-2", DryRun: true})
	if got := resp.GetImpact().GetSummary(); err != nil || !strings.HasPrefix(got, "it takes 1 of 3 clusters out of rollout ") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDeletionThatDeletesNothingInClustersSaysThatItLetsGoOfThem(t *testing.T) {
	t.Parallel()
	f := newRolled(t, canaryFirst)
	f.apply(placementYAML("app", managedEverywhere))
	f.push("one")
	f.approved()
	for _, test := range []struct {
		request *adminv1.DeleteRequest
		want    string
	}{
		{&adminv1.DeleteRequest{Kind: "Placement", Namespace: "apps", Name: "app"}, "it lets go of 3 clusters: what is there stays as it is"},
		{
			&adminv1.DeleteRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Policy: adminv1.DeletePolicy_DELETE_POLICY_ORPHAN},
			"it lets go of 3 clusters: what is there stays as it is",
		},
		{&adminv1.DeleteRequest{Kind: "Cluster", Name: "prod-1"}, "it lets go of 1 cluster: what is there stays as it is"},
	} {
		test.request.DryRun = true
		resp, err := f.objects.Delete(f.ctx, test.request)
		if got := resp.GetImpact(); err != nil || got.GetSummary() != test.want || got.GetDeletes() || got.GetRollouts() != 0 {
			t.Errorf("%v: %v, %v", test.request, got, err)
		}
	}
}
