package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// Who waits for a request to be served must not be told of the failure that it is about.
func TestRequestOfAnAppThatFailedIsServedOnceItIsBuiltAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	fail := func(request, message string) {
		t.Helper()
		failure := fleet.BuildFailure{Generation: 1, Revision: "main@sha1:2", RequestedAt: request, Reason: fleet.ReasonBuildFailed, Message: message}
		if err := b.NotReleased(b.ctx, appKey, failure); err != nil {
			t.Fatal(err)
		}
	}
	handled := func() string {
		t.Helper()
		resp, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
		if err != nil {
			t.Fatal(err)
		}
		var o struct {
			Status struct{ LastHandledReconcileAt string }
		}
		if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
			t.Fatal(err)
		}
		return o.Status.LastHandledReconcileAt
	}
	fail("", "too slow")
	resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	b.roll()
	for _, cluster := range []string{"prod-1", "prod-2"} {
		b.report(cluster, func(r *fleet.Report) { r.HandledReconcileAt = resp.GetRequestedAt() })
	}
	if got := handled(); got != "" {
		t.Errorf("served at %q before it was built again", got)
	}
	fail(resp.GetRequestedAt(), "too slow again")
	if got := handled(); got != resp.GetRequestedAt() {
		t.Errorf("served at %q, asked %q", got, resp.GetRequestedAt())
	}
	want(t, b.getApp().condition("Ready"), "too slow again")
}

func TestSourceIsNotReadyForWhatItMeantBefore(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(gitYAML)
	digest := fleet.DigestOf([]byte("tree"))
	if err := b.Blobs().PutWhole(b.ctx, []byte("tree"), nil); err != nil {
		t.Fatal(err)
	}
	bind := func(upstream string) {
		t.Helper()
		if err := b.BindSource(b.ctx, fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: fleet.DigestOf([]byte(upstream)), Remote: fleet.DigestOf([]byte(upstream))}); err != nil {
			t.Fatal(err)
		}
	}
	bind("one")
	claimed, err := b.ClaimUpstreams(b.ctx, 1, nil)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v, error %v", claimed, err)
	}
	if err := b.SaveLook(b.ctx, claimed[0].ID, fleet.Looked{Revision: "main@sha1:1", Tree: digest, TreeBlob: digest}, time.Hour); err != nil {
		t.Fatal(err)
	}
	want(t, b.get("GitRepository", "apps", "app", "").condition("Ready"), "True")
	bind("two")
	source := b.get("GitRepository", "apps", "app", "")
	want(t, source.condition("Ready"), "Unknown Progressing")
	want(t, source.condition("ArtifactInStorage"), "main@sha1:1")
}
