package api_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestReconcileWithSourcePassesTheRequestOnOnceTheSourceWasLookedAt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", WithSource: true})
	if err != nil {
		t.Fatal(err)
	}
	requested := func() string {
		t.Helper()
		b.roll()
		instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization", Cluster: "prod-1"})
		if err != nil {
			t.Fatal(err)
		}
		return instances[0].Assignment.RequestedAt
	}
	if got := requested(); got != "" {
		t.Errorf("passed on before the source was looked at: %q", got)
	}
	if err := b.BindSource(b.ctx, "GitRepository", "apps", "app", 1, fleet.DigestOf([]byte("u")), "", ""); err != nil {
		t.Fatal(err)
	}
	if err := b.SourceHandled(b.ctx, "GitRepository", "apps", "app", resp.GetRequestedAt()); err != nil {
		t.Fatal(err)
	}
	if got := requested(); got != resp.GetRequestedAt() {
		t.Errorf("request %q, want %q", got, resp.GetRequestedAt())
	}
}

func TestSuspendedAppIsNotReconciledUntilResumed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	b.apply(ksYAML)
	if _, err := b.apps.Suspend(b.ctx, &adminv1.SuspendRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	_, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	wantCode(t, err, codes.FailedPrecondition, "it is suspended")
	if _, err := b.apps.Resume(b.ctx, &adminv1.ResumeRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
}

func TestReconcileInAMisspeltClusterBlamesTheCluster(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	request := &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "typo"}
	_, err := b.apps.Reconcile(b.ctx, request)
	wantCode(t, err, codes.NotFound, "Cluster/typo: not found")
	request.Cluster = "dev-1"
	_, err = b.apps.Reconcile(b.ctx, request)
	wantCode(t, err, codes.NotFound, "Kustomization/apps/app@dev-1: not found")
}
