package api_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestExpressionThatDoesNotCompileIsRefusedByName(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	for field, words := range map[string]string{
		`"healthCheckExprs":[{"apiVersion":"x.io/v1","kind":"W","current":"status.phase =="}]`: "Kustomization/apps/app: spec.healthCheckExprs[0].current: does not compile as CEL",
		`"dependsOn":[{"name":"x"},{"name":"y","readyExpr":"dep.status"}]`:                     "Kustomization/apps/app: spec.dependsOn[1].readyExpr: is of type dyn",
	} {
		for _, dry := range []bool{false, true} {
			_, err := b.objects.Apply(b.ctx, &adminv1.ApplyRequest{Object: []byte(strings.Replace(ksYAML, `"prune"`, field+`,"prune"`, 1)), DryRun: dry})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), words) {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
}

// The App depends on another one of its Source, which is at an older revision.
func TestAppThatWaitsForADependencySaysForWhich(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.running()
	b.apply(strings.Replace(ksYAML, `"name":"app","namespace"`, `"name":"base","namespace"`, 1))
	b.apply(strings.Replace(ksYAML, `"prune"`, `"dependsOn":[{"name":"base"}],"prune"`, 1))
	b.report("prod-1", ok)
	b.report("prod-2", ok)
	for _, content := range []string{"base", "two"} {
		if err := b.Blobs().PutWhole(b.ctx, []byte(content), nil); err != nil {
			t.Fatal(err)
		}
	}
	base := fleet.Key{Home: fleet.HubHome, Kind: "Kustomization", Namespace: "apps", Name: "base"}
	if _, err := b.Released(b.ctx, 1, "main@sha1:1", fleet.Release{App: base, Manifest: fleet.DigestOf([]byte("base"))}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Released(b.ctx, 2, "main@sha1:2", fleet.Release{App: appKey, Manifest: fleet.DigestOf([]byte("two")), Prune: true}); err != nil {
		t.Fatal(err)
	}
	b.roll()
	app := b.get("Kustomization", "apps", "app", "")
	want := "False DependencyNotReady prod-1, prod-2: dependency Kustomization/apps/base is at revision main@sha1:1, not at main@sha1:2"
	if got := app.condition("Ready"); got != want {
		t.Errorf("it says %q", got)
	}
	if f := app.Status.Fleet; f.Total != 2 || f.Progressing != 2 || f.Failed != 0 {
		t.Errorf("it counts %+v", f)
	}
	if _, err := b.Released(b.ctx, 1, "main@sha1:2", fleet.Release{App: base, Manifest: fleet.DigestOf([]byte("base"))}); err != nil {
		t.Fatal(err)
	}
	b.roll()
	waiting := func(r *fleet.Report) {
		r.Waiting, r.Stage, r.Converged, r.Applied = fleet.WaitingDependency, fleet.StageReceived, false, fleet.Digest{}
		r.Ready = fleet.Condition{Status: fleet.False, Reason: "DependencyNotReady", Message: "dependency Kustomization/apps/base is not in this cluster"}
	}
	b.report("prod-1", waiting)
	b.report("prod-2", ok)
	app = b.get("Kustomization", "apps", "app", "")
	if got := app.condition("Ready"); got != "False DependencyNotReady prod-1: dependency Kustomization/apps/base is not in this cluster" {
		t.Errorf("when a cluster waits it says %q", got)
	}
	if f := app.Status.Fleet; f.Ready != 1 || f.Progressing != 1 || f.Failed != 0 {
		t.Errorf("it counts %+v", f)
	}
	if got := b.get("Kustomization", "apps", "app", "prod-1").condition("Ready"); got != "False DependencyNotReady dependency Kustomization/apps/base is not in this cluster" {
		t.Errorf("in the cluster it says %q", got)
	}
	b.report("prod-1", func(r *fleet.Report) {
		r.Ready = fleet.Condition{Status: fleet.False, Reason: fleet.ReasonFailed, Message: "broken"}
	})
	if got := b.get("Kustomization", "apps", "app", "").condition("Ready"); !strings.HasPrefix(got, "False "+fleet.ReasonFailed) {
		t.Errorf("when a cluster fails it says %q", got)
	}
}
