package api_test

import (
	"fmt"
	"maps"
	"strings"
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
	if err := b.BindSource(b.ctx, fleet.Meant{Kind: "GitRepository", Namespace: "apps", Name: "app", Generation: 1, Upstream: fleet.DigestOf([]byte("u")), Remote: fleet.DigestOf([]byte("u"))}); err != nil {
		t.Fatal(err)
	}
	if err := b.SourceHandled(b.ctx, "GitRepository", "apps", "app", resp.GetRequestedAt()); err != nil {
		t.Fatal(err)
	}
	if got := requested(); got != resp.GetRequestedAt() {
		t.Errorf("request %q, want %q", got, resp.GetRequestedAt())
	}
}

// Whoever has an App cannot have the Source of another namespace looked at, but where Apps may have it.
func TestReconcileWithASourceOfAnotherNamespaceIsRefusedUnlessAppsMayHaveIt(t *testing.T) {
	t.Parallel()
	for _, crossing := range []bool{false, true} {
		t.Run(fmt.Sprint(crossing), func(t *testing.T) {
			t.Parallel()
			b := newBundleThat(t, crossing)
			b.apply(gitYAML)
			b.apply(strings.NewReplacer(`"namespace":"apps"`, `"namespace":"tenant"`, `"kind":"GitRepository","name":"app"`, `"kind":"GitRepository","name":"app","namespace":"apps"`).Replace(ksYAML))
			resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "tenant", Name: "app", WithSource: true})
			source, getErr := b.Object(b.ctx, "GitRepository", "apps", "app")
			if getErr != nil {
				t.Fatal(getErr)
			}
			requested := source.Metadata.Annotations["reconcile.fluxcd.io/requestedAt"]
			if !crossing {
				wantCode(t, err, codes.FailedPrecondition, "GitRepository/apps/app is in another namespace than tenant")
				if requested != "" {
					t.Errorf("the Source is asked at %q", requested)
				}
				return
			}
			if err != nil || requested != resp.GetRequestedAt() || resp.GetSourceNamespace() != "apps" {
				t.Errorf("answer %v, error %v; the Source is asked at %q", resp, err, requested)
			}
		})
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

// What is pushed is there already: the App is looked at, and the answer says of which kind its Source is.
func TestReconcileWithASourceThatIsPushedIsForTheAppAlone(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(strings.Replace(ksYAML, `"kind":"GitRepository"`, `"kind":"ExternalArtifact"`, 1))
	request := &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", WithSource: true}
	_, err := b.apps.Reconcile(b.ctx, request)
	wantCode(t, err, codes.NotFound, "ExternalArtifact/apps/app: not found")
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":"app","namespace":"apps"},"spec":{}}`)
	resp, err := b.apps.Reconcile(b.ctx, request)
	if err != nil || resp.GetRequestedAt() == "" || resp.GetSourceKind() != "ExternalArtifact" || resp.GetSourceName() != "app" {
		t.Fatalf("answer %v, error %v", resp, err)
	}
	for kind, want := range map[string]string{"Kustomization": resp.GetRequestedAt(), "ExternalArtifact": ""} {
		o, err := b.Object(b.ctx, kind, "apps", "app")
		if err != nil {
			t.Fatal(err)
		}
		if got := o.Metadata.Annotations["reconcile.fluxcd.io/requestedAt"]; got != want {
			t.Errorf("%s is asked for at %q, want %q", kind, got, want)
		}
		if waits := len(o.Metadata.Annotations) > 1; waits {
			t.Errorf("%s waits for its source: %v", kind, o.Metadata.Annotations)
		}
	}
}

func TestReconcileOfWhatIsNeverFetchedIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"ExternalArtifact","metadata":{"name":"app","namespace":"apps"},"spec":{}}`)
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"app","namespace":"apps"},"spec":{"url":"oci://registry.example.com/charts","type":"oci"}}`)
	for _, test := range []struct {
		request *adminv1.ReconcileRequest
		want    string
	}{
		{&adminv1.ReconcileRequest{Kind: "ExternalArtifact", Namespace: "apps", Name: "app"}, "what it has is pushed"},
		{&adminv1.ReconcileRequest{Kind: "HelmRepository", Namespace: "apps", Name: "app"}, "reconcile its HelmCharts"},
	} {
		if _, err := b.apps.Reconcile(b.ctx, test.request); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.request.GetKind(), err, test.want)
		}
	}
}

// The HelmChart that a HelmRelease brings with it is its Source, and has the repository looked at in its turn.
func TestAHelmReleaseIsReconciledWithItsChartForcedAndReset(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	const chart = `"chart":{"spec":{"chart":"web","sourceRef":{"kind":"HelmRepository","name":"charts"`
	b.apply(`{"apiVersion":"source.toolkit.fluxcd.io/v1","kind":"HelmRepository","metadata":{"name":"charts","namespace":"apps"},"spec":{"interval":"10m","url":"https://charts.example.com"}}`)
	b.apply(strings.Replace(helmReleaseYAML("web", ""), `"chartRef":{"kind":"OCIRepository","name":"web"}`, chart+`}}}`, 1))
	b.apply(strings.Replace(helmReleaseYAML("other", ""), `"chartRef":{"kind":"OCIRepository","name":"web"}`, chart+`,"namespace":"infra"}}}`, 1))
	request := &adminv1.ReconcileRequest{Kind: "HelmRelease", Namespace: "apps", Name: "web", WithSource: true, Force: true, Reset_: true}
	resp, err := b.apps.Reconcile(b.ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if at := resp.GetSourceKind() + "/" + resp.GetSourceNamespace() + "/" + resp.GetSourceName(); at != "HelmChart/apps/apps-web" {
		t.Errorf("its source is %s", at)
	}
	asked := map[string]string{}
	for kind, name := range map[string]string{"HelmRelease": "web", "HelmChart": "apps-web"} {
		object, err := b.Object(b.ctx, kind, "apps", name)
		if err != nil {
			t.Fatal(err)
		}
		for _, request := range []string{"requestedAt", "forceAt", "resetAt"} {
			asked[kind+" "+request] = object.Metadata.Annotations["reconcile.fluxcd.io/"+request]
		}
	}
	at := resp.GetRequestedAt()
	want := map[string]string{"HelmRelease requestedAt": at, "HelmRelease forceAt": at, "HelmRelease resetAt": at, "HelmChart requestedAt": at, "HelmChart forceAt": "", "HelmChart resetAt": ""}
	if at == "" || !maps.Equal(asked, want) {
		t.Errorf("asked is %v, want %v", asked, want)
	}
	request.Name = "other"
	_, err = b.apps.Reconcile(b.ctx, request)
	wantCode(t, err, codes.FailedPrecondition, "HelmRepository/infra/charts is in another namespace than apps")
	b.apply(ksYAML)
	_, err = b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Force: true})
	wantCode(t, err, codes.InvalidArgument, "only a HelmRelease is forced or reset")
}

func TestWhatIsServedEverywhereAndInOneClusterIsToldApart(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	serve := func(own string, clusters ...string) {
		t.Helper()
		b.apply(strings.Replace(ksYAML, `"metadata":{`, `"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"`+own+`"},`, 1))
		b.roll()
		for _, cluster := range clusters {
			instances, _, err := b.Instances(b.ctx, fleet.InstanceQuery{Kind: "Kustomization", Cluster: cluster})
			if err != nil {
				t.Fatal(err)
			}
			b.report(cluster, func(r *fleet.Report) { r.HandledReconcileAt = instances[0].Assignment.RequestedAt })
		}
	}
	served := func() string { return b.getApp().Status.LastHandledReconcileAt }
	serve("now", "prod-1", "prod-2")
	if got := served(); got != "now" {
		t.Errorf("served is %q", got)
	}
	resp, err := b.apps.Reconcile(b.ctx, &adminv1.ReconcileRequest{Kind: "Kustomization", Namespace: "apps", Name: "app", Cluster: "prod-1"})
	if err != nil {
		t.Fatal(err)
	}
	serve("now", "prod-1")
	if got := b.get("Kustomization", "apps", "app", "prod-1").Status.LastHandledReconcileAt; got != resp.GetRequestedAt() || served() != "now" {
		t.Errorf("in the cluster served is %q, which was asked at %q; everywhere %q", got, resp.GetRequestedAt(), served())
	}
	serve("again", "prod-2")
	if got := served(); got != "now" {
		t.Errorf("served is %q before one of two clusters has", got)
	}
	serve("again", "prod-1")
	if got := served(); got != "again" {
		t.Errorf("served is %q", got)
	}
}
