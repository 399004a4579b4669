package flux_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/pkg/flux"
)

const chartOfRepo = `"chart": {"spec": {"chart": "podinfo", "version": "6.x", "sourceRef": {"kind": "HelmRepository", "name": "repo"}}}`

// helmRelease decodes a spec that has an interval and, unless it says otherwise, a chart.
func helmRelease(t *testing.T, fields string) flux.HelmRelease {
	t.Helper()
	if !strings.Contains(fields, `"chart":`) && !strings.Contains(fields, `"chartRef":`) {
		fields = chartOfRepo + "," + fields
	}
	var spec flux.HelmRelease
	if err := json.Unmarshal([]byte(`{"interval": "10m",`+strings.TrimSuffix(fields, ",")+`}`), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestAHelmReleaseIsTakenAsFluxTakesIt(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		"", `"chartRef": {"kind": "OCIRepository", "name": "a", "namespace": "b"}`, `"chartRef": {"kind": "HelmChart", "name": "a"}`, `"chartRef": {"kind": "ExternalArtifact", "name": "a"}`,
		`"chart": {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {"chart": "./charts/a", "reconcileStrategy": "Revision", "interval": "1m", "valuesFiles": ["a.yaml"], "sourceRef": {"kind": "GitRepository", "name": "a", "namespace": "b"}}}`,
		`"timeout": "1m", "suspend": true, "dependsOn": [{"name": "a"}, {"name": "b", "namespace": "c", "readyExpr": "true"}]`,
		`"releaseName": "a.b-c", "targetNamespace": "a", "storageNamespace": "b", "maxHistory": 0, "serviceAccountName": "a", "persistentClient": false`,
		`"driftDetection": {"mode": "warn", "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]}`,
		`"install": {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m"}, "crds": "CreateReplace", "remediation": {"retries": -1}}`,
		`"upgrade": {"strategy": {"name": "RemediateOnFailure"}, "serverSideApply": "auto", "chartNameChangeStrategy": "InPlaceUpdate", "remediation": {"strategy": "uninstall"}}`,
		`"test": {"enable": true, "filters": [{"name": "a", "exclude": true}]}, "rollback": {"recreate": true, "serverSideApply": "disabled"}, "uninstall": {"deletionPropagation": "orphan"}`,
		`"valuesFrom": [{"kind": "Secret", "name": "a", "valuesKey": "a.b", "targetPath": "a.b[0].c\\.d/e", "optional": true, "literal": true}, {"kind": "ConfigMap", "name": "b", "literal": true}]`,
		`"values": null`, `"values": {"a": {"b": [1, null]}}`, `"values": {"a": [-12345678901234567890.5e-3, 1e+21, 1.5E3], "é�": "\ud83d\ude00�"}`,
		`"postRenderers": [{}, {"kustomize": {"patches": [{"patch": "a", "target": {"kind": "A"}}], "images": [{"name": "a", "newTag": "b"}]}}], "postRenderStrategy": "separate"`,
		`"test": {"filters": [{"name": "` + strings.Repeat("é", 253) + `"}]}`,
		`"waitStrategy": {"name": "legacy"}, "healthCheckExprs": [{"apiVersion": "a/v1", "current": "true"}], "commonMetadata": {"labels": {"a": "b"}}`,
	} {
		if err := helmRelease(t, fields).Validate("apps"); err != nil {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

func TestAHelmReleaseThatNoSpokeCouldActOnIsRefused(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		chartOfRepo + `, "chartRef": {"kind": "HelmChart", "name": "a"}`: "spec.chartRef: is given beside spec.chart",
		`"chartRef": null`: "spec: one of chart and chartRef is required",
		`"chartRef": {"kind": "GitRepository", "name": "a"}`:                                                                                                                                `spec.chartRef.kind: "GitRepository" is not OCIRepository, HelmChart or ExternalArtifact`,
		`"chartRef": {"kind": "HelmChart"}`:                                                                                                                                                 "spec.chartRef.name: is required",
		`"chartRef": {"kind": "HelmChart", "name": "a", "namespace": "B"}`:                                                                                                                  `spec.chartRef.namespace: "B" is not a DNS label`,
		`"chart": {"spec": {"chart": "../a", "sourceRef": {"kind": "Bucket", "name": "a"}}}`:                                                                                                `spec.chart.spec.chart: "../a" leaves the source`,
		`"chart": {"spec": {"chart": "a", "version": "soon", "sourceRef": {"kind": "HelmRepository", "name": "a"}}}`:                                                                        `spec.chart.spec.version: "soon" is not a version`,
		`"chart": {"spec": {"chart": "a", "interval": "x", "sourceRef": {"kind": "HelmRepository", "name": "a"}}}`:                                                                          "spec.chart.spec.interval: ",
		`"chart": {"spec": {"chart": "a", "sourceRef": {"kind": "OCIRepository", "name": "a"}}}`:                                                                                            "spec.chart.spec.sourceRef.kind: ",
		`"chart": {"spec": {"chart": "a", "sourceRef": {"kind": "HelmRepository"}}}`:                                                                                                        "spec.chart.spec.sourceRef.name: is required",
		`"chart": {"spec": {"chart": "a", "verify": {"provider": "cosign", "matchOIDCIdentity": [{"issuer": "a", "subject": "b"}]}, "sourceRef": {"kind": "HelmRepository", "name": "a"}}}`: "spec.chart.spec.verify.matchOIDCIdentity: ",
		`"chart": {"spec": {"chart": "a", "reconcileStrategy": "a", "sourceRef": {"kind": "HelmRepository", "name": "a"}}}`:                                                                 "spec.chart.spec.reconcileStrategy: ",
		`"timeout": "0s"`: "spec.timeout: must be more than zero",
		`"kubeConfig": {"secretRef": {"name": "a"}}`:       "spec.kubeConfig: a spoke applies to its own cluster only",
		`"dependsOn": [{}]`:                                "spec.dependsOn[0].name: is required",
		`"releaseName": "` + strings.Repeat("a", 54) + `"`: "spec.releaseName: ",
		`"releaseName": "A"`:                               "spec.releaseName: ",
		`"targetNamespace": "a.b"`:                         "spec.targetNamespace: ",
		`"storageNamespace": "a.b"`:                        "spec.storageNamespace: ",
		`"serviceAccountName": "A"`:                        "spec.serviceAccountName: ",
		`"driftDetection": {"mode": "on"}`:                 `spec.driftDetection.mode: "on" is not enabled, warn or disabled`,
		`"driftDetection": {"ignore": [{"paths": []}]}`:    "spec.driftDetection.ignore[0].paths: at least one",
		`"driftDetection": {"ignore": [{"paths": ["a"]}]}`: "spec.driftDetection.ignore[0].paths[0]: ",
		`"install": {"timeout": "-1s"}`:                    "spec.install.timeout: ",
		`"install": {"strategy": {}}`:                      "spec.install.strategy.name: is required",
		`"install": {"strategy": {"name": "RemediateOnFailure", "retryInterval": "1m"}}`: "spec.install.strategy.retryInterval: is only for",
		`"install": {"crds": "Replace"}`:                                                 "spec.install.crds: ",
		`"install": {"remediation": {"strategy": "rollback"}}`:                           "spec.install.remediation.strategy: ",
		`"upgrade": {"timeout": "a"}`:                                                    "spec.upgrade.timeout: ",
		`"upgrade": {"strategy": {"name": "Retry"}}`:                                     "spec.upgrade.strategy.name: ",
		`"upgrade": {"strategy": {"name": "RemediateOnFailure", "retryInterval": "1m"}}`: "spec.upgrade.strategy.retryInterval: is only for",
		`"upgrade": {"crds": "a"}`:                                                       "spec.upgrade.crds: ",
		`"upgrade": {"serverSideApply": "true"}`:                                         "spec.upgrade.serverSideApply: ",
		`"upgrade": {"chartNameChangeStrategy": "a"}`:                                    "spec.upgrade.chartNameChangeStrategy: ",
		`"upgrade": {"remediation": {"strategy": "a"}}`:                                  "spec.upgrade.remediation.strategy: ",
		`"test": {"timeout": "0s"}`:                                                      "spec.test.timeout: ",
		`"test": {"filters": [{}]}`:                                                      "spec.test.filters[0].name: is required",
		`"test": {"filters": [{"name": "` + strings.Repeat("a", 254) + `"}]}`:            "spec.test.filters[0].name: has 254 characters; 253 are allowed",
		`"rollback": {"timeout": "0s"}`:                                                  "spec.rollback.timeout: ",
		`"rollback": {"serverSideApply": "a"}`:                                           "spec.rollback.serverSideApply: ",
		`"uninstall": {"timeout": "0s"}`:                                                 "spec.uninstall.timeout: ",
		`"uninstall": {"deletionPropagation": "a"}`:                                      "spec.uninstall.deletionPropagation: ",
		`"valuesFrom": [{"name": "a"}]`:                                                  "spec.valuesFrom[0].kind: is required",
		`"valuesFrom": [{"kind": "Pod", "name": "a"}]`:                                   "spec.valuesFrom[0].kind: ",
		`"valuesFrom": [{"kind": "Secret"}]`:                                             "spec.valuesFrom[0].name: is required",
		`"valuesFrom": [{"kind": "Secret", "name": "a", "valuesKey": "a/b"}]`:            "spec.valuesFrom[0].valuesKey: ",
		`"valuesFrom": [{"kind": "Secret", "name": "a", "targetPath": "a b"}]`:           "spec.valuesFrom[0].targetPath: ",
		`"values": "a: b"`:                                                               "spec.values: is not a mapping",
		`"values": [1]`:                                                                  "spec.values: is not a mapping",
		`"values": {"a": [1, {"b": 1e131000}]}`:                                          "spec.values.a[1].b: the number 1e131000 has more than 40 digits",
		`"values": {"a": 1e-16000}`:                                                      "spec.values.a: the number ",
		`"values": {"a": 1e99999999999999999999}`:                                        "spec.values.a: the number ",
		`"values": {"a": ` + strings.Repeat("1", 41) + `}`:                               "spec.values.a: the number ",
		`"values": {"a": "b\u0000"}`:                                                     "spec.values.a: has the character NUL",
		`"values": {"a\u0000": 1}`:                                                       `spec.values."a\x00": has the character NUL`,
		`"values": {"a": "` + strings.Repeat("x", 1<<20) + `"}`:                          "spec.values: has 1048585 bytes; 1048576 are allowed: put more into a ConfigMap",
		`"values": {"a": [0` + strings.Repeat(",1e39", 30_000) + `]}`:                    "spec.values: has 1230010 bytes; 1048576 are allowed: put more into a ConfigMap",
		`"values": {"a": "\ud800"}`:                                                      "spec.values.a: has what is no character",
		`"postRenderers": [{"kustomize": {"patches": [{"patch": " "}]}}]`:                "spec.postRenderers[0].kustomize.patches[0].patch: is required",
		`"postRenderers": [{"kustomize": {"images": [{}]}}]`:                             "spec.postRenderers[0].kustomize.images[0].name: is required",
		`"postRenderStrategy": "hooks"`:                                                  "spec.postRenderStrategy: ",
		`"waitStrategy": {}`:                                                             "spec.waitStrategy.name: is required",
		`"waitStrategy": {"name": "a"}`:                                                  "spec.waitStrategy.name: ",
		`"healthCheckExprs": [{"apiVersion": "a/v1"}]`:                                   "spec.healthCheckExprs[0].current: is required",
	} {
		refused(t, fields, helmRelease(t, fields).Validate("apps"), want)
	}
	none := helmRelease(t, "")
	none.Interval = nil
	refused(t, "no interval", none.Validate("apps"), "spec.interval: is required")
}

// What takes effect at once must not make a new Release, and all else must.
func TestAPlanHasNoControls(t *testing.T) {
	t.Parallel()
	const timed = `"timeout": "1m", "suspend": true, "install": {"timeout": "2m", "crds": "Skip", "strategy": {"name": "RetryOnFailure", "retryInterval": "3m"}},
		"upgrade": {"timeout": "4m", "force": true, "strategy": {"name": "RetryOnFailure", "retryInterval": "5m"}}, "test": {"timeout": "6m", "enable": true},
		"rollback": {"timeout": "7m", "cleanupOnFail": true}, "uninstall": {"timeout": "8m", "keepHistory": true}`
	spec, of := helmRelease(t, timed), flux.HelmArtifact{Revision: "1.0.0", Source: "HelmChart/apps/a"}
	requests := map[string]string{flux.RequestedAtAnnotation: "1", flux.ForceAtAnnotation: "2", flux.ResetAtAnnotation: "3"}
	want := fleet.Controls{Suspend: true, Interval: 10 * time.Minute, Timeout: time.Minute, RequestedAt: "1", Helm: fleet.HelmControls{
		Install: 2 * time.Minute, RetryInstall: 3 * time.Minute, Upgrade: 4 * time.Minute, RetryUpgrade: 5 * time.Minute, Test: 6 * time.Minute,
		Rollback: 7 * time.Minute, Uninstall: 8 * time.Minute, ForceAt: "2", ResetAt: "3",
	}}
	if got := spec.Controls(requests); got != want {
		t.Errorf("controls %+v, want %+v", got, want)
	}
	if got := helmRelease(t, "").Controls(nil); got != (fleet.Controls{Interval: 10 * time.Minute, Timeout: 5 * time.Minute}) {
		t.Errorf("controls of a spec that says nothing: %+v", got)
	}
	plan, err := spec.Plan(requests, of).Encode()
	if err != nil {
		t.Fatal(err)
	}
	const stripped = `{"spec":{"install":{"strategy":{"name":"RetryOnFailure"},"crds":"Skip"},"upgrade":{"strategy":{"name":"RetryOnFailure"},"force":true},` +
		`"test":{"enable":true},"rollback":{"cleanupOnFail":true},"uninstall":{"keepHistory":true}},"chart":{"revision":"1.0.0","source":"HelmChart/apps/a"}}`
	if string(plan) != stripped {
		t.Errorf("plan %s, want %s", plan, stripped)
	}
	if spec.Install.Timeout == nil || spec.Upgrade.Strategy.RetryInterval == nil {
		t.Error("the spec itself was changed")
	}
	const bare = `{"spec":{},"chart":{"revision":"1.0.0","source":"HelmChart/apps/a"}}`
	for _, says := range []string{
		`"values": null`, `"values": {}`, `"postRenderers": []`, `"install": {"timeout": "1m"}`, `"upgrade": {"timeout": "1m"}`, `"test": {"timeout": "1m", "filters": []}`,
		`"rollback": {"timeout": "1m"}`, `"uninstall": {"timeout": "1m"}`, `"install": {}, "upgrade": {}, "test": {}, "rollback": {}, "uninstall": {}`,
	} {
		if plan, err := helmRelease(t, says).Plan(nil, of).Encode(); err != nil || string(plan) != bare {
			t.Errorf("%s: plan %s, error %v, want that of a spec that says nothing", says, plan, err)
		}
	}
	decoded, err := flux.DecodeHelmPlan(plan)
	if again, _ := decoded.Encode(); err != nil || string(again) != stripped {
		t.Errorf("decoded and encoded again %s, error %v", again, err)
	}
	on := spec.Plan(map[string]string{flux.SubstituteValuesAnnotation: "enabled"}, of)
	off := spec.Plan(map[string]string{flux.SubstituteValuesAnnotation: "disabled"}, of)
	if !on.SubstituteValues || off.SubstituteValues {
		t.Errorf("values are substituted: %t where that is enabled, %t where it is disabled", on.SubstituteValues, off.SubstituteValues)
	}
}

func TestTheDeletionOfAHelmReleaseUninstallsUnlessItIsSuspended(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		suspend      bool
		policy       fleet.DeletionPolicy
		remove, wait bool
	}{
		{false, "", true, false}, {true, "", false, false}, {false, fleet.OrphanObjects, false, false}, {true, fleet.DeleteObjects, true, false},
		{false, fleet.WaitForTermination, true, true},
	} {
		if remove, wait := (flux.HelmRelease{Suspend: test.suspend}).Deletion(test.policy); remove != test.remove || wait != test.wait {
			t.Errorf("%+v: removes %t, waits %t", test, remove, wait)
		}
	}
}

func TestAHelmReleaseDeclaresTheHelmChartThatFluxMakes(t *testing.T) {
	t.Parallel()
	spec := helmRelease(t, `"chart": {"metadata": {"labels": {"a": "b", "helm.toolkit.fluxcd.io/name": "other"}, "annotations": {"c": "d"}}, "spec": {"chart": "podinfo", "version": "6.x",
		"sourceRef": {"kind": "HelmRepository", "name": "repo", "namespace": "shared"}, "valuesFiles": ["a.yaml"], "ignoreMissingValuesFiles": true, "verify": {"provider": "cosign"}}}`)
	chart, labels, annotations := spec.Declares("apps", "web")
	encoded, err := json.Marshal(chart)
	if want := `{"chart":"podinfo","version":"6.x","sourceRef":{"kind":"HelmRepository","name":"repo"},"interval":"10m0s","valuesFiles":["a.yaml"],"ignoreMissingValuesFiles":true,"verify":{"provider":"cosign"}}`; err != nil || string(encoded) != want {
		t.Errorf("spec %s, want %s (error %v)", encoded, want, err)
	}
	if labels["a"] != "b" || labels["helm.toolkit.fluxcd.io/name"] != "web" || labels["helm.toolkit.fluxcd.io/namespace"] != "apps" || annotations["c"] != "d" {
		t.Errorf("labels %v, annotations %v", labels, annotations)
	}
	if at := spec.Source("apps", "web").In("apps"); at != "HelmChart/shared/apps-web" {
		t.Errorf("it is %s", at)
	}
	if err := flux.Denied(spec, "apps"); err == nil || !strings.Contains(err.Error(), "spec.chart.spec.sourceRef: HelmRepository/shared/repo is in another namespace than apps") {
		t.Errorf("a source of another namespace: %v", err)
	}
	own := spec
	own.Chart = &flux.HelmChartTemplate{Spec: flux.HelmChartTemplateSpec{Interval: duration(time.Minute), SourceRef: flux.SourceRef{Kind: "HelmRepository", Name: "repo"}}}
	if chart, _, _ := own.Declares("apps", "web"); chart.Interval.Duration != time.Minute || flux.Denied(own, "apps") != nil {
		t.Errorf("an interval of its own: %s; denied: %v", chart.Interval, flux.Denied(own, "apps"))
	}
}
