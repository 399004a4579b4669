package e2e

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"flotilla.dev/flotilla/test/lab"
)

// chartFiles are those of the chart "web": a ConfigMap, a Secret, a Deployment, and a Pod that is a hook. The value "fail"
// is "hook" where the hook is to fail, and "image" where the Deployment never becomes ready.
var chartFiles = map[string]string{
	"values.yaml": "value: default\nfail: \"\"\npassword: none\n",
	"templates/configmap.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {value: {{ .Values.value | quote }}, version: {{ .Chart.Version | quote }}}
`,
	"templates/secret.yaml": `apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.password | quote }}}
`,
	"templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}}
      annotations: {value: {{ .Values.value | quote }}{{ if eq .Values.fail "image" }}, demo/fail: image{{ end }}}
    spec: {containers: [{name: web, image: "example.com/web:1"}]}
`,
	"templates/hook.yaml": `apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-hook
  annotations:
    helm.sh/hook: post-install,post-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
    {{- if eq .Values.fail "hook" }}
    demo/fail: crash
    {{- end }}
spec: {restartPolicy: Never, containers: [{name: hook, image: "example.com/hook:1"}]}
`,
	"noise": noise(),
}

// noise does not compress, so that a chart that crosses the wire shows in the bytes.
const noiseSize = 64 << 10

func noise() string {
	bytes := make([]byte, noiseSize)
	_, _ = rand.Read(bytes) // it never fails
	return string(bytes)
}

func chartAt(t testing.TB, version string) *lab.Chart {
	t.Helper()
	files := map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: " + version + "\n"}
	for path, content := range chartFiles {
		files[path] = content
	}
	packed, err := lab.PackChart(files)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// newReleases is an app with the namespace in every cluster, a HelmRepository "charts" that asks for a password, and
// an OCIRepository "web"; both have the chart, at 1.0.0. It returns what gives both another version.
func newReleases(t testing.TB, fleet *lab.Fleet) (a *app, server *lab.HelmRepo, publish func(version string)) {
	t.Helper()
	a = newSubjects(t, fleet, fleet.Members...)
	server = lab.TestHelmRepo(t, lab.HelmRepoConfig{Username: user, Password: password})
	registry := lab.TestRegistry(t, lab.RegistryConfig{Username: user, Password: password})
	publish = func(version string) {
		t.Helper()
		chart := chartAt(t, version)
		artifact, err := chart.Artifact()
		if err == nil {
			_, err = registry.Push("charts/web", version, artifact)
		}
		if err == nil {
			err = server.Add(chart)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	publish("1.0.0")
	a.fleetctl("create", "source", "helm", "charts", "--url", server.URL(), "--username", user, "--password", password, "--interval", "1h")
	a.fleetctl("create", "secret", "oci", "registry", "--url", registry.Host(), "--username", user, "--password", password)
	a.fleetctl("create", "source", "oci", "web", "--url", "oci://"+registry.Name("charts/web"), "--tag-semver", ">=1.0.0", "--secret-ref", "registry",
		"--layer-selector", lab.HelmChart+":copy", "--insecure", "--interval", "1h")
	return a, server, publish
}

// The ways to name a chart.
const (
	ofRepository = "chart: {spec: {chart: web, version: '>=1.0.0', sourceRef: {kind: HelmRepository, name: charts}}}"
	ofArtifact   = "chartRef: {kind: OCIRepository, name: web}"
)

// released is a HelmRelease on every cluster that has the label tier.
func (a *app) released(name, chart, values string) string {
	return strings.NewReplacer("NAMESPACE", a.namespace, "NAME", name, "CHART", chart, "VALUES", values).Replace(`
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  interval: 1h
  CHART
  driftDetection: {mode: enabled}
  install: {timeout: 1m}
  upgrade: {timeout: 1m, remediation: {remediateLastFailure: true}}
  rollback: {timeout: 1m}
  valuesFrom: [{kind: Secret, name: given, valuesKey: password, targetPath: password, optional: true}]
  values: {VALUES}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  apps: [{kind: HelmRelease, name: NAME}]
  clusters: {selector: {matchExpressions: [{key: tier, operator: Exists}]}}
`)
}

// stands waits until a release in a cluster is ready, or rolled back, with that value and version of the chart, and Helm
// can read its history, of which the newest version is the one that is deployed.
func (a *app) stands(m *lab.Member, name, condition, value, chart string) {
	a.t.Helper()
	lab.Eventually(a.t, patience, "release "+name+" in "+m.Name(), func() error {
		kind, words, _ := strings.Cut(condition, " ")
		out := a.fleet.Fleetctl(a.t.Context(), "get", "hr/"+name+"@"+m.Name(), "-o", "json", "-n", a.namespace)
		if err := out.Err(); err != nil {
			return err
		}
		var s shown
		if err := json.Unmarshal([]byte(out.Stdout), &s); err != nil {
			return err
		}
		if got := s.condition(kind); !strings.HasPrefix(got, words) {
			return fmt.Errorf("%s: %s; Ready: %s", kind, got, s.condition("Ready"))
		}
		return a.storedAs(m, name, value, chart)
	})
}

// storedAs is an error unless the cluster has what a release with that value makes, and Helm's history says so.
func (a *app) storedAs(m *lab.Member, name, value, chart string) error {
	if got, err := a.value(m, name); err != nil || got != value {
		return fmt.Errorf("its ConfigMap says %q, want %q, error %w", got, value, err)
	}
	versions, err := m.HelmVersions(a.t.Context(), a.namespace, name)
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return errors.New("Helm has stored nothing")
	}
	for i, v := range versions {
		named, _, _ := strings.Cut(v.Chart, "+") // of an OCI artifact the digest follows
		switch {
		case i == 0 && (v.Status != "deployed" || v.Values["value"] != value || named != "web-"+chart):
			return fmt.Errorf("the newest version is %s of %s with value %v", v.Status, v.Chart, v.Values["value"])
		case i > 0 && v.Status != "superseded" && v.Status != "failed":
			return fmt.Errorf("version %d of %d is %s", v.Version, versions[0].Version, v.Status)
		case i > 0 && v.Version != versions[i-1].Version-1:
			return fmt.Errorf("between versions %d and %d there is none", v.Version, versions[i-1].Version)
		}
	}
	return nil
}
