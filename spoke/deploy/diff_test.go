package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"flotilla.dev/flotilla/pkg/fleet"
	"flotilla.dev/flotilla/spoke/deploy"
)

// diff compares the App with a target, and returns what would change by object.
func (b *bundle) diff(target deploy.Target, drift bool) (answer fleet.Diff, byName map[string]fleet.ObjectDiff) {
	b.Helper()
	answer, err := b.engine.Diff(b.Context(), deploy.Comparison{
		Target: target, Drift: drift,
		Blob: func(digest fleet.Digest) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.blobs[digest], nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	byName = map[string]fleet.ObjectDiff{}
	for _, o := range answer.Objects {
		byName[o.Object.Kind+"/"+o.Object.Name] = o
	}
	return answer, byName
}

func (b *bundle) secretOf(name string, data map[string]string) string {
	raw, err := json.Marshal(data)
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":%q},"stringData":%s}`, name, b.namespace, raw)
}

func TestDiffSaysWhatWouldBecomeOfEachObjectAndWritesNothing(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("same", "1"), b.configMap("other", "1"), b.configMap("gone", "1"), b.secretOf("s", map[string]string{"password": "canary-one", "user": "canary-user"}))
	target := b.target(b.configMap("same", "1"), b.configMap("other", "2"), b.configMap("new", "1"),
		b.secretOf("s", map[string]string{"password": "canary-two", "user": "canary-user"}), b.secretOf("s2", map[string]string{"password": "canary-three"}))
	var answer fleet.Diff
	var got map[string]fleet.ObjectDiff
	requests := b.requests(func() { answer, got = b.diff(target, false) })
	for _, r := range requests {
		if r.Verb != "get" && !r.DryRun {
			t.Errorf("a diff did %s %s", r.Verb, r.Path)
		}
	}
	changes := map[string]string{}
	for name, o := range got {
		changes[name] = o.Change + o.Error
	}
	want := map[string]string{
		"ConfigMap/other": fleet.ChangeChange, "ConfigMap/gone": fleet.ChangeDelete, "ConfigMap/new": fleet.ChangeCreate,
		"Secret/s": fleet.ChangeChange, "Secret/s2": fleet.ChangeCreate,
	}
	if !maps.Equal(changes, want) || answer.Unchanged != 1 {
		t.Errorf("got %v, and %d unchanged", changes, answer.Unchanged)
	}
	if text := got["ConfigMap/other"].Diff; !strings.Contains(text, "-  key: \"1\"\n+  key: \"2\"\n") {
		t.Errorf("the ConfigMap:\n%s", text)
	}
	secret := got["Secret/s"].Diff
	if !strings.Contains(secret, "-  password: '*** (before)'\n+  password: '*** (after)'\n") || !strings.Contains(secret, "   user: '***'\n") {
		t.Errorf("the Secret:\n%s", secret)
	}
	all, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, plain := range []string{"canary", "Y2FuYXJ5"} { // the latter in base64
		if strings.Contains(string(all), plain) {
			t.Errorf("the answer has %q:\n%s", plain, all)
		}
	}
	if value := b.get(configMaps, "other").Object["data"].(map[string]any)["key"]; value != "1" || b.get(configMaps, "new") != nil {
		t.Errorf("other is %v, new is %v", value, b.get(configMaps, "new"))
	}
}

func TestDiffOfDriftShowsWhatOthersDidToWhatWasApplied(t *testing.T) {
	b := newBundle(t).start()
	target := b.deploy(b.configMap("a", "1"), b.configMap("b", "1"), b.configMap("c", "1"))
	b.engine.SetSuspended(b.app, true) // else it is undone at once
	b.patch(configMaps, "a", "kubectl-edit", `{"data":{"key":"2","added":"by hand"}}`)
	b.patch(configMaps, "b", "someone", `{"data":{"theirs":"kept"}}`)
	b.delete(configMaps, "c")
	answer, got := b.diff(target, true)
	if len(got) != 2 || answer.Unchanged != 1 {
		t.Fatalf("got %+v", answer)
	}
	if o := got["ConfigMap/a"]; o.Change != fleet.ChangeChange || !strings.Contains(o.Diff, "-  added: by hand\n-  key: \"2\"\n+  key: \"1\"\n") {
		t.Errorf("a: %s\n%s", o.Change, o.Diff)
	}
	if o := got["ConfigMap/c"]; o.Change != fleet.ChangeCreate {
		t.Errorf("c: %+v", o)
	}
	// What was never applied is no drift.
	if _, got := b.diff(b.target(b.configMap("a", "3"), b.configMap("d", "1")), true); len(got) != 0 {
		t.Errorf("of another Manifest: %+v", got)
	}
	// A pass does what was foretold.
	b.engine.SetSuspended(b.app, false)
	target.Verify = true
	if err := b.try(target); err != nil {
		t.Fatal(err)
	}
	if data := b.get(configMaps, "a").Object["data"]; fmt.Sprint(data) != "map[key:1]" {
		t.Errorf("a became %v", data)
	}
	if answer, _ := b.diff(target, false); len(answer.Objects) != 0 || answer.Unchanged != 3 {
		t.Errorf("after the pass: %+v", answer)
	}
}

func TestDiffTellsWhatTheGuardWouldHoldAndWhatIsRefused(t *testing.T) {
	b := newBundle(t).start()
	b.deploy(b.configMap("a", "1"), b.configMap("b", "1"))
	_, got := b.diff(b.target(), false)
	if got["ConfigMap/a"].Change != fleet.ChangeHeld || got["ConfigMap/b"].Change != fleet.ChangeHeld {
		t.Errorf("of an empty set: %+v", got)
	}
	bad := fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":%q},"spec":{"ports":[{"port":99999999}]}}`, b.namespace)
	secret := fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":%q},"data":{"a":"canary in no base64"}}`, b.namespace)
	kind := fmt.Sprintf(`{"apiVersion":"nobody.example.com/v1","kind":"Thing","metadata":{"name":"t","namespace":%q}}`, b.namespace)
	_, got = b.diff(b.target(b.configMap("a", "1"), b.configMap("b", "2"), bad, secret, kind), false)
	if text := got["Service/s"].Error; !strings.Contains(text, "99999999") {
		t.Errorf("the Service: %q", text)
	}
	if text := got["Secret/s"].Error; text == "" || strings.Contains(text, "canary") {
		t.Errorf("the Secret: %q", text)
	}
	if text := got["Thing/t"].Error; !strings.Contains(text, "no kind Thing") {
		t.Errorf("the unknown kind: %q", text)
	}
	if got["ConfigMap/b"].Change != fleet.ChangeChange {
		t.Errorf("beside what is refused: %+v", got["ConfigMap/b"])
	}
}

func TestDiffShowsObjectsOfNamespacesAndKindsThatComeWithThem(t *testing.T) {
	b := newBundle(t).start()
	namespace := b.namespace + "-new"
	group := b.namespace + ".example.com"
	target := b.target(
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, namespace),
		fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":%q},"stringData":{"a":"canary"}}`, namespace),
		fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"things.%[1]s"},"spec":{"group":%[1]q,"scope":"Namespaced",
			"names":{"kind":"Thing","plural":"things"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}`, group),
		fmt.Sprintf(`{"apiVersion":"%s/v1","kind":"Thing","metadata":{"name":"t","namespace":%q}}`, group, b.namespace))
	answer, got := b.diff(target, false)
	if len(answer.Objects) != 4 {
		t.Fatalf("got %+v", answer)
	}
	for name, o := range got {
		if o.Change != fleet.ChangeCreate || o.Error != "" || strings.Contains(o.Diff, "canary") {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestValuesThatCameFromSecretsAreInNoDiffWhateverTheKind(t *testing.T) {
	b := newBundle(t).start()
	b.putSecret("vars", map[string]string{"PASSWORD": "canary-one"})
	b.substituting(map[string]string{"PLAIN": "shown"}, fleet.SubstituteReference{Kind: "Secret", Name: "vars"})
	b.deploy(b.text("c", "url: https://user:${PASSWORD}@example.com", "same: ${PASSWORD}"), b.text("gone", "a: ${PASSWORD}"), b.text("plain", "a: ${PLAIN}"))
	b.putSecret("vars", map[string]string{"PASSWORD": "canary-two"})
	targets := map[string]deploy.Target{
		"secret": b.target(b.text("c", "url: https://admin:${PASSWORD}@example.com", "same: ${PASSWORD}"), b.text("new", "a: ${PASSWORD}"), b.text("plain", "a: ${PLAIN}2")),
		"plain":  b.target(b.text("c", "url: https://example.com"), b.text("plain", "a: ${PLAIN}2")),
		"bad": b.target(fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  namespace: %s\nspec:\n  type: ${PASSWORD}\n  ports:\n  - port: 1\n", b.namespace),
			b.text("plain", "a: ${PLAIN}2")),
	}
	check := func(when string) {
		b.Helper()
		for name, target := range targets {
			answer, got := b.diff(target, false)
			all, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(all), "canary") {
				t.Errorf("%s, %s: %s", when, name, all)
			}
			// After a restart it is not known whether any have gone into what is there, until the App is loaded.
			if o := got["ConfigMap/plain"]; when == "after the pass" && !strings.Contains(o.Diff, "+  a: shown2\n") {
				t.Errorf("%s, %s: what has no values of Secrets is hidden:\n%s", when, name, o.Diff)
			}
			if o := got["ConfigMap/gone"]; o.Change == "" {
				t.Errorf("%s, %s: %+v", when, name, got)
			}
		}
		if _, got := b.diff(targets["secret"], false); !strings.Contains(got["ConfigMap/c"].Diff, "-  url: '*** (before)'\n") || !strings.Contains(got["ConfigMap/c"].Diff, "+  url: '*** (after)'\n") {
			t.Errorf("%s: %s", when, got["ConfigMap/c"].Diff)
		}
		if _, got := b.diff(targets["bad"], false); !strings.Contains(got["Service/s"].Error, "spec.type") {
			t.Errorf("%s: %+v", when, got["Service/s"])
		}
	}
	check("after the pass")
	b.start() // where it came from is not known any more
	check("after a restart")
	if _, err := b.engine.Diff(b.Context(), deploy.Comparison{Target: b.target(b.text("c", "a: ${MISSING}")), Blob: func(digest fleet.Digest) ([]byte, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.blobs[digest], nil
	}}); err == nil || !strings.Contains(err.Error(), `"MISSING" is not set`) {
		t.Errorf("with a variable that is not set: %v", err)
	}
}

func TestDiffIsNeverLongerThanAnAnswerMayBe(t *testing.T) {
	b := newBundle(t).start()
	escaped := strings.Repeat("<", 600_000) // six bytes each in JSON
	answer, got := b.diff(b.target(b.configMap("a", escaped), b.configMap("b", escaped), b.configMap("c", escaped), b.configMap("d", "1")), false)
	content, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) > fleet.MaxAnswer {
		t.Errorf("the answer has %d bytes, %d are allowed", len(content), fleet.MaxAnswer)
	}
	if len(got) != 4 || !got["ConfigMap/a"].Cut || !got["ConfigMap/c"].Cut || got["ConfigMap/d"].Diff == "" {
		t.Errorf("a %t, c %t, d %q", got["ConfigMap/a"].Cut, got["ConfigMap/c"].Cut, got["ConfigMap/d"].Diff)
	}
}

func TestVariablesTellWhereTheyAreFromAndNoValueOfASecret(t *testing.T) {
	b := newBundle(t).start()
	b.putSecret("vars", map[string]string{"PASSWORD": "canary", "BOTH": "canary"})
	b.putConfigMap("settings", map[string]string{"BOTH": "settings", "LOW": "settings", "bad-name": "x"})
	b.substituting(map[string]string{"BOTH": "inline"}, fleet.SubstituteReference{Kind: "ConfigMap", Name: "settings"}, fleet.SubstituteReference{Kind: "Secret", Name: "vars"},
		fleet.SubstituteReference{Kind: "ConfigMap", Name: "none", Optional: true}, fleet.SubstituteReference{Kind: "Secret", Name: "lost"})
	target := b.target(b.configMap("c", "1"))
	target.Binding.Variables = map[string]string{"LOW": "cluster", "CLUSTER_NAME": "eu-1"}
	got, err := b.engine.Variables(b.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	secret, settings := "Secret/"+b.namespace+"/vars", "ConfigMap/"+b.namespace+"/settings"
	want := []string{
		"BOTH=inline from spec.postBuild.substitute instead of [" + secret + " key BOTH " + settings + " key BOTH]",
		"CLUSTER_NAME=eu-1 from the cluster's variables instead of []",
		"LOW=settings from " + settings + " key LOW instead of [the cluster's variables]",
		"PASSWORD=*** (Secret " + b.namespace + "/vars key PASSWORD) from " + secret + " key PASSWORD instead of []",
		"bad-name=x from " + settings + " key bad-name instead of []",
	}
	var lines []string
	for _, v := range got.Variables {
		lines = append(lines, fmt.Sprintf("%s=%s from %s instead of %v", v.Name, v.Value, v.From, v.Overrides))
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if len(got.Missing) != 2 || !strings.Contains(got.Missing[0], "Secret/"+b.namespace+"/lost is not there") || !strings.Contains(got.Missing[1], "bad-name") {
		t.Errorf("missing: %q", got.Missing)
	}
	target.Release.PostBuild = nil
	if got, err := b.engine.Variables(b.Context(), target); err != nil || got.Substitutes || len(got.Variables) != 0 {
		t.Errorf("without postBuild: %+v, %v", got, err)
	}
	// As a pass has it: what a cluster has beside is put in only for an App that has variables of its own, or says so.
	for name, test := range map[string]struct {
		post        fleet.PostBuild
		substitutes bool
	}{
		"none of its own":          {fleet.PostBuild{}, false},
		"none of its own, always":  {fleet.PostBuild{SubstituteStrategy: fleet.SubstituteAlways}, true},
		"an optional one, missing": {fleet.PostBuild{SubstituteFrom: []fleet.SubstituteReference{{Kind: "Secret", Name: "lost", Optional: true}}}, false},
		"of a Secret":              {fleet.PostBuild{SubstituteFrom: []fleet.SubstituteReference{{Kind: "Secret", Name: "vars"}}}, true},
		"inline":                   {fleet.PostBuild{Substitute: map[string]string{"A": "a"}}, true},
	} {
		target.Release.PostBuild = &test.post
		if got, err := b.engine.Variables(b.Context(), target); err != nil || got.Substitutes != test.substitutes || len(got.Variables) < 2 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
