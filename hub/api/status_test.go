package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestStatusOfAnAppFollowsItsClusters(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(ksYAML)
	want(t, b.getApp().condition("Ready"), "Unknown NotPlaced")
	b.running()
	if got := b.getApp(); got.Status.Fleet.Total != 2 || got.Status.Fleet.Unknown != 2 || got.Status.LastAppliedRevision != "" {
		t.Errorf("nobody connected: %+v", got.Status)
	}
	b.report("prod-1", ok)
	b.report("prod-2", func(r *fleet.Report) {
		r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "Deployment/apps/web: ErrImagePull"}
		r.NotReady = []fleet.ObjectStatus{{Object: fleet.ObjectRef{Kind: "Deployment", Namespace: "apps", Name: "web"}, Status: "Failed", Message: "ErrImagePull"}}
	})
	got := b.getApp()
	want(t, got.condition("Ready"), "False ReconciliationFailed prod-2: Deployment/apps/web: ErrImagePull")
	if f := got.Status.Fleet; f.Ready != 1 || f.Failed != 1 {
		t.Errorf("counts %+v", f)
	}
	instance := b.get("Kustomization", "apps", "app", "prod-2")
	want(t, instance.condition("Ready"), "False HealthCheckFailed Deployment/apps/web: ErrImagePull")
	if instance.Metadata.Annotations["fleet.flotilla.dev/cluster"] != "prod-2" || len(instance.Status.Fleet.NotReady) != 1 {
		t.Errorf("instance %+v", instance)
	}
	b.report("prod-2", ok)
	got = b.getApp()
	want(t, got.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:1 in 2 clusters")
	if got.Status.LastAppliedRevision != "main@sha1:1" || got.Status.LastAttemptedRevision != "main@sha1:1" {
		t.Errorf("revisions %+v", got.Status)
	}
}

func TestSilentClusterIsUnknownNotReady(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	if err := b.DisconnectSilent(b.ctx, -time.Second); err != nil {
		t.Fatal(err)
	}
	want(t, b.getApp().condition("Ready"), "Unknown")
	want(t, b.get("Kustomization", "apps", "app", "prod-1").condition("Ready"), "Unknown ClusterUnreachable the cluster was last heard of at")
	want(t, b.get("Cluster", "", "prod-1", "").condition("Connected"), "False ClusterUnreachable")
}

func TestReportOfAnOlderReleaseSaysNothingOfTheNew(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	if err := b.Blobs().PutWhole(b.ctx, []byte("two"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Released(b.ctx, 1, "main@sha1:2", fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte("two"))}); err != nil {
		t.Fatal(err)
	}
	b.roll()
	got := b.getApp()
	want(t, got.condition("Ready"), "Unknown Progressing waiting for prod-1, prod-2")
	if got.Status.LastAttemptedRevision != "main@sha1:2" || got.Status.LastAppliedRevision != "" {
		t.Errorf("revisions %+v", got.Status)
	}
	if i := b.get("Kustomization", "apps", "app", "prod-1"); i.Status.LastAppliedRevision != "main@sha1:1" {
		t.Errorf("instance %+v", i.Status)
	}
}

func TestPlacementSaysWhatItMatchesAndLacks(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	b.apply(placementYAML("app", `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchLabels":{"tier":"prod"}},"names":["nowhere"]}}`))
	want(t, b.get("Placement", "apps", "app", "").condition("Ready"), "False AppNotFound not declared: Kustomization/apps/app")
	b.apply(ksYAML)
	got := b.get("Placement", "apps", "app", "")
	want(t, got.condition("Ready"), "False ClusterNotFound not registered: nowhere")
	if !slices.Equal(got.Status.Matched, []string{"prod-1"}) {
		t.Errorf("matched %v", got.Status.Matched)
	}
}

func TestStatusNamesWhatIsHeldAndWhere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.heldAndBehind()
	status, err := adminv1.NewHubServiceClient(b.conn).Status(b.ctx, &adminv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if held := status.GetHeld(); len(held) != 1 || held[0].GetObject() != "Kustomization/apps/app" ||
		!slices.Equal(held[0].GetClusters(), []string{"prod-1", "prod-2"}) || held[0].GetMessage() != "1 deletion: everything would go" {
		t.Errorf("held %v", held)
	}
}

func TestStatusNamesWhatIsNotReadyBesidesApps(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.apply(strings.Replace(gitYAML, `"name":"app"`, `"name":"broken"`, 1))
	if err := b.BindSource(b.ctx, fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "broken", Generation: 1, Reason: "AuthenticationFailed", Message: "no Secret"}); err != nil {
		t.Fatal(err)
	}
	b.apply(placementYAML("lacking", `{"apps":[{"kind":"Kustomization","name":"none"}],"clusters":{"names":["prod-1"]}}`))
	status, err := adminv1.NewHubServiceClient(b.conn).Status(b.ctx, &adminv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, trouble := range status.GetTroubles() {
		got = append(got, trouble.GetObject()+": "+trouble.GetMessage())
	}
	if want := []string{"GitRepository/apps/broken: no Secret", "Placement/apps/lacking: not declared: Kustomization/apps/none"}; !slices.Equal(got, want) {
		t.Errorf("troubles %q, want %q", got, want)
	}
}

func TestSameTroubleInSeveralClustersIsOneWhateverItsPodsAreCalled(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	for cluster, pod := range map[string]string{"prod-1": "web-85c84c59dd-c4sng", "prod-2": "web-85c84c59dd-8kf2w"} {
		b.report(cluster, func(r *fleet.Report) {
			r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonHealthCheckFailed, Message: "ImagePullBackOff: container web of Pod " + pod + ": no such image"}
		})
	}
	status, err := adminv1.NewHubServiceClient(b.conn).Status(b.ctx, &adminv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if troubles := status.GetTroubles(); len(troubles) != 1 || !slices.Equal(troubles[0].GetClusters(), []string{"prod-1", "prod-2"}) {
		t.Errorf("troubles %v", troubles)
	}
	want(t, b.getApp().condition("Ready"), "prod-1, prod-2: ImagePullBackOff")
}
