package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"flotilla.dev/flotilla/test/lab"
)

// badRelease is one that cannot come to be: what is wrong with its chart, where it has one, and what is said of that.
type badRelease struct {
	name string
	// version is the range that is asked for; chart are the files that are added to "web", unless there is no chart.
	version string
	chart   map[string]string
	absent  bool
	// values and valuesFrom are the release's own.
	values, valuesFrom string
	// reason of its Ready condition in the cluster, or at the hub where it does not get that far, and words of the message.
	reason string
	hub    bool
	words  []string
}

// All but those that lack something have the Secret's value among their values, where what is wrong would quote it.
var badReleases = []badRelease{
	{name: "none", absent: true, hub: true, reason: "SourceNotReady", words: []string{"spec.chart", `no chart "none"`}},
	{name: "range", version: ">=2.0.0", hub: true, reason: "SourceNotReady", words: []string{"spec.chart", `no version of the chart "range" in the range ">=2.0.0"`}},
	{name: "schema", reason: "InstallFailed", words: []string{"at '/value': got string, want integer", "at '/password'"}, values: "value: text", chart: map[string]string{
		"values.schema.json": `{"type": "object", "properties": {"value": {"type": "integer"}, "password": {"pattern": "^[a-z]*$"}}}`,
	}},
	{name: "template", reason: "InstallFailed", words: []string{"template/templates/bad.yaml:1"}, chart: map[string]string{
		"templates/bad.yaml": `{{ fail (printf "%s is no password" .Values.password) }}`,
	}},
	{name: "nothing", reason: "InstallFailed", words: []string{"nothing/templates/bad.yaml:1", "nil pointer"}, chart: map[string]string{
		"templates/bad.yaml": `{{ printf "%s" .Values.password }}{{ .Values.not.there.at.all }}`,
	}},
	{name: "refused", reason: "InstallFailed", words: []string{"Service", "spec.type"}, chart: map[string]string{
		"templates/bad.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {type: {{ .Values.password | quote }}, ports: [{port: 80}]}\n",
	}},
	{name: "memory", reason: "InstallFailed", words: []string{"it needs more memory than the 512 MiB"}, chart: map[string]string{
		"templates/bad.yaml": `{{ repeat 1000000000 .Values.password }}`,
	}},
	{name: "missing", reason: "ValuesError", words: []string{"spec.valuesFrom[1]", "/lacking", "the Secret does not exist"}, valuesFrom: "{kind: Secret, name: lacking}"},
	{name: "key", reason: "ValuesError", words: []string{"spec.valuesFrom[1]", "key lacking", "no such key"}, valuesFrom: "{kind: Secret, name: given, valuesKey: lacking}"},
	{name: "text", reason: "ValuesError", words: []string{"spec.valuesFrom[1]", "no YAML of values"}, valuesFrom: "{kind: Secret, name: given, valuesKey: password}"},
}

// What is wrong with a release is said of that one, without a value of a Secret; the spoke and its other releases go on.
func TestBadReleaseIsNamedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	fleet := lab.TestFleet(t)
	m := fleet.Member("prod-1")
	a := newSubjects(t, fleet, m)
	const given = "NEVER-to-be-read-0815"
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "given"}, StringData: map[string]string{"password": given}}
	if _, err := a.client(m).CoreV1().Secrets(a.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	server := lab.TestHelmRepo(t, lab.HelmRepoConfig{})
	a.fleetctl("create", "source", "helm", "charts", "--url", a.charts(server), "--interval", "1h")

	good := badRelease{name: "web", values: "value: first"}
	a.apply(good.declared(a, m))
	a.stands(m, "web", "Ready True", "first", "1.0.0")
	spoke := m.Spoke.PID()
	for _, bad := range badReleases {
		a.apply(bad.declared(a, m))
	}
	for _, bad := range badReleases {
		t.Run(bad.name, func(t *testing.T) {
			a := a.in(t)
			ref := "hr/" + bad.name
			if !bad.hub {
				ref += "@" + m.Name()
			}
			a.says(ref, "Ready", "False "+bad.reason)
			says(t, ref, a.get(ref).condition("Ready"), bad.words...)
			says(t, "get of it", a.fleetctl("get", "hr/"+bad.name), append(bad.words, "False")...)
		})
	}
	good.values = "value: second"
	a.apply(good.declared(a, m))
	a.stands(m, "web", "Ready True", "second", "1.0.0")
	a.holds(m, "web", "password", given)
	if now := m.Spoke.PID(); now != spoke {
		t.Errorf("the spoke ran as process %d, and runs as %d", spoke, now)
	}

	texts := a.texts()
	for _, r := range append(badReleases, good) {
		for _, args := range [][]string{
			{"get", "hr/" + r.name, "-o", "yaml"}, {"describe", "hr/" + r.name}, {"get", "hr/" + r.name + "@prod-1", "-o", "yaml"}, {"describe", "hr/" + r.name + "@prod-1"},
			{"history", "hr/" + r.name + "@prod-1", "-o", "yaml"}, {"diff", "hr/" + r.name + "@prod-1", "-o", "yaml"}, {"tree", "hr/" + r.name + "@prod-1"},
			{"debug", "hr/" + r.name + "@prod-1", "--show-values"},
		} {
			out := fleet.Fleetctl(t.Context(), append(args, "-n", a.namespace)...) // which may fail, and say why
			texts["fleetctl "+strings.Join(args, " ")] = out.Stdout + out.Stderr
		}
	}
	says(t, "debug of what is refused", texts["fleetctl debug hr/refused@prod-1 --show-values"], "password: '*** (Secret "+a.namespace+"/given key password)'")
	a.hides(texts, given)
	a.fleetctl("delete", "hr/memory", "--confirm", "1") // so that its chart is not tried for as long as the fleet stands
}

// charts fills a repository, and returns where it is.
func (a *app) charts(server *lab.HelmRepo) (url string) {
	a.t.Helper()
	for _, r := range append(badReleases, badRelease{name: "web"}) {
		files := map[string]string{"Chart.yaml": "apiVersion: v2\nname: " + r.name + "\nversion: 1.0.0\n"}
		maps.Copy(files, chartFiles)
		delete(files, "noise")
		maps.Copy(files, r.chart)
		if r.absent {
			continue
		}
		packed, err := lab.PackChart(files)
		if err == nil {
			err = server.Add(packed)
		}
		if err != nil {
			a.t.Fatal(err)
		}
	}
	return server.URL()
}

// declared is the release on one cluster.
func (r badRelease) declared(a *app, m *lab.Member) string {
	from := []string{"{kind: Secret, name: given, valuesKey: password, targetPath: password}"}
	if r.valuesFrom != "" {
		from = append(from, r.valuesFrom)
	}
	version := r.version
	if version == "" {
		version = "1.x"
	}
	return fmt.Sprintf(`
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  interval: 1h
  chart: {spec: {chart: %[1]s, version: %[3]q, sourceRef: {kind: HelmRepository, name: charts}}}
  valuesFrom: [%[4]s]
  values: {%[5]s}
---
apiVersion: fleet.flotilla.dev/v1alpha1
kind: Placement
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  apps: [{kind: HelmRelease, name: %[1]s}]
  clusters: {names: [%[6]s]}
`, r.name, a.namespace, version, strings.Join(from, ", "), r.values, m.Name())
}
