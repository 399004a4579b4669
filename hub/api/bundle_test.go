package api_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

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
	// rollouts is used by tests of Rollouts.
	rollouts adminv1.RolloutsServiceClient
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	return newBundleThat(t, false)
}

// newBundleThat lets Apps have Sources of other namespaces, or not.
func newBundleThat(t *testing.T, crossing bool) *bundle {
	t.Helper()
	root, err := identity.CreateKey(t.TempDir() + "/hub.key")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	url := lab.TestDatabaseFrom(t, "schema", store.Migrate)
	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: root, KeyFingerprint: root.Fingerprint(), CrossNamespaceRefs: crossing, Log: log, MaxConnections: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	token, hash := identity.NewAdminToken()
	if err := s.AddAdminToken(t.Context(), store.System, "user:admin", hash); err != nil {
		t.Fatal(err)
	}
	watch := func() (run.Wake, func()) {
		return s.Watch(store.TopicObjects, store.TopicSources, store.TopicApps, store.TopicReports, store.TopicRollouts)
	}
	server := api.New(api.Config{Store: s, Blobs: s.Blobs(), Caller: auth.Caller, Watch: watch, Pin: root.Authority().Pin(), SpokeAddress: "hub:8443", CrossNamespaceRefs: crossing, Version: "v1", Log: log,
		WatchEvents:   func() (run.Wake, func()) { return s.Watch(store.TopicEvents) },
		WatchRollouts: func() (run.Wake, func()) { return s.Watch(store.TopicRollouts) }})
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
		objects: adminv1.NewObjectsServiceClient(conn), apps: adminv1.NewAppsServiceClient(conn), rollouts: adminv1.NewRolloutsServiceClient(conn)}
}

const (
	gitYAML = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`
	ksYAML  = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":"GitRepository","name":"app"}}}`
)

func helmReleaseYAML(name, more string) string {
	return `{"apiVersion":"helm.toolkit.fluxcd.io/v2","kind":"HelmRelease","metadata":{"name":"` + name + `","namespace":"apps"},"spec":{"interval":"10m","chartRef":{"kind":"OCIRepository","name":"web"}` + more + `}}`
}

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
		Artifact           struct{ Revision string }
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
