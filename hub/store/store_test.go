package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/hub/rollout"
	"flotilla.dev/flotilla/hub/store"
	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/resource"
	"flotilla.dev/flotilla/test/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

var admin = fleet.Caller{Principal: "user:admin"}

// plain is a Sealer that shows in a dump what it was given.
type plain struct{}

func (plain) Seal(plaintext, aad []byte) []byte { return append([]byte(string(aad)+"|"), plaintext...) }
func (plain) Open(sealed, aad []byte) ([]byte, error) {
	text, found := strings.CutPrefix(string(sealed), string(aad)+"|")
	if !found {
		return nil, errors.New("sealed for another row")
	}
	return []byte(text), nil
}

func (plain) MAC(data []byte) fleet.Digest { return fleet.DigestOf(append([]byte("key"), data...)) }

// bundle is a Store on a database of its own, with what a test needs around it.
type bundle struct {
	*store.Store
	t   *testing.T
	url string
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	return openBundle(t, lab.TestDatabaseFrom(t, "schema", store.Migrate))
}

func openBundle(t *testing.T, url string) *bundle {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("key")), Log: slog.New(slog.DiscardHandler), MaxConnections: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &bundle{Store: s, t: t, url: url}
}

func object(t testing.TB, text string) *resource.Object {
	t.Helper()
	o, err := resource.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (b *bundle) apply(text string) (resource.Change, fleet.Impact) {
	b.t.Helper()
	_, change, impact, err := b.ApplyObject(b.t.Context(), admin, object(b.t, text), fleet.Order{})
	if err != nil {
		b.t.Fatal(err)
	}
	return change, impact
}

const (
	gitYAML = `{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"GitRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"1m","url":"http://git.example.com/app"}}`
	ksYAML  = `{"apiVersion":"kustomize.toolkit.fluxcd.io/v1","kind":"Kustomization","metadata":{"name":"app","namespace":"apps"},"spec":{"interval":"10m","prune":true,"sourceRef":{"kind":"GitRepository","name":"app"}}}`
)

func placementYAML(spec string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Placement","metadata":{"name":"app","namespace":"apps"},"spec":` + spec + `}`
}

func clusterYAML(name, tier string) string {
	return `{"apiVersion":"fleet.flotilla.dev/v1alpha1","kind":"Cluster","metadata":{"name":"` + name + `","labels":{"tier":"` + tier + `"}}}`
}

const everywhere = `{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{}}}`

var appKey = fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "app"}

// release stores a Release whose Manifest is made of text, at a Revision.
func (b *bundle) release(revision, text string) fleet.Release {
	b.t.Helper()
	if err := b.Blobs().PutWhole(b.t.Context(), []byte(text), nil); err != nil {
		b.t.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte(text)), Prune: true}
	if _, err := b.Released(b.t.Context(), 1, fleet.Revision(revision), release); err != nil {
		b.t.Fatal(err)
	}
	return release
}

// roll steps every App about which something changed, until nothing does.
func (b *bundle) roll() {
	b.t.Helper()
	apps, _, err := b.AppsChanged(b.t.Context(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, app := range apps {
		if _, err := b.Roll(b.t.Context(), app, rollout.Next); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.FinishClusters(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// placed declares the App, and places it on one cluster, prod-1.
func (b *bundle) placed() {
	b.t.Helper()
	for _, declared := range []string{clusterYAML("prod-1", "prod"), gitYAML, ksYAML, placementYAML(everywhere)} {
		b.apply(declared)
	}
}

// running is placed, with a Release rolled out to the cluster.
func (b *bundle) running() {
	b.t.Helper()
	b.placed()
	b.release("main@sha1:1", "one")
	b.roll()
}

func (b *bundle) instances() map[string]fleet.Instance {
	b.t.Helper()
	found, _, err := b.Instances(b.t.Context(), fleet.InstanceQuery{Kind: "Kustomization"})
	if err != nil {
		b.t.Fatal(err)
	}
	byCluster := map[string]fleet.Instance{}
	for _, i := range found {
		byCluster[i.Cluster] = i
	}
	return byCluster
}

// connect opens a session of the cluster of that name.
func (b *bundle) connect(name string, held fleet.StateID) fleet.Session {
	b.t.Helper()
	statuses, err := b.ClusterStatuses(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	session, err := b.OpenSession(b.t.Context(), statuses[name].ID, held, fleet.ClusterFacts{})
	if err != nil {
		b.t.Fatal(err)
	}
	return session
}

func TestReleaseReachesEveryPlacedClusterAndNoOther(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("canary-1", "canary"))
	b.apply(clusterYAML("prod-1", "prod"))
	b.apply(clusterYAML("dev-1", "dev"))
	b.apply(gitYAML)
	b.apply(ksYAML)
	b.apply(placementYAML(`{"apps":[{"kind":"Kustomization","name":"app"}],"clusters":{"selector":{"matchLabels":{"tier":"prod"}},"names":["canary-1"]}}`))
	b.roll()
	if got := b.instances(); len(got) != 0 {
		t.Fatalf("assigned before there is a Release: %v", got)
	}
	release := b.release("main@sha1:1", "one")
	b.roll()
	got := b.instances()
	if len(got) != 2 || got["canary-1"].Assignment.Release.Digest() != release.Digest() || got["prod-1"].Attempted != "main@sha1:1" {
		t.Fatalf("instances %+v", got)
	}
}

func TestUntouchedAppIsAtTheNewRevisionWithNothingSent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	session := b.connect("prod-1", fleet.StateID{})
	_, first, _, err := b.DesiredState(t.Context(), session, fleet.StateID{})
	if err != nil {
		t.Fatal(err)
	}
	b.release("main@sha1:2", "one")
	b.roll()
	_, second, _, err := b.DesiredState(t.Context(), session, fleet.StateID{})
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Errorf("the state moved from %s to %s", first, second)
	}
	if got := b.instances()["prod-1"].Attempted; got != "main@sha1:2" {
		t.Errorf("attempted revision %q", got)
	}
}

func TestControlsReachTheSpokeWithoutANewPin(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	before := b.instances()["prod-1"].Assignment
	if _, _, err := b.Suspend(t.Context(), admin, "Kustomization", "apps", "app", false); err != nil {
		t.Fatal(err)
	}
	b.roll()
	after := b.instances()["prod-1"].Assignment
	if !after.Suspend || after.Generation <= before.Generation || after.Pin != before.Pin {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestOnlyTheLastManifestsOfAnAssignmentMayBeFetched(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.placed()
	var generations []uint64
	var manifests []fleet.Digest
	for n := range 6 {
		release := b.release(fmt.Sprint("main@sha1:", n), fmt.Sprint("manifest ", n))
		b.roll()
		generations = append(generations, b.instances()["prod-1"].Assignment.Generation)
		manifests = append(manifests, release.Manifest)
	}
	id := b.instances()["prod-1"].ClusterID
	for n, generation := range generations {
		manifest, superseded, held, err := b.FetchableManifest(t.Context(), id, appKey, 1, generation)
		if err != nil {
			t.Fatal(err)
		}
		want := manifests[n]
		if n < 2 {
			want = manifests[5] // older than the last four: the newest is named in its place
		}
		if manifest != want || superseded != (n < 5) || len(held) != 4 {
			t.Errorf("generation %d of 6: manifest %s, superseded %t, %d held", n+1, manifest, superseded, len(held))
		}
	}
	if _, _, _, err := b.FetchableManifest(t.Context(), id, appKey, 1, generations[5]+1); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("a generation that was never made: error %v, not ErrNotFound", err)
	}
}

func TestNameAskedForIsNoPattern(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	for name, want := range map[string]int{"app": 1, "": 1, "%": 0, "a_p": 0, `a\p`: 0} {
		found, _, err := b.Instances(t.Context(), fleet.InstanceQuery{Kind: "Kustomization", Namespace: "apps", Name: name})
		if err != nil || len(found) != want {
			t.Errorf("name %q: %d found, error %v", name, len(found), err)
		}
	}
}

func TestStateOfAnOlderDatabaseIsSafeMode(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	session := b.connect("prod-1", fleet.StateID{})
	_, issued, safe, err := b.DesiredState(t.Context(), session, fleet.StateID{})
	if err != nil || safe != "" {
		t.Fatalf("safe mode %q, error %v", safe, err)
	}
	if s := b.connect("prod-1", issued); s.SafeMode != "" {
		t.Errorf("safe mode for a state it issued: %s", s.SafeMode)
	}
	if s := b.connect("prod-1", fleet.StateID{Epoch: issued.Epoch, Version: issued.Version}); s.SafeMode != "" {
		t.Errorf("safe mode for a high-water mark it issued: %s", s.SafeMode)
	}
	ahead := fleet.StateID{Epoch: 1, Version: 7, Digest: fleet.DigestOf([]byte("x"))}
	if s := b.connect("prod-1", ahead); s.SafeMode == "" {
		t.Error("no safe mode for a state it never issued")
	}
	session = b.connect("prod-1", ahead)
	if _, _, safe, err := b.DesiredState(t.Context(), session, fleet.StateID{}); err != nil || safe == "" {
		t.Errorf("state sent in safe mode; error %v", err)
	}
	if _, err := b.EndRecovery(t.Context(), admin, false); err != nil {
		t.Fatal(err)
	}
	_, next, safe, err := b.DesiredState(t.Context(), session, fleet.StateID{})
	if err != nil || safe != "" || next.Epoch != 2 {
		t.Errorf("after recovery: state %s, safe mode %q, error %v", next, safe, err)
	}
}

func TestRecoveryGoesOnUntilItIsEnded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	b.connect("prod-1", fleet.StateID{Epoch: 1, Version: 7, Digest: fleet.DigestOf([]byte("x"))}) // it is in safe mode
	begin := func() time.Time {
		t.Helper()
		started, err := b.BeginRecovery(t.Context(), admin)
		if err != nil {
			t.Fatal(err)
		}
		return started
	}
	first := begin()
	if again := begin(); !again.Equal(first) {
		t.Errorf("begun at %s, and again at %s", first, again)
	}
	if names, err := b.EndRecovery(t.Context(), admin, false); err != nil || len(names) != 1 {
		t.Fatalf("clusters %v, error %v", names, err)
	}
	if next := begin(); !next.After(first) {
		t.Errorf("the next recovery began at %s, the one before at %s", next, first)
	}
}

func TestReportOfAnOlderSessionIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	old := b.connect("prod-1", fleet.StateID{})
	b.connect("prod-1", fleet.StateID{})
	err := b.StoreReports(t.Context(), old.Cluster, fleet.ReportBatch{Session: old.Number, Sequence: 1})
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("error %v, not ErrConflict", err)
	}
	if _, _, _, err := b.DesiredState(t.Context(), old, fleet.StateID{}); !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("state for an older session: error %v, not ErrConflict", err)
	}
}

func TestSecretIsSealedAndNeverGivenOut(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps"},"stringData":{"username":"u","password":"hunter2"}}`)
	stored, err := b.Object(t.Context(), "Secret", "apps", "git")
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(stored); strings.Contains(string(out), "hunter2") || len(stored.Data) != 0 {
		t.Errorf("the Secret is given out: %s", out)
	}
	data, err := b.SecretData(t.Context(), "apps", "git")
	if err != nil || string(data["password"]) != "hunter2" {
		t.Errorf("data %v, error %v", data, err)
	}
}

func TestDatabaseOfAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	_, err := store.Open(t.Context(), store.Config{URL: b.url, Sealer: plain{}, KeyFingerprint: fleet.DigestOf([]byte("other")), Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, fleet.ErrConflict) {
		t.Errorf("error %v, not ErrConflict", err)
	}
}

func TestPublishedTopicWakesItsWatchers(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	wake, stop := b.Watch(store.TopicObjects)
	defer stop()
	<-wake // connected
	b.apply(gitYAML)
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Error("not woken")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSameSecretAgainIsUnchanged(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"git","namespace":"apps"},"stringData":{"password":"%s"}}`
	for _, step := range []struct {
		password string
		want     resource.Change
	}{{"a", resource.Created}, {"a", resource.Unchanged}, {"b", resource.Configured}} {
		if got, _ := b.apply(strings.Replace(secret, "%s", step.password, 1)); got != step.want {
			t.Errorf("password %s: %s, want %s", step.password, got, step.want)
		}
	}
}
