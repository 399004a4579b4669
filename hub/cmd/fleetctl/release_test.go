package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	adminv1 "flotilla.dev/flotilla/proto/flotilla/admin/v1"
)

func TestHistoryOfAReleaseIsThatOfHelmThere(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": fleet.HelmHistory{Versions: []fleet.HelmVersion{
		{Version: 3, Status: "failed", Chart: "podinfo-6.1.0", AppVersion: "6.1.0", Description: "manual", Foreign: true},
		{Version: 2, Updated: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Status: "superseded", Chart: "podinfo-6.0.0", AppVersion: "6.0.0",
			Description: "Upgrade complete", Action: "upgrade", Tests: map[string]string{"smoke": "Succeeded"}},
		{Version: 1, Status: "superseded", Chart: "podinfo-5.0.0", Action: "install", Gone: true},
	}}}
	r := b.ok("history", "hr/app@prod-1")
	want(t, "stdout", r.stdout, `
REVISION   UPDATED                   STATUS       CHART           APP VERSION   ACTION    DESCRIPTION
3          unknown                   failed       podinfo-6.1.0   6.1.0         -         manual; not made by Flotilla
2          Fri Jan 2 03:04:05 2026   superseded   podinfo-6.0.0   6.0.0         upgrade   Upgrade complete; test smoke succeeded
1          unknown                   superseded   podinfo-5.0.0   -             install   no longer stored
`)
	request := requestsOf[*adminv1.AskRequest](b.hub)[0]
	if request.GetHelmHistory() == nil || request.GetKind() != "HelmRelease" || request.GetCluster() != "prod-1" {
		t.Errorf("asked %v", request)
	}
	var document struct{ Items []fleet.HelmVersion }
	if err := json.Unmarshal([]byte(b.ok("history", "hr/app@prod-1", "-o", "json").stdout), &document); err != nil || len(document.Items) != 3 || document.Items[1].Version != 2 {
		t.Errorf("as JSON: %+v, %v", document, err)
	}
	wantTexts(t, "as YAML", b.ok("history", "hr/app@prod-1", "-o", "yaml").stdout, "- action: upgrade\n", "  revision: 2\n")
}

// release is a HelmRelease, and what its spoke has told of it.
const release = `
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: app, namespace: apps, annotations: {fleet.flotilla.dev/cluster: prod-1}}
spec: {interval: 1m, chartRef: {kind: OCIRepository, name: app}}
status:
  conditions: [{type: Ready, status: "False", reason: UpgradeFailed}]
  history: [{name: app, namespace: apps, version: 2, status: deployed, action: upgrade, chartName: podinfo, chartVersion: 6.0.0, digest: "sha256:1", configDigest: "sha256:2", lastDeployed: "2026-01-02T03:04:05Z"}]
`

func TestHistoryOfAClusterThatIsAwayIsWhatItLastReported(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.answers = map[string]any{"prod-1": errors.New("not available now: it is not connected, unheard for 3m0s"), "prod-2": errors.New("not available now: it is not connected")}
	b.hub.put(t, release)
	r := b.ok("history", "hr/app@prod-1")
	wantTexts(t, "stdout", r.stdout, "2          ", "deployed   podinfo-6.0.0", "upgrade")
	wantTexts(t, "stderr", r.stderr, "unheard for 3m0s; this is what it last reported")
	b.hub.put(t, strings.ReplaceAll(strings.Split(release, "status:\n")[0], "prod-1", "prod-2"))
	b.fails(exitPrecondition, []string{"it is not connected"}, "history", "hr/app@prod-2")
}

func TestDiffOfAReleaseShowsValuesAndObjects(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	d := different("a")
	d.Values = "@@ -1,1 +1,1 @@\n-replicas: 1\n+replicas: 2\n"
	b.hub.answers = map[string]any{"prod-1": d}
	want(t, "stdout", b.fails(exitDifferent, nil, "diff", "hr/app@prod-1").stdout, `
hr/apps/app@prod-1
► values changed
@@ -1,1 +1,1 @@
-replicas: 1
+replicas: 2
► ConfigMap/apps/a changed
@@ -1,1 +1,1 @@
-a: 1
+a: 2
`)
	b.hub.answers = map[string]any{"prod-1": fleet.Diff{Values: d.Values}}
	b.fails(exitDifferent, nil, "diff", "hr/app@prod-1")
	b.hub.answers = map[string]any{"prod-1": fleet.Diff{}}
	b.ok("diff", "hr/app@prod-1")
	b.fails(exitUsage, []string{"a HelmRelease is rendered in its cluster"}, "diff", "hr/app@prod-1", "--path", ".")
	b.fails(exitUsage, []string{"its condition Drifted tells"}, "diff", "hr/app@prod-1", "--drift")
}

func TestDebugShowsTheValuesOfARelease(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	masked := fleet.SecretKey{Namespace: "apps", Name: "s", Key: "p"}.Masked()
	b.hub.answers = map[string]any{"prod-1": fleet.HelmValues{Values: "password: '" + masked + "'\nreplicas: 2\n", Secret: true}}
	r := b.ok("debug", "hr/app@prod-1", "--show-values")
	want(t, "stdout", r.stdout, "password: '"+masked+"'\nreplicas: 2")
	wantTexts(t, "stderr", r.stderr, "--kubeconfig of that cluster shows it")
	if requestsOf[*adminv1.AskRequest](b.hub)[0].GetHelmValues() == nil {
		t.Error("something else was asked")
	}
	wantTexts(t, "as JSON", b.ok("debug", "hr/app@prod-1", "--show-values", "-o", "json").stdout, `"secret": true`)
	b.hub.answers = map[string]any{"prod-1": fleet.HelmValues{}}
	wantTexts(t, "stderr", b.ok("debug", "hr/app@prod-1", "--show-values").stderr, "has no values beside the chart's own")
}

// It is not parallel: it has a PATH of its own.
func TestWhatAKubeconfigRevealsTakesThePlaceOfWhatIsMasked(t *testing.T) {
	b := newFleet(t)
	dir := t.TempDir()
	const script = `#!/bin/sh
echo "$@" > "$0.asked"
printf %s '{"values": "password: open\n"}'
`
	if err := os.WriteFile(filepath.Join(dir, "flotilla-spoke"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	b.hub.answers = map[string]any{"prod-1": fleet.HelmValues{Values: "password: '***'\n", Secret: true, Plan: []byte(`{"spec":{}}`)}}
	r := b.ok("debug", "hr/app@prod-1", "--show-values", "--kubeconfig", "prod-1.yaml", "-o", "json")
	var shown fleet.HelmValues
	if err := json.Unmarshal([]byte(r.stdout), &shown); err != nil || shown.Values != "password: open\n" || shown.Secret || shown.Plan != nil {
		t.Errorf("shown is %+v, error %v", shown, err)
	}
	if asked, err := os.ReadFile(filepath.Join(dir, "flotilla-spoke.asked")); err != nil || string(asked) != "debug helmreleases/app --show-values --values - -o json --kubeconfig prod-1.yaml\n" {
		t.Errorf("asked is %q, error %v", asked, err)
	}
}

func TestDebugShowsTheStatusAndTheHistoryOfARelease(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, release)
	wantTexts(t, "history", b.ok("debug", "hr/app@prod-1", "--show-history").stdout, "- action: upgrade\n", "  version: 2\n")
	status := b.ok("debug", "hr/app@prod-1", "--show-status").stdout
	wantTexts(t, "status", status, "conditions:\n", "reason: UpgradeFailed", "history:\n")
	if strings.Contains(status, "spec:") {
		t.Errorf("status has more:\n%s", status)
	}
	wantTexts(t, "as JSON", b.ok("debug", "hr/app@prod-1", "--show-history", "-o", "json").stdout, `"action": "upgrade"`)
}

func TestDebugRefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	for args, text := range map[string]string{
		"hr/app --show-values":                             "name the cluster: hr/app@CLUSTER",
		"hr/app@prod-1":                                    "--show-values, --show-status or --show-history is missing",
		"ks/app@prod-1":                                    "--show-vars or --show-status is missing",
		"hr/app@prod-1 --show-vars":                        "a HelmRelease has values, not variables",
		"ks/app@prod-1 --show-values":                      "only a HelmRelease has values",
		"ks/app@prod-1 --show-history":                     "only a HelmRelease has values and a history",
		"hr/app@prod-1 --show-status --show-history":       "give one of",
		"hr/app@prod-1 --show-status --kubeconfig x":       "--kubeconfig goes with --show-vars and --show-values",
		"hr/app@prod-1 --show-values --show-vars":          "give one of",
		"source/app@prod-1 --show-values --kubeconfig any": "",
	} {
		b.fails(exitUsage, []string{text}, append([]string{"debug"}, strings.Fields(args)...)...)
	}
	if asked := requestsOf[*adminv1.AskRequest](b.hub); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
}

func TestTraceOfAnObjectOfAReleaseTellsItsChart(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	ref := fleet.ObjectRef{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "apps", Name: "podinfo"}
	b.hub.answers = map[string]any{"prod-1": fleet.Trace{Chain: []fleet.ObjectRef{ref}, App: fleet.Key{Home: "hub", Kind: "HelmRelease", Namespace: "apps", Name: "app"}}}
	b.hub.put(t, strings.ReplaceAll(release, "chartRef: {kind: OCIRepository, name: app}", "chart: {spec: {chart: podinfo, version: 6.x, sourceRef: {kind: HelmRepository, name: charts, namespace: sources}}}"))
	b.hub.put(t, "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: charts, namespace: sources}\nspec: {interval: 1m, url: \"https://charts.example.com\"}\n")
	wantTexts(t, "stdout", b.ok("trace", "deploy/podinfo", "-n", "apps", "--cluster", "prod-1").stdout,
		"managed by Flotilla", "HelmRelease", "podinfo 6.x", "HelmRepository", "https://charts.example.com")
	b.hub.put(t, release)
	b.hub.put(t, "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: app, namespace: apps}\nspec: {interval: 1m, url: \"oci://r.example.com/podinfo\"}\n")
	wantTexts(t, "of an OCIRepository", b.ok("trace", "deploy/podinfo", "-n", "apps", "--cluster", "prod-1").stdout, "OCIRepository", "oci://r.example.com/podinfo")
	b.hub.put(t, strings.Replace(release, "spec: {interval: 1m, chartRef: {kind: OCIRepository, name: app}}\n", "", 1))
	wantTexts(t, "of one that is deleted", b.ok("trace", "deploy/podinfo", "-n", "apps", "--cluster", "prod-1").stdout, "managed by Flotilla", "HelmRelease")
}

func TestWhatTakesAppsTakesReleases(t *testing.T) {
	t.Parallel()
	b := newFleet(t)
	b.hub.put(t, release)
	wantTexts(t, "describe", b.ok("describe", "hr/app@prod-1").stdout, "HelmRelease", "UpgradeFailed")
	b.hub.put(t, strings.ReplaceAll(release, ", annotations: {fleet.flotilla.dev/cluster: prod-1}", ""))
	waiting := b.start("wait", "hr/app@prod-1", "--for=condition=Ready", "--timeout", "1h")
	waiting.stderr.says(t, "waiting for hr/app@prod-1")
	b.hub.put(t, strings.ReplaceAll(release, `status: "False", reason: UpgradeFailed`, `status: "True", reason: UpgradeSucceeded`))
	if code := waiting.wait(); code != 0 {
		t.Errorf("wait: exit %d", code)
	}
	b.ok("events", "--for", "hr/app")
	b.hub.answers = map[string]any{"prod-1": fleet.Tree{Objects: []fleet.TreeObject{{Object: fleet.ObjectRef{Version: "v1", Kind: "ConfigMap", Namespace: "apps", Name: "it"}, Status: "Current"}}}}
	wantTexts(t, "tree", b.ok("tree", "hr/app@prod-1").stdout, "HelmRelease/apps/app@prod-1", "ConfigMap/apps/it  Current")
	b.fails(exitUsage, []string{"only a Kustomization is built"}, "build", "hr/app", "--path", ".")
}
