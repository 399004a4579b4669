package api_test

import (
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// silence lets one cluster fall silent.
func (b *bundle) silence(cluster string) {
	b.t.Helper()
	b.exec(`UPDATE cluster SET connected = false WHERE name = '` + cluster + `'`)
}

// release makes and stores a Release of the App's present generation.
func (b *bundle) release(revision, content string) {
	b.t.Helper()
	if err := b.Blobs().PutWhole(b.ctx, []byte(content), nil); err != nil {
		b.t.Fatal(err)
	}
	release := fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte(content)), Prune: true}
	if _, err := b.Released(b.ctx, b.getApp().Metadata.Generation, fleet.Revision(revision), release); err != nil {
		b.t.Fatal(err)
	}
}

// failing reports that the App failed; terminal: no retry can help.
func failing(terminal bool, message string) func(*fleet.Report) {
	return func(r *fleet.Report) {
		r.Stage, r.Converged, r.Available, r.Terminal = fleet.StageFailed, false, false, terminal
		r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: message}
	}
}

// applying reports that the App is being applied.
func applying(r *fleet.Report) {
	r.Stage, r.Converged, r.Applied = fleet.StageApplying, false, fleet.Digest{}
	r.Ready = fleet.Condition{Status: fleet.Unknown, Reason: fleet.ReasonProgressing, Message: "Applying"}
}

func TestAppIsReadyOnceEveryClusterItIsPlacedOnIs(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(clusterYAML("prod-1", "prod"))
	b.apply(clusterYAML("dev-1", "dev"))
	b.apply(gitYAML)
	b.apply(ksYAML)
	b.apply(placementYAML("app", strings.Replace(prodApp, "prod", "nothing", 1)))
	want(t, b.getApp().condition("Ready"), "Unknown Progressing waiting for its source to be fetched and built")
	b.release("main@sha1:1", "one")
	want(t, b.getApp().condition("Ready"), "Unknown NoClusters its Placement matches no cluster")
	b.apply(placementYAML("app", prodApp))
	want(t, b.getApp().condition("Ready"), "Unknown Progressing waiting to be assigned in prod-1")
	b.roll()
	b.report("prod-1", ok)
	got := b.getApp()
	want(t, got.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:1 in 1 cluster")
	if got.Status.LastAppliedRevision != "main@sha1:1" {
		t.Errorf("applied %q", got.Status.LastAppliedRevision)
	}

	b.apply(clusterYAML("dev-1", "prod")) // and the rollout has not acted yet
	got = b.getApp()
	want(t, got.condition("Ready"), "Unknown Progressing waiting to be assigned in dev-1")
	if f := got.Status.Fleet; f.Total != 2 || f.Ready != 1 || f.Progressing != 1 || got.Status.LastAppliedRevision != "" {
		t.Errorf("counts %+v, applied %q", f, got.Status.LastAppliedRevision)
	}
	b.roll()
	b.report("dev-1", ok)
	want(t, b.getApp().condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:1 in 2 clusters")

	b.apply(clusterYAML("dev-1", "dev"))
	b.roll() // it is being removed there
	got = b.getApp()
	want(t, got.condition("Ready"), "True ReconciliationSucceeded applied revision main@sha1:1 in 1 cluster")
	if f := got.Status.Fleet; f.Total != 1 || f.Ready != 1 {
		t.Errorf("counts %+v", f)
	}
	b.delete("Placement", "apps", "app")
	want(t, b.getApp().condition("Ready"), "Unknown NotPlaced no Placement names it; it is still in dev-1, prod-1")
}

func TestClustersOutOfReachAreNamed(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	want(t, b.getApp().condition("Ready"), "Unknown ClusterUnreachable no word from prod-1, prod-2")
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	b.silence("prod-2")
	got := b.getApp()
	want(t, got.condition("Ready"), "Unknown ClusterUnreachable no word from prod-2")
	want(t, got.condition("Reconciling"), "True ClusterUnreachable")
	if f := got.Status.Fleet; f.Total != 2 || f.Ready != 1 || f.Unknown != 1 || f.Progressing != 0 {
		t.Errorf("counts %+v", f)
	}
	b.report("prod-1", applying)
	want(t, b.getApp().condition("Ready"), "Unknown Progressing waiting for prod-1; no word from prod-2")
	b.report("prod-1", failing(false, "no"))
	want(t, b.getApp().condition("Ready"), "False ReconciliationFailed prod-1: no")
}

func TestStatusOfTheHubCountsAsProgressingOnlyWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	client := adminv1.NewHubServiceClient(b.conn)
	counts := func() *adminv1.Counts {
		t.Helper()
		resp, err := client.Status(b.ctx, &adminv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetApps()
	}
	for _, step := range []struct {
		name                                 string
		change                               func()
		ready, progressing, failing, unknown uint32
	}{
		{"not placed", func() { b.apply(ksYAML) }, 0, 0, 0, 1},
		{"placed and never heard", func() { b.running() }, 0, 0, 0, 1},
		{"ready in one and not heard in the other", func() { b.report("prod-1", ok) }, 0, 0, 0, 1},
		{"applying", func() { b.report("prod-2", applying) }, 0, 1, 0, 0},
		{"failed", func() { b.report("prod-2", failing(false, "no")) }, 0, 0, 1, 0},
		{"ready", func() { b.report("prod-2", ok) }, 1, 0, 0, 0},
		{"silent", func() { b.silence("prod-1") }, 0, 0, 0, 1},
	} {
		step.change()
		c := counts()
		if c.GetTotal() != 1 || c.GetReady() != step.ready || c.GetProgressing() != step.progressing || c.GetFailed() != step.failing || c.GetUnknown() != step.unknown {
			t.Errorf("%s: %v", step.name, c)
		}
	}
}

func TestStalledIsWhatNoRetryCanHelp(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", ok)
	b.report("prod-2", failing(false, "429"))
	app, instance := b.getApp, func() shown { return b.get("Kustomization", "apps", "app", "prod-2") }
	for name, o := range map[string]shown{"App": app(), "instance": instance()} {
		if got := o.condition("Stalled"); got != "" {
			t.Errorf("%s whose failure may pass: Stalled is %s", name, got)
		}
	}
	b.report("prod-2", failing(true, "Deployment/apps/web: invalid"))
	want(t, instance().condition("Stalled"), "True ReconciliationFailed Deployment/apps/web: invalid")
	want(t, app().condition("Stalled"), "True ReconciliationFailed prod-2: Deployment/apps/web: invalid")
	b.silence("prod-2") // nothing is known of it any more
	if got := instance().condition("Stalled") + app().condition("Stalled"); got != "" {
		t.Errorf("a silent cluster: Stalled is %s", got)
	}
	b.report("prod-2", failing(true, "Deployment/apps/web: invalid"))
	if _, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app"}); err != nil {
		t.Fatal(err)
	}
	b.roll() // it is to try again, and has not said what came of that
	if got := instance().condition("Stalled") + app().condition("Stalled"); got != "" {
		t.Errorf("a request that is not served: Stalled is %s", got)
	}
	b.report("prod-2", ok)
	b.notReleased("main@sha1:2")
	want(t, app().condition("Stalled"), "True BuildFailed no such path")
	b.release("main@sha1:3", "one")
	if got := app().condition("Stalled"); got != "" {
		t.Errorf("a build that came about: Stalled is %s", got)
	}
}

// An instance has observed a generation once what came of it is what its spoke speaks of.
func TestInstanceObservesAGenerationOnceItIsThere(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	instance := func() shown { return b.get("Kustomization", "apps", "app", "prod-1") }
	observed := func(when string, want int64) {
		t.Helper()
		got := instance()
		if got.Status.ObservedGeneration != want || got.Metadata.Generation < want {
			t.Errorf("%s: observed generation %d of %d, want %d", when, got.Status.ObservedGeneration, got.Metadata.Generation, want)
		}
		for _, c := range got.Status.Conditions {
			if c.ObservedGeneration != max(want, 0) {
				t.Errorf("%s: %s observed generation %d", when, c.Type, c.ObservedGeneration)
			}
		}
	}
	observed("assigned", -1)
	b.report("prod-1", ok)
	observed("reported", 1)
	b.apply(strings.Replace(ksYAML, `"spec":{`, `"spec":{"path":"./other",`, 1))
	observed("applied", 1)
	b.release("main@sha1:1", "other")
	observed("built", 1)
	b.roll()
	observed("rolled out", 1)
	b.report("prod-1", applying)
	observed("being applied", 2)
	b.report("prod-1", ok)
	observed("reported again", 2)
	b.apply(strings.Replace(ksYAML, `"spec":{`, `"spec":{"path":"./other","timeout":"1m",`, 1))
	b.release("main@sha1:1", "other")
	observed("another timeout, not told yet", 2)
	b.roll()
	observed("another timeout", 3)
	b.apply(strings.Replace(ksYAML, `"spec":{`, `"spec":{"path":"./nowhere","timeout":"1m",`, 1))
	b.notReleased("main@sha1:2")
	observed("not built", 3)
}

func TestRequestIsHandledOnceTheLastClusterHas(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	handled := func(first, second, want string) {
		t.Helper()
		b.report("prod-1", func(r *fleet.Report) { r.HandledReconcileAt = first })
		b.report("prod-2", func(r *fleet.Report) { r.HandledReconcileAt = second })
		if got := b.getApp().Status.LastHandledReconcileAt; got != want {
			t.Errorf("%q and %q: handled %q, want %q", first, second, got, want)
		}
	}
	handled("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05Z") // as text it is the later one
	handled("2026-01-02T03:04:05Z", "2026-01-02T04:04:04+01:00", "2026-01-02T04:04:04+01:00")
	handled("2026-01-02T03:04:05Z", "", "")
	b.apply(strings.Replace(ksYAML, `"namespace":"apps"`, `"namespace":"apps","annotations":{"reconcile.fluxcd.io/requestedAt":"now"}`, 1))
	handled("now", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z")
	handled("2026-01-02T03:04:05Z", "now", "2026-01-02T03:04:05Z")
	handled("now", "now", "now")
}

func TestHeldPruneNamesTheCommandThatShowsIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.report("prod-1", func(r *fleet.Report) {
		r.HeldPrune = &fleet.HeldPrune{Digest: fleet.DigestOf([]byte("set")), Count: 3, Reason: "everything would go"}
	})
	const command = "look with `fleetctl prune show ks/app -n apps`"
	want(t, b.get("Kustomization", "apps", "app", "prod-1").condition("PruneHeld"), "True PruneHeld everything would go: 3 objects would be deleted; "+command)
	want(t, b.getApp().condition("PruneHeld"), "True PruneHeld deletions are held in prod-1: "+command)
}
