package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"flotilla.dev/flotilla/hub/api"
	"flotilla.dev/flotilla/hub/auth"
	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/identity"
	"flotilla.dev/flotilla/pkg/rpc"
	"flotilla.dev/flotilla/pkg/rpc/rpctest"
	"flotilla.dev/flotilla/pkg/run"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

var appKey = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}

// bundle is the admin API on a database of its own, with a client that has a token.
type bundle struct {
	*store.Store
	t       *testing.T
	url     string // of the database
	ctx     context.Context
	conn    *grpc.ClientConn
	objects adminv1.ObjectsServiceClient
	apps    adminv1.AppsServiceClient
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	url := lab.TestDatabase(t)
	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), Log: log, MaxConnections: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	token, hash := identity.NewAdminToken()
	if err := s.AddAdminToken(t.Context(), store.System, "user:admin", hash); err != nil {
		t.Fatal(err)
	}
	watch := func() (run.Wake, func()) {
		return s.Watch(store.TopicObjects, store.TopicSources, store.TopicApps, store.TopicReports)
	}
	server := api.New(api.Config{Store: s, Caller: auth.Caller, Watch: watch, Pin: root.Authority().Pin(), SpokeAddress: "hub:8443", Version: "v1", Log: log,
		WatchEvents: func() (run.Wake, func()) { return s.Watch(store.TopicEvents) }})
	guard := auth.New(s)
	served := rpctest.Serve(t, rpc.ServerConfig{Name: "admin", Log: log, Authorize: guard.Authorize}, server.Register)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- run.All(ctx, run.Named{Name: "store", Task: s.Run}, run.Named{Name: "admin", Task: server.Run})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn := served.Dial(t, rpc.DialConfig{UserAgent: "test"})
	return &bundle{Store: s, t: t, url: url, conn: conn, ctx: metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token),
		objects: adminv1.NewObjectsServiceClient(conn), apps: adminv1.NewAppsServiceClient(conn)}
}

const (
	gitYAML = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`
	ksYAML  = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":"GitRepository","name":"app"}}}`
)

func placementYAML(name, spec string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"` + name + `","namespace":"apps"},"spec":` + spec + `}`
}

func clusterYAML(name, tier string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"` + name + `","labels":{"tier":"` + tier + `"}}}`
}

const prodApp = `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchLabels":{"tier":"prod"}}},"onUnmatch":"Prune"}`

func (b *bundle) try(object string) (*adminv1.ApplyResponse, error) {
	return b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(object)})
}

func (b *bundle) apply(object string) *adminv1.ApplyResponse {
	b.t.Helper()
	resp, err := b.try(object)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp
}

// running declares the App on two prod clusters and rolls a Release out to them.
func (b *bundle) running() fleet.Release {
	b.t.Helper()
	for _, object := range []string{clusterYAML("prod-1", "prod"), clusterYAML("prod-2", "prod"), clusterYAML("dev-1", "dev"), gitYAML, ksYAML, placementYAML("app", prodApp)} {
		b.apply(object)
	}
	if err := b.Blobs().PutWhole(b.ctx, []byte("one"), nil); err != nil {
		b.t.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte("one")), Prune: true}
	if _, err := b.Released(b.ctx, 1, "main@sha1:1", release); err != nil {
		b.t.Fatal(err)
	}
	b.roll()
	return release
}

func (b *bundle) roll() {
	b.t.Helper()
	if _, err := b.Roll(b.ctx, appKey, rollout.Next); err != nil {
		b.t.Fatal(err)
	}
}

// report lets a cluster's spoke say something of the App.
func (b *bundle) report(cluster string, change func(*fleet.Report)) {
	b.t.Helper()
	instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization", Cluster: cluster})
	if err != nil || len(instances) != 1 {
		b.t.Fatalf("instances %v, error %v", instances, err)
	}
	i := instances[0]
	session, err := b.OpenSession(b.ctx, i.ClusterID, fleet.StateID{}, fleet.ClusterFacts{SpokeVersion: "v1", KubernetesVersion: "v1.36.3"})
	if err != nil {
		b.t.Fatal(err)
	}
	digest := i.Assignment.Release.Digest()
	report := fleet.Report{App: appKey, Epoch: 1, Generation: i.Assignment.Generation, Release: digest, Applied: digest, Stage: fleet.StageSettled,
		Converged: true, Available: true, Waiting: fleet.WaitingNone, Objects: 1, ObservedAt: time.Now(),
		Ready:   fleet.Condition{Status: fleet.True, Reason: fleet.ReasonSucceeded, Message: "applied"},
		Healthy: fleet.Condition{Status: fleet.True, Reason: "Healthy"}}
	change(&report)
	batch := fleet.ReportBatch{Session: session.Number, Sequence: 1, Reports: []fleet.Report{report}}
	if err := b.StoreReports(b.ctx, i.ClusterID, batch); err != nil {
		b.t.Fatal(err)
	}
}

func ok(*fleet.Report) {}

// shown is the part of an object that tests look at.
type shown struct {
	Metadata struct {
		Name            string            `json:"name"`
		Generation      int64             `json:"generation"`
		ResourceVersion string            `json:"resourceVersion"`
		Annotations     map[string]string `json:"annotations"`
	} `json:"metadata"`
	Status struct {
		ObservedGeneration int64 `json:"observedGeneration"`
		Conditions         []struct {
			Type, Status, Reason, Message string
			ObservedGeneration            int64
			LastTransitionTime            time.Time
		} `json:"conditions"`
		LastAppliedRevision    string `json:"lastAppliedRevision"`
		LastAttemptedRevision  string `json:"lastAttemptedRevision"`
		LastHandledReconcileAt string `json:"lastHandledReconcileAt"`
		Fleet                  struct {
			Total, Ready, Progressing, Failed, Unknown, Suspended, Held int
			NotReady                                                    []fleet.ObjectStatus
		} `json:"fleet"`
		Matched            []string `json:"matched"`
		UnknownAssignments []string `json:"unknownAssignments"`
	} `json:"status"`
}

func (s shown) condition(kind string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == kind {
			return c.Status + " " + c.Reason + " " + c.Message
		}
	}
	return ""
}

func (b *bundle) get(kind, namespace, name, cluster string) shown {
	b.t.Helper()
	resp, err := b.objects.Get(b.ctx, &adminv1.GetRequest{Kind: kind, Namespace: namespace, Name: name, Cluster: cluster})
	if err != nil {
		b.t.Fatal(err)
	}
	var o shown
	if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
		b.t.Fatal(err)
	}
	return o
}

func (b *bundle) getApp() shown { b.t.Helper(); return b.get("Kustomization", "apps", "app", "") }

func want(t *testing.T, got, words string) {
	t.Helper()
	if !strings.Contains(got, words) {
		t.Errorf("%q does not say %q", got, words)
	}
}

func wantCode(t *testing.T, err error, want codes.Code, words string) {
	t.Helper()
	if status.Code(err) != want || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, not %s with %q", err, want, words)
	}
}

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
	_, err := b.try(strings.Replace(ksYAML, `"prune":true`, `"prune":true,"postBuild":{}`, 1))
	wantCode(t, err, codes.InvalidArgument, "spec.postBuild: not supported yet")
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
	approve.Digest, approve.Confirm = set.String(), 2
	if _, err = prunes.Approve(b.ctx, approve); err != nil {
		t.Fatal(err)
	}
	b.roll()
	instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization"})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		if i.Assignment.ApprovedPrune != set {
			t.Errorf("%s: approved %s", i.Cluster, i.Assignment.ApprovedPrune)
		}
	}
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
	desired, _, _, err := b.DesiredState(b.ctx, session)
	if err != nil {
		t.Fatal(err)
	}
	a, err := fleet.DecodeAssignment(desired[appKey.String()])
	if err != nil || a.State != fleet.Removed || a.Tombstone.Delete {
		t.Errorf("assignment %+v, error %v", a, err)
	}
}

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

func TestPagesAddUpToTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for i := range 7 {
		b.apply(clusterYAML(fmt.Sprintf("c-%d", i), "prod"))
	}
	var names []string
	for token := ""; ; {
		resp, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Cluster", Limit: 3, PageToken: token, LabelSelector: "tier in (prod, canary)"})
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range resp.GetObjects() {
			var o shown
			if err := json.Unmarshal(raw, &o); err != nil {
				t.Fatal(err)
			}
			names = append(names, o.Metadata.Name)
		}
		if token = resp.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(names) != 7 || !slices.IsSorted(names) {
		t.Errorf("names %v", names)
	}
}

func TestWatchContinuesFromTheList(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("old", "prod"))
	list, err := b.objects.List(b.ctx, &adminv1.ListRequest{Kind: "Cluster"})
	if err != nil {
		t.Fatal(err)
	}
	b.apply(clusterYAML("between", "prod"))
	if _, err := b.objects.Delete(b.ctx, &adminv1.DeleteRequest{Kind: "Cluster", Name: "old", Now: true}); err != nil {
		t.Fatal(err)
	}
	watch, err := b.objects.Watch(b.ctx, &adminv1.WatchRequest{Kind: "Cluster", WatchToken: list.GetWatchToken()})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]adminv1.WatchEvent{}
	next := func(name string) {
		t.Helper()
		for got[name] == 0 {
			resp, err := watch.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if resp.GetEvent() == adminv1.WatchEvent_WATCH_EVENT_BOOKMARK {
				continue
			}
			var o shown
			if err := json.Unmarshal(resp.GetObject(), &o); err != nil {
				t.Fatal(err)
			}
			got[o.Metadata.Name] = resp.GetEvent()
		}
	}
	next("between")
	next("old")
	b.apply(clusterYAML("after", "prod"))
	next("after")
	if got["between"] != adminv1.WatchEvent_WATCH_EVENT_CHANGED || got["old"] != adminv1.WatchEvent_WATCH_EVENT_DELETED {
		t.Errorf("events %v", got)
	}
	foreign, err := b.objects.Watch(b.ctx, &adminv1.WatchRequest{Kind: "Cluster", WatchToken: "other.1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = foreign.Recv()
	wantCode(t, err, codes.OutOfRange, "list again")
}

func TestEventIsWatchedOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := client.Watch(b.ctx, &adminv1.EventsServiceWatchRequest{WatchToken: list.GetWatchToken(), Filter: &adminv1.EventFilter{Kind: "Kustomization"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		resp, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.GetEvent().GetReason(); got != fmt.Sprint(i) {
			t.Errorf("event %s, want %d", got, i)
		}
	}
}

func TestRegisterRefusesToChangeTheLabelsOfAClusterThatIsThere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	clusters := adminv1.NewClustersServiceClient(b.conn)
	b.apply(clusterYAML("prod-1", "prod"))
	for _, labels := range []map[string]string{nil, {"tier": "prod"}} {
		if _, err := clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "prod-1", Labels: labels}); err != nil {
			t.Errorf("with labels %v: %v", labels, err)
		}
	}
	_, err := clusters.Register(b.ctx, &adminv1.RegisterRequest{Name: "prod-1", Labels: map[string]string{"tier": "canary"}})
	wantCode(t, err, codes.FailedPrecondition, "Cluster/prod-1: conflict: it is there with other labels (tier=prod): apply the Cluster to change them, or register it without --label")
}

func TestEventsAreFilteredByTime(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewEventsServiceClient(b.conn)
	at := time.Now().Truncate(time.Second)
	for reason, age := range map[string]time.Duration{"Old": 2 * time.Hour, "New": time.Minute} {
		if err := b.AddEvent(b.ctx, fleet.FleetEvent{At: at.Add(-age), Kind: "Kustomization", Namespace: "apps", Name: "app", Reason: reason}); err != nil {
			t.Fatal(err)
		}
	}
	for since, want := range map[*timestamppb.Timestamp]int{nil: 2, timestamppb.New(at.Add(-time.Hour)): 1, timestamppb.New(at): 0} {
		list, err := client.List(b.ctx, &adminv1.EventsServiceListRequest{Filter: &adminv1.EventFilter{Since: since}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(list.GetEvents()); got != want {
			t.Errorf("since %v: %d events, want %d", since, got, want)
		}
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
	if err := b.BindSource(b.ctx, "GitRepository", "apps", "broken", 1, fleet.Digest{}, "AuthenticationFailed", "no Secret"); err != nil {
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
}
