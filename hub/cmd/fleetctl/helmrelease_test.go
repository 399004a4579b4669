package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

// Each is what `flux create helmrelease ... --export` prints for the same flags.
func TestExportedHelmReleasesAreFluxs(t *testing.T) {
	t.Parallel()
	const head = "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: flux-system\nspec:\n"
	const chart = "  chart:\n    spec:\n      chart: podinfo\n      reconcileStrategy: ChartVersion\n      sourceRef:\n        kind: HelmRepository\n        name: podinfo\n"
	const of = "--source HelmRepository/podinfo --chart podinfo "
	b := newBareBundle(t)
	base := b.write("base.yaml", "image:\n  tag: \"1\"\n  pull: Always\nreplicas: 12345678901234567890\n")
	over := b.write("over.yaml", "image:\n  tag: \"2\"\nextra: null\n")
	for _, test := range []struct{ args, want string }{
		{of, chart + "  interval: 1m0s\n"},
		{"--chart-ref OCIRepository/podinfo.apps --interval 5m", "  chartRef:\n    kind: OCIRepository\n    name: podinfo\n    namespace: apps\n  interval: 5m0s\n"},
		{"--source GitRepository/podinfo.apps --chart ./charts/podinfo --chart-interval 2m --reconcile-strategy Revision --chart-version 6.x",
			"  chart:\n    spec:\n      chart: ./charts/podinfo\n      interval: 2m0s\n      reconcileStrategy: Revision\n      sourceRef:\n        kind: GitRepository\n        name: podinfo\n        namespace: apps\n      version: 6.x\n  interval: 1m0s\n"},
		{of + "--crds CreateReplace --create-target-namespace --target-namespace web --storage-namespace helm --release-name pod --service-account deployer --depends-on db,infra/dns", chart +
			"  dependsOn:\n  - name: db\n  - name: dns\n    namespace: infra\n  install:\n    crds: Create\n    createNamespace: true\n  interval: 1m0s\n  releaseName: pod\n  serviceAccountName: deployer\n  storageNamespace: helm\n  targetNamespace: web\n  upgrade:\n    crds: CreateReplace\n"},
		{of + "--values " + base + " --values " + over + " --values-from Secret/a --values-from ConfigMap/b", chart +
			"  interval: 1m0s\n  values:\n    extra: null\n    image:\n      pull: Always\n      tag: \"2\"\n    replicas: 12345678901234567890\n  valuesFrom:\n  - kind: Secret\n    name: a\n  - kind: ConfigMap\n    name: b\n"},
	} {
		r := b.ok(append(strings.Fields("create hr podinfo "+test.args), "--export", "-n", "flux-system")...) // without any hub
		if diff := cmp.Diff(head+test.want, r.stdout); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.args, diff)
		}
	}
}

func TestAHelmReleaseThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBareBundle(t)
	list := b.write("list.yaml", "- a\n")
	for args, want := range map[string]string{
		"":                                      "--source and --chart are required, or --chart-ref",
		"--source HelmRepository/a":             "--chart is required",
		"--chart-ref OCIRepository/a --chart b": "--chart-ref and --chart do not go together",
		"--chart-ref OCIRepository":             `--chart-ref "OCIRepository" is not KIND/NAME`,
		"--chart-ref GitRepository/a":           "spec.chartRef.kind",
		"--source HelmRepository/a --chart b --values-from Pod/a":       `--values-from "Pod/a" is not Secret/NAME or ConfigMap/NAME`,
		"--source HelmRepository/a --chart b --values none.yaml":        "none.yaml: no such file",
		"--source HelmRepository/a --chart b --values " + list:          "list.yaml: is no YAML mapping",
		"--source HelmRepository/a --chart b --crds Replace":            "spec.upgrade.crds",
		"--source HelmRepository/a --chart b --chart-version soon":      "spec.chart.spec.version",
		"--source HelmRepository/a --chart b --release-name Not_A_Name": "spec.releaseName",
	} {
		b.fails(exitUsage, []string{want}, append(strings.Fields("create hr podinfo "+args), "--export")...)
	}
}

const hrWeb = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: web, namespace: apps, generation: 1}
spec:
  interval: 10m
  chart: {spec: {chart: web, sourceRef: {kind: HelmRepository, name: charts}}}
status:
  observedGeneration: 1
  lastAppliedRevision: 1.2.0
  lastAttemptedRevision: 1.2.0
  fleet: {total: 3, ready: 3}
  conditions:
  - {type: Ready, status: "True", reason: ReconciliationSucceeded, message: applied revision 1.2.0 in 3 clusters}
`

func TestHelmReleasesAreShownForcedAndReset(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hub.put(t, hrWeb+"---\n"+ksApp)
	want(t, "get hr", b.ok("get", "hr").stdout, `
NAME   REVISION   SUSPENDED   READY   CLUSTERS   MESSAGE
web    1.2.0      False       True    3/3        applied revision 1.2.0 in 3 clusters`)
	b.hub.put(t, strings.NewReplacer("ready: 3}", "ready: 2, failed: 1}", `status: "True", reason: ReconciliationSucceeded, message: applied revision 1.2.0 in 3 clusters`, `status: "False", reason: ReconciliationFailed, message: "eu-1: timed out"`).Replace(hrWeb))
	want(t, "get hr", b.ok("get", "hr").stdout, `
NAME   REVISION   SUSPENDED   READY   CLUSTERS   MESSAGE
web    1.2.0      False       False   2/3        eu-1: timed out`)
	if wide := b.ok("get", "helmreleases", "-o", "wide").stdout; !strings.Contains(wide, "HelmRepository/charts") {
		t.Errorf("wide does not say what the chart is of:\n%s", wide)
	}
	b.ok("reconcile", "hr/web", "--force", "--reset", "--with-source")
	request := requestsOf[*adminv1.ReconcileRequest](b.hub)[0]
	if request.GetKind() != "HelmRelease" || !request.GetForce() || !request.GetReset_() || !request.GetWithSource() {
		t.Errorf("asked is %v", request)
	}
	b.fails(exitUsage, []string{"--force and --reset are for HelmReleases"}, "reconcile", "ks/app", "--force")
	b.ok("suspend", "helmrelease", "web")
	if sent := requestsOf[*adminv1.SuspendRequest](b.hub); len(sent) != 1 || sent[0].GetKind() != "HelmRelease" || sent[0].GetName() != "web" {
		t.Errorf("suspended is %v", sent)
	}
	b.ok("resume", "hr", "web")
	if sent := requestsOf[*adminv1.ResumeRequest](b.hub); len(sent) != 1 || sent[0].GetKind() != "HelmRelease" || sent[0].GetName() != "web" {
		t.Errorf("resumed is %v", sent)
	}
}
